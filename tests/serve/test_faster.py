"""Folded and packed convolutions answer as before; what cannot be packed is left alone and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from served import picture_bundle
from torch import Tensor, nn

from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.serve.faster import PackedConvolution, pack
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import load_model


def loaded(folder: Path, name: str) -> Bundle:
    bundle = load_bundle(picture_bundle(folder, name=name))
    torch.manual_seed(1)
    for part in bundle.module.modules():
        if isinstance(part, nn.BatchNorm2d):  # as after training, so that folding has something to do
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
            assert part.running_mean is not None and part.running_var is not None
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return bundle


@pytest.mark.parametrize("name", ["small_cnn", "resnet"])
@torch.inference_mode()
def test_outputs_stay(tmp_path: Path, name: str) -> None:
    bundle = loaded(tmp_path, name)
    sample = torch.randn(5, 3, 16, 16)
    before = bundle.module(sample)
    assert pack(bundle, 8) == ""
    packed = [part for part in bundle.module.modules() if isinstance(part, PackedConvolution)]
    if torch.backends.mkldnn.is_available():
        assert packed and not [part for part in bundle.module.modules() if type(part) is nn.Conv2d]
    for batch in (1, 3, 5):
        after = bundle.module(sample[:batch])
        assert float((after - before[:batch]).abs().max()) <= 1e-5 * float(before.abs().max())


class Shared(nn.Module):
    """One convolution whose output goes to its normalisation and elsewhere, so that folding would be wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        assert self.norm.running_mean is not None
        nn.init.normal_(self.norm.running_mean)

    def forward(self, pictures: Tensor) -> Tensor:
        made = self.convolution(pictures)
        return (self.norm(made) + made).mean((2, 3))[:, :3]


@torch.inference_mode()
def test_a_fold_that_would_be_wrong_is_taken_back(tmp_path: Path) -> None:
    bundle = loaded(tmp_path, "small_cnn")
    bundle.module = Shared().eval()
    sample = torch.randn(2, 3, 16, 16)
    before = bundle.module(sample)
    assert "change its outputs" in pack(bundle, 8)
    assert torch.equal(bundle.module(sample), before)


@torch.inference_mode()
def test_what_cannot_be_packed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise RuntimeError("no such kernel\nand more")

    bundle = loaded(tmp_path, "small_cnn")
    sample = torch.randn(2, 3, 16, 16)
    before = bundle.module(sample)
    monkeypatch.setattr(PackedConvolution, "__init__", refuse)
    if torch.backends.mkldnn.is_available():
        assert pack(bundle, 8) == "its filters cannot be packed: no such kernel"
    assert torch.equal(bundle.module(sample), before)


def test_what_differs_for_one_picture_alone_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = loaded(tmp_path, "small_cnn")
    forward = PackedConvolution.forward

    def wrong_for_one(self: PackedConvolution, features: Tensor) -> Tensor:
        return forward(self, features) * (1.01 if len(features) == 1 else 1.0)

    monkeypatch.setattr(PackedConvolution, "forward", wrong_for_one)
    if torch.backends.mkldnn.is_available():
        assert "change its outputs" in pack(bundle, 8)
        assert not [part for part in bundle.module.modules() if isinstance(part, PackedConvolution)]


def test_the_model_that_is_loaded_to_be_served_is_packed(tmp_path: Path) -> None:
    model = load_model(str(picture_bundle(tmp_path)), Limits())
    packed = [part for part in model.bundle.module.modules() if isinstance(part, PackedConvolution)]
    assert bool(packed) == torch.backends.mkldnn.is_available()
