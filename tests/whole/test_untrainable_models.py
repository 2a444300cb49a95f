"""Modules that cannot be trained: each is told before the first step, with the place and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from flambeau.cli.main import run as run_command

MODELS = """
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels * 64, num_classes)
    def forward(self, x):
        return self.fc(x.flatten(1))

class Empty(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.layers = [nn.Linear(channels * 64, num_classes)]
    def forward(self, x):
        return self.layers[0](x.flatten(1))

class Frozen(Base):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, num_classes)
        self.requires_grad_(False)

class Devices(Base):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, num_classes)
        self.other = nn.Linear(3, 3, device="meta")

class Double(Base):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, num_classes)
        self.double()

class Root(nn.Module):
    def forward(self, x):
        return torch.sqrt(-1 - x.abs())

class Nan(Base):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, num_classes)
        self.root = Root()
    def forward(self, x):
        return self.fc(self.root(x).flatten(1))

class Weights(Base):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, num_classes)
        nn.init.constant_(self.fc.bias, float("nan"))
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Empty", "nn.ModuleList"),
        ("Frozen", "all have requires_grad=False"),
        ("Devices", "and on several"),
        ("Double", "'fc.weight' is float64"),
        ("Nan", "'root' (Root) is the first to give NaN or infinity"),
        ("Weights", "bias of 'fc' (Linear) holds NaN or infinity"),
    ],
)
def test_models_that_cannot_be_trained_are_told_before_the_first_step(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    (tmp_path / "models.py").write_text(MODELS)
    command = [
        "train",
        "digits",
        "--model",
        f"{tmp_path}/models.py:{name}",
        "--out",
        str(tmp_path / "run"),
    ]
    assert run_command([*command, "--epochs", "1", "--threads", "1", "--folds", "0", "--quiet"]) == 1
    captured = capfd.readouterr()
    assert words in captured.out + captured.err
    assert "Traceback" not in captured.out + captured.err
    assert not (tmp_path / "run").exists()
