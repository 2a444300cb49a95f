"""Checkpoints of other people's scripts: unwrapped where they are plain, refused with the way out otherwise."""

from __future__ import annotations

import argparse
import runpy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from flambeau.models.state_dicts import read_state_dict, unpickle_state_dict, unwrap_state_dict


class Settings:
    """A class of somebody's training script."""


def weights() -> dict[str, Tensor]:
    return {"conv.weight": torch.arange(4.0).reshape(2, 2), "conv.bias": torch.ones(2)}


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in weights().items()}


@pytest.mark.parametrize(
    "checkpoint",
    [
        weights(),
        {
            "model_state_dict": weights(),
            "optimizer_state_dict": {"state": {}, "param_groups": []},
            "epoch": 3,
        },
        {"state_dict": prefixed("module."), "best_acc1": torch.tensor(71.0)},
        {"state_dict": prefixed("model."), "pytorch-lightning_version": "2.4", "callbacks": {}},
        {"model": prefixed("_orig_mod."), "config": {"lr": 0.1, "layers": [1, 2]}},
        {"model": {"state_dict": prefixed("module._orig_mod.")}},
        prefixed("_orig_mod.module."),
        {"state_dict": weights(), "args": argparse.Namespace(lr=0.1, arch="resnet18")},
        {"state_dict": weights(), "best": np.float64(0.71), "seen": np.int64(3), "loss": np.float32(1)},
    ],
    ids=["bare", "script", "imagenet", "lightning", "compiled", "nested", "both", "namespace", "numpy"],
)
def test_plain_checkpoints_are_unwrapped(checkpoint: Any, tmp_path: Path) -> None:
    torch.save(checkpoint, tmp_path / "net.pt")
    read = read_state_dict(tmp_path / "net.pt")
    assert list(read) == list(weights())
    assert all(torch.equal(read[key], value) for key, value in weights().items())


def test_safetensors_with_a_prefix(tmp_path: Path) -> None:
    save_file(prefixed("module."), tmp_path / "net.safetensors")
    assert sorted(read_state_dict(tmp_path / "net.safetensors")) == sorted(weights())


def make_net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("stored", "expression"),
    [
        (lambda: make_net(), "model.state_dict()"),
        (lambda: {"model": make_net(), "epoch": 3}, 'model["model"].state_dict()'),
        (lambda: {"state_dict": make_net().state_dict(), "args": Settings()}, 'model["state_dict"]'),
    ],
    ids=["whole model", "model in a checkpoint", "objects beside weights"],
)
def test_the_two_lines_that_convert_do_convert(
    stored: Any, expression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "whole.pth"
    torch.save(stored(), path)
    with pytest.raises(ValueError, match="holds Python objects") as caught:
        read_state_dict(path)
    lines = [line.strip() for line in str(caught.value).splitlines() if line.startswith("    ")]
    assert lines[1] == f'torch.save({expression}, "whole-weights.pth")'
    (tmp_path / "convert.py").write_text("\n".join(["import torch", *lines]) + "\n")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("convert.py")
    assert sorted(read_state_dict(tmp_path / "whole-weights.pth")) == ["0.bias", "0.weight"]


def test_what_a_refused_file_needs_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": weights(), "args": Settings()}, tmp_path / "a.pth")
    with pytest.raises(
        ValueError, match=r"\(test_foreign_checkpoints\.Settings\).*--trust-pickle does|Settings"
    ):
        read_state_dict(tmp_path / "a.pth")


def test_a_program_of_torchscript_is_told_from_weights(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that TorchScript is old, which is why it is read here
        torch.jit.save(torch.jit.trace(make_net(), torch.ones(1, 2)), tmp_path / "program.pt")
    with pytest.raises(ValueError, match=r"program of TorchScript.*") as caught:
        read_state_dict(tmp_path / "program.pt")
    assert 'torch.jit.load("program.pt", map_location="cpu")' in str(caught.value)


def test_unpickling_takes_whole_models(tmp_path: Path) -> None:
    net = make_net()
    for stored in (net, {"model": net}, {"state_dict": net.state_dict(), "args": Settings()}):
        torch.save(stored, tmp_path / "net.pth")
        assert sorted(unpickle_state_dict(tmp_path / "net.pth")) == ["0.bias", "0.weight"]
    (tmp_path / "net.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be unpickled here"):
        unpickle_state_dict(tmp_path / "net.pth")
    assert sorted(unwrap_state_dict(net)) == ["0.bias", "0.weight"]
