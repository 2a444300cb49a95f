"""Weights from files into backbones with a new head."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from flambeau.models.backbone import (
    body_parameters,
    find_head,
    freeze_early_layers,
    load_body,
    match_filters,
    match_first_convolution,
    remove_head,
    replace_head,
)
from flambeau.models.pretrained import (
    EmptyOnMeta,
    build_architecture,
    find_architecture,
    known_architectures,
    pretrained_backbone,
)
from flambeau.models.state_dicts import load_partly, read_state_dict, unwrap_state_dict


def small_net(channels: int = 3, outputs: int = 5) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3),
        nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, outputs),
    )


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_state_dict_is_read_back_exactly(tmp_path: Path, suffix: str) -> None:
    path, own = tmp_path / f"net.{suffix}", small_net().state_dict()
    if suffix == "safetensors":
        save_file(own, path)
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in own.items()}}, path)
    read = read_state_dict(path)
    assert sorted(read) == sorted(own)
    assert all(torch.equal(read[key], own[key]) for key in own)


def test_wrappers_and_prefixes_are_taken_off() -> None:
    value = torch.ones(2)
    nested = {"model_state_dict": {"module._orig_mod.fc.weight": value}, "optimizer": {"lr": 1.0}}
    assert list(unwrap_state_dict(nested)) == ["fc.weight"]
    with pytest.raises(ValueError, match="expected a dictionary of tensors, got list"):
        unwrap_state_dict([value])
    with pytest.raises(ValueError, match=r"without any \(its keys: epoch\)"):
        unwrap_state_dict({"epoch": 3})


def test_a_pickled_model_is_refused_with_the_lines_that_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "whole.pth"
    torch.save(small_net(), path)
    with pytest.raises(ValueError, match="holds Python objects") as caught:
        read_state_dict(path)
    assert 'torch.load("whole.pth", weights_only=False)' in str(caught.value)
    assert 'torch.save(model.state_dict(), "whole-weights.pth")' in str(caught.value)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (Path.touch, (Path(self.path),))  # type: ignore[return-value]  # any callable may stand here


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    path, witness = tmp_path / "evil.pth", tmp_path / "witness"
    path.write_bytes(pickle.dumps(Bomb(str(witness))))
    with pytest.raises(ValueError, match=r"evil\.pth"):
        read_state_dict(path)
    assert not witness.exists()


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth", "empty.pth"])
def test_damaged_and_absent_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"" if name.startswith("empty") else b"these are not weights")
    with pytest.raises(ValueError, match=name):
        read_state_dict(path)
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        read_state_dict(tmp_path / "absent.pth")


def test_the_report_tells_matched_missing_and_other_shapes() -> None:
    weights = small_net(outputs=7).state_dict()
    weights["extra"] = torch.ones(1)
    del weights["1.running_mean"], weights["1.num_batches_tracked"]
    model = small_net(outputs=5)
    report = load_partly(model, weights)
    assert report.missing == ("1.running_mean",)
    assert report.unexpected == ("extra",)
    assert report.other_shape == ("4.weight: (7, 4), (5, 4)", "4.bias: (7,), (5,)")
    assert torch.equal(model[0].weight, weights["0.weight"])
    assert str(report).startswith("5 of 8 tensors loaded; 1 not in the file (1.running_mean)")


def test_all_parameters_but_those_of_the_head_are_the_body() -> None:
    model = small_net()
    assert find_head(model) == "4"
    assert sorted([*dict(body_parameters(model)), "4.bias", "4.weight"]) == sorted(
        dict(model.named_parameters())
    )
    replace_head(model, 2)
    assert model(torch.rand(3, 3, 8, 8)).shape == (3, 2)
    assert remove_head(model)(torch.rand(3, 3, 8, 8)).shape == (3, 4)


def test_grey_input_answers_as_the_same_picture_in_colour() -> None:
    model = small_net().eval()
    grey = torch.rand(2, 1, 8, 8)
    expected = model(grey.expand(-1, 3, -1, -1))
    match_first_convolution(model, 1)
    torch.testing.assert_close(model(grey), expected)


def test_more_channels_keep_the_size_of_the_answers() -> None:
    filters = torch.rand(4, 3, 3, 3)
    assert match_filters(filters, 3) is filters
    assert match_filters(filters, 6).shape == (4, 6, 3, 3)
    torch.testing.assert_close(match_filters(filters, 6).sum(1), filters.sum(1))


def test_loading_a_body_leaves_the_head_and_sums_the_first_filters() -> None:
    weights, model = small_net(outputs=7).state_dict(), small_net(channels=1, outputs=2)
    head = model[4].weight.clone()
    report = load_body(model, weights)
    assert not report.missing and not report.other_shape
    torch.testing.assert_close(model[0].weight, weights["0.weight"].sum(1, keepdim=True))
    assert torch.equal(model[4].weight, head)
    with pytest.raises(ValueError, match="do not fit"):
        load_body(model, {"other": torch.ones(1)})


@pytest.mark.parametrize("arch", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
def test_an_architecture_is_found_with_another_head_and_grey_filters(arch: str) -> None:
    with EmptyOnMeta():
        model = build_architecture(arch)
        match_first_convolution(model, 1)
        replace_head(model, 7)
    assert find_architecture(model.state_dict()) == arch


def test_models_that_compute_while_they_are_built_have_shapes_without_memory() -> None:
    with EmptyOnMeta():
        model = build_architecture("regnet_y_400mf")
    assert model.state_dict()["fc.weight"].device.type == "meta"
    assert model.state_dict()["fc.weight"].shape == (1000, 440)


def test_weights_of_no_known_model_name_the_nearest() -> None:
    with EmptyOnMeta():
        weights = build_architecture("alexnet").state_dict()
    weights["features.3.weight"] = torch.empty(1, device="meta")
    with pytest.raises(ValueError, match=r"no model of torchvision fits these weights.*nearest is alexnet"):
        find_architecture(weights)
    with pytest.raises(ValueError, match="torchvision has no model 'resnet17'; near are resnet"):
        build_architecture("resnet17")


def test_a_backbone_takes_channels_outputs_and_dropout() -> None:
    model = pretrained_backbone("squeezenet1_1", 4, channels=1, dropout=0.25).eval()
    assert model(torch.rand(2, 1, 64, 64)).shape == (2, 4)
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.25}


def test_layers_with_large_maps_are_frozen_and_patches_are_not() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, stride=4, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    ).train()
    assert freeze_early_layers(net, torch.rand(1, 3, 32, 32)) == ("0.weight", "0.bias", "1.weight", "1.bias")
    trained = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    assert trained == ["2.weight", "2.bias", "5.weight", "5.bias"]
    assert net.training
    assert freeze_early_layers(nn.Sequential(nn.Conv2d(3, 4, 16, stride=16)), torch.rand(1, 3, 32, 32)) == ()


@pytest.mark.slow
def test_every_architecture_of_torchvision_is_found_from_its_own_shapes() -> None:
    for arch in known_architectures():
        with EmptyOnMeta():
            weights = build_architecture(arch).state_dict()
        assert find_architecture(weights) == arch


@pytest.mark.slow
def test_the_shared_mobilenet_is_found_and_loaded_whole(shared_data: Path) -> None:
    weights = read_state_dict(shared_data / "weights" / "mobilenet_v2_imagenet1k.safetensors")
    assert find_architecture(weights) == "mobilenet_v2"
    model = pretrained_backbone("mobilenet_v2", 10)
    report = load_body(model, weights)
    assert not report.missing and not report.other_shape and not report.unexpected
