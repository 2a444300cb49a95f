"""`flambeau inspect` on a class of a person's own and on a run, and what it says of what it cannot show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import flambeau as fb
from flambeau.cli.main import run
from flambeau.using.inspection import parse_shape

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, channels, num_classes):
        super().__init__()
        self.body = nn.Conv2d(channels, 4, 3)
        self.head = nn.Linear(4, num_classes)

    def forward(self, pictures):
        return self.head(self.body(pictures).mean((2, 3)))
"""


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    return f"{tmp_path / 'net.py'}:Net"


def test_a_class_is_built_from_what_the_input_tells(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", net, "--input", "3x8x8", "--outputs", "7", "--batch", "2"]) == 0
    told = capsys.readouterr().out
    assert [line.split() for line in told.splitlines()[1:3]] == [
        ["body", "Conv2d", "2x4x6x6", "112", "7,776", "1.2", "kB"],
        ["head", "Linear", "2x7", "35", "56", "56", "bytes"],
    ]
    assert "channels=3, num_classes=7" in told
    assert "7,832 multiply-adds for 2 samples" in told


def test_json_holds_the_same(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", net, "--input", "1x8x8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in told["layers"]] == ["body", "head"]
    assert told["parameters"] == sum(layer["parameters"] for layer in told["layers"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the shape of one sample is not known"),
        (["--input", "1x8y"], "--input is the shape of one sample"),
        (["--input", "1x0x8"], "--input is the shape of one sample"),
        (["--input", "8"], "requires 'channels'"),
        (["--input", "3x2x2"], "fails on (1, 3, 2, 2)"),
        (["--input", "3x8x8", "--batch", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_shown_is_told(
    net: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", net, *arguments]) != 0
    assert words in capsys.readouterr().err


def test_shapes_are_read_with_their_kind() -> None:
    assert parse_shape("1x28x28") == ((1, 28, 28), False)
    assert parse_shape("40:int") == ((40,), True)


@pytest.mark.slow
def test_a_run_knows_its_own_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = fb.train("iris", out=tmp_path / "run", epochs=1, folds=0, training={"bags": 1})
    assert run(["inspect", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().out
    parameters = sum(p.numel() for p in trained.module.parameters())
    assert f"parameters  {parameters:,}, of which" in told
    assert run(["inspect", str(tmp_path / "run"), "--input", "4"]) != 0
