"""Pretrained weights by name: found in caches, refused quickly without a network."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from flambeau.errors import ModelError
from flambeau.planning import weights as module
from flambeau.planning.weights import fetch_weights, require_network, weights_on_disk


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_no_caches_hold_nothing(caches: Path) -> None:
    assert weights_on_disk() == []


def test_classifiers_in_both_caches_are_found_the_most_suitable_first(caches: Path) -> None:
    checkpoints = caches / "torch" / "hub" / "checkpoints"
    touch(checkpoints / "resnet50-11ad3fa6.pth")
    touch(checkpoints / "mobilenet_v2-b0353104.pth")
    touch(checkpoints / "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth")
    snapshot = caches / "hub" / "models--timm--resnet18.a1_in1k" / "snapshots" / "abc"
    touch(snapshot / "model.safetensors")
    found = weights_on_disk()
    assert [(one.library, one.name) for one in found] == [
        ("torchvision", "mobilenet_v2"),
        ("timm", "resnet18.a1_in1k"),
        ("torchvision", "resnet50"),
    ]
    assert [one.arch for one in found] == [None, "timm/resnet18.a1_in1k", None]


def test_without_a_network_the_refusal_comes_quickly_and_names_a_way(
    caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NETWORK_TIMEOUT_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(ModelError, match="'resnet18' are not on this disk") as caught:
        # A port on this machine on which nothing listens.
        require_network("resnet18", "http://127.0.0.1:9/weights.pth")
    assert time.monotonic() - start < 3
    assert "--pretrained FILE.safetensors" in caught.value.command


def test_weights_in_the_cache_of_torch_need_no_network(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import get_model_weights

    state = {"features.0.weight": torch.ones(2)}
    weights_class = type(get_model_weights("alexnet").DEFAULT)
    monkeypatch.setattr(weights_class, "get_state_dict", lambda *args, **options: state)
    address = get_model_weights("alexnet").DEFAULT.url
    touch(caches / "torch" / "hub" / "checkpoints" / address.rpartition("/")[2])
    fetched = fetch_weights("alexnet")
    assert (fetched.library, fetched.arch, fetched.tensors) == ("torchvision", "alexnet", state)


def test_unknown_libraries_and_names(caches: Path) -> None:
    with pytest.raises(ModelError, match="no library of weights called 'keras'"):
        fetch_weights("keras/resnet50")
    with pytest.raises(ModelError, match="torchvision has no model 'resnet17'") as caught:
        fetch_weights("torchvision/resnet17")
    assert "resnet18" in caught.value.hint
