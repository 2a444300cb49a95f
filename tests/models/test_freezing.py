"""What is frozen, what thaws when, and how a model is cut into stages."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flambeau.models.build import build_model
from flambeau.models.freezing import (
    layers_from_head,
    make_freezing,
    match_parameters,
    names_of_stages,
)
from flambeau.models.pretrained import build_architecture
from flambeau.models.spec import ModelSpec


def small_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 8, 3),
        nn.BatchNorm2d(8, affine=False),
        nn.Conv2d(8, 8, 3),
        nn.Flatten(),
        nn.LazyLinear(2),
    )


def built_net() -> nn.Sequential:
    net = small_net()
    net(torch.zeros(2, 3, 8, 8))
    return net


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        ("resnet18", ["fc", "layer4", "layer3", "layer2", "layer1", "conv1"]),
        ("vgg11", ["classifier.6", "classifier.3", "classifier.0", "features"]),
        ("mobilenet_v2", ["classifier", *(f"features.{block}" for block in range(18, -1, -1))]),
    ],
)
def test_stages_of_known_architectures(arch: str, expected: list[str]) -> None:
    model = build_architecture(arch)
    layers = layers_from_head(model)
    assert names_of_stages(layers) == expected
    assert sorted(name for layer in layers for name in layer) == sorted(dict(model.named_parameters()))


def test_a_transformer_is_cut_into_its_blocks_and_its_tokens_belong_to_the_first() -> None:
    layers = layers_from_head(build_architecture("vit_b_16"))
    assert len(layers) == 14
    assert "class_token" in layers[-1]
    assert names_of_stages(layers)[1:3] == [
        "encoder.layers.encoder_layer_11",
        "encoder.layers.encoder_layer_10",
    ]


def test_heads_that_are_parameters_of_the_model_itself_are_found() -> None:
    arguments = {"number_features": 4, "cardinalities": [3], "outputs": 2, "bins": 0}
    layers = layers_from_head(build_model(ModelSpec("tabm", arguments)))
    assert layers[0] == ["heads", "head_biases"]
    joined = layers_from_head(
        build_model(ModelSpec("mlp", {key: arguments[key] for key in list(arguments)[:3]}))
    )
    assert joined[0] == ["module.head.weight", "module.head.bias"]


def test_one_layer_is_a_head_without_a_body() -> None:
    assert layers_from_head(nn.Linear(3, 2)) == [["weight", "bias"]]
    with pytest.raises(ValueError, match="a layer of weights"):
        layers_from_head(nn.BatchNorm1d(3))


def test_patterns_names_and_body() -> None:
    net = built_net()
    assert match_parameters(net, ["0.*"]) == match_parameters(net, ["0"]) == ["0.weight", "0.bias"]
    assert match_parameters(net, ["0.bias", "*.weight"]) == [
        "0.weight",
        "0.bias",
        "1.weight",
        "2.weight",
        "4.weight",
        "6.weight",
    ]
    body = match_parameters(net, ["body"])
    assert body == [name for name, _ in net.named_parameters() if not name.startswith("6.")]


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("layer33", r"did you mean 'layer3'\?"),
        ("layr4.*", r"did you mean 'layer4\.\*'\?"),
        ("fc.wieght", r"did you mean 'fc\.weight'\?"),
        ("zzz", r"its parts are conv1, bn1, layer1"),
    ],
)
def test_a_pattern_that_matches_nothing_names_the_nearest(pattern: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        match_parameters(build_architecture("resnet18"), [pattern])


def test_frozen_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing left to learn"):
        make_freezing(built_net(), ["*"])
    net = built_net()
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith("6."))
    with pytest.raises(ValueError, match="nothing left to learn"):
        make_freezing(net, ["6.*"])
    with pytest.raises(ValueError, match="no stage of the body to unfreeze"):
        make_freezing(built_net(), ["body"], 2)


def learning(net: nn.Module) -> set[str]:
    return {name.split(".")[0] for name, parameter in net.named_parameters() if parameter.requires_grad}


def test_stages_thaw_from_the_head_downwards_as_a_function_of_the_epoch() -> None:
    net = built_net()
    freezing = make_freezing(net, [], 2)
    seen = []
    for epoch in (0, 1, 2, 4, 6, 60, 3):
        net.train()
        freezing.begin_epoch(net, epoch)
        seen.append(learning(net))
    # vectors that stand alone, as those of a normalisation, belong to the layer before them
    assert seen == [{"6"}, {"6"}, {"6", "4"}, {"6", "4", "2"}, set("01246"), set("01246"), {"6", "4"}]


def test_what_is_frozen_for_good_never_thaws_and_gradients_of_waiting_stages_are_dropped() -> None:
    net = built_net()
    freezing = make_freezing(net, ["0.*"], 1)
    assert not net[0].weight.requires_grad
    assert net[4].weight.requires_grad, "it is in the optimizer from the start"
    net[4].weight.grad = torch.ones_like(net[4].weight)
    freezing.begin_epoch(net, 0)
    assert net[4].weight.grad is None
    freezing.begin_epoch(net, 99)
    assert "0" not in learning(net)
    assert learning(net) == set("1246")


def test_parameters_that_a_model_froze_itself_stay_frozen() -> None:
    net = built_net()
    net[2].weight.requires_grad_(False)
    freezing = make_freezing(net, [], 1)
    freezing.begin_epoch(net, 99)
    assert not net[2].weight.requires_grad


def test_frozen_batch_normalisation_keeps_its_statistics() -> None:
    net = built_net()
    make_freezing(net, ["0.*", "1.*"]).begin_epoch(net.train(), 0)
    assert not net[1].training
    assert net[3].training, "without weights it belongs to the whole, of which not all is frozen"
    before = net[1].running_mean.clone()
    net(torch.randn(4, 3, 8, 8))
    assert torch.equal(net[1].running_mean, before)
    block = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), nn.Conv2d(4, 2, 1)
    )
    make_freezing(block, ["0.*"]).begin_epoch(block.train(), 0)
    assert not block[0][1].training
    net.train()
    make_freezing(net, ["0.weight"]).begin_epoch(net, 0)
    assert net[1].training


def test_statistics_are_held_until_a_stage_thaws() -> None:
    net = built_net()
    freezing = make_freezing(net, [], 1)
    held = []
    for epoch in range(4):
        net.train()
        freezing.begin_epoch(net, epoch)
        held.append(not net[1].training)
    assert held == [True, True, True, False]


class Wrapper(nn.Module):
    """As data-parallel and compiled models hold the model that they stand for."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def test_a_wrapped_model_is_frozen_like_the_model_itself() -> None:
    net = built_net()
    freezing = make_freezing(net, ["1.*"], 1)
    freezing.begin_epoch(Wrapper(Wrapper(net)), 0)
    assert learning(net) == {"6"}
    with pytest.raises(ValueError, match="one without it"):
        freezing.begin_epoch(nn.Linear(2, 2), 0)
