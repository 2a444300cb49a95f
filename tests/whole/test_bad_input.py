"""What people really type and have: every answer is a sentence, no traceback, nothing lost, exit code not 0."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flambeau.cli.main import run as run_command

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def flambeau(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process; gives its exit code and all it printed."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> tuple[int, str]:
        code = run_command([str(word) for word in words])
        captured = capfd.readouterr()
        text = captured.out + captured.err
        assert "Traceback" not in text
        assert "defect of flambeau" not in text, text
        return code, text

    return command


def make_pictures(
    folder: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 12, side: int = 12
) -> Path:
    generator = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(each):
            pixels = generator.integers(0, 100, (side, side, 3), dtype=np.uint8) + np.uint8(
                100 * (number % 2)
            )
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def make_table(path: Path, rows: int = 60) -> Path:
    generator = np.random.default_rng(0)
    lines = ["area,rooms,place,price"]
    for _ in range(rows):
        area, rooms = generator.uniform(30, 200), generator.integers(1, 7)
        place = ["north", "south"][generator.integers(2)]
        lines.append(f"{area:.1f},{rooms},{place},{area * 3 + rooms * 10 + generator.normal():.2f}")
    path.write_text("\n".join(lines) + "\n")
    return path


QUICK = ("--epochs", "1", "--folds", "0", "--threads", "1", "--no-baselines", "--quiet")


def test_no_such_path_names_the_nearest(flambeau: Command, tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos")
    code, text = flambeau("train", "fotos")
    assert code == 1
    assert "photos" in text


def test_an_empty_folder(flambeau: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, text = flambeau("train", "empty")
    assert code == 1
    assert "empty" in text
    assert not (tmp_path / "runs").exists()


def test_one_class(flambeau: Command, tmp_path: Path) -> None:
    code, text = flambeau("train", str(make_pictures(tmp_path / "photos", ("cat",))))
    assert code == 1
    assert "class" in text


def test_one_picture_a_class(flambeau: Command, tmp_path: Path) -> None:
    code, text = flambeau("train", str(make_pictures(tmp_path / "photos", each=1)))
    assert code == 1
    assert "at least" in text


def test_unreadable_pictures_are_left_out_and_listed(flambeau: Command, tmp_path: Path) -> None:
    photos = make_pictures(tmp_path / "photos")
    (photos / "cat" / "text.jpg").write_text("this is not a picture")
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole)
    (photos / "dog" / "cut.jpg").write_bytes(whole.read_bytes()[:400])
    code, text = flambeau("train", "photos", "--out", "run", *QUICK[:-1])
    assert code == 0, text
    assert "2 of 26 pictures cannot be read" in text
    assert "--pretrained" not in text, "pictures of 12 px are too small for pretrained weights"
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert data["count"] == 24
    assert not any("text.jpg" in name or "cut.jpg" in name for name in data["ids"])
    assert "cut.jpg" in (tmp_path / "run" / "report.html").read_text()


def test_one_pixel_and_a_bomb(flambeau: Command, tmp_path: Path) -> None:
    photos = make_pictures(tmp_path / "photos")
    Image.new("RGB", (1, 1)).save(photos / "cat" / "tiny.png")
    Image.new("1", (20_000, 20_000)).save(photos / "dog" / "huge.png")
    code, text = flambeau("train", "photos", "--out", "run", *QUICK[:-1])
    assert code == 0, text
    assert "1 of 26 pictures cannot be read" in text
    assert json.loads((tmp_path / "run" / "data.json").read_text())["count"] == 25


def test_class_folders_with_spaces_unicode_and_a_leading_dot(flambeau: Command, tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos", ("grüner Käse", "два слова", ".hidden"))
    code, text = flambeau("train", "photos", "--out", "run", *QUICK[:-1])
    assert code == 0, text
    assert ".hidden" in text
    labels = json.loads((tmp_path / "run" / "model" / "labels.json").read_text())
    assert labels == ["grüner Käse", "два слова"]


def test_a_misspelt_target_names_the_nearest(flambeau: Command, tmp_path: Path) -> None:
    make_table(tmp_path / "houses.csv")
    code, text = flambeau("train", "houses.csv", "--target", "prise")
    assert code != 0
    assert "did you mean 'price'?" in text


def test_no_target_names_the_likely_one(flambeau: Command, tmp_path: Path) -> None:
    make_table(tmp_path / "houses.csv")
    code, text = flambeau("train", "houses.csv")
    assert code != 0
    assert "--target price" in text


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("separator", lambda text: text.replace(",", ";")),
        ("bom", lambda text: "\ufeff" + text),
        ("three words", lambda text: text.replace("\n", "\nabout ninety,2,north,300\n", 3)),
        ("missing column", lambda text: "\n".join(f"{line}," for line in text.splitlines())),
        ("missing target", lambda text: text + "50,2,north,\n70,3,south,NA\n"),
    ],
)
def test_untidy_tables_train(
    flambeau: Command, tmp_path: Path, name: str, change: Callable[[str], str]
) -> None:
    path = make_table(tmp_path / "houses.csv")
    path.write_text(change(path.read_text()), encoding="utf-8")
    code, text = flambeau("train", "houses.csv", "--target", "price", "--out", "run", *QUICK[:-1])
    assert code == 0, text
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert scores["task"] == "regression"


def test_another_encoding_and_no_header(flambeau: Command, tmp_path: Path) -> None:
    path = make_table(tmp_path / "houses.csv")
    body = path.read_text().replace("north", "nördlich").splitlines()[1:]
    path.write_bytes("\n".join(body).encode("latin-1"))
    code, text = flambeau("train", "houses.csv", "--target", "price")
    assert code != 0
    assert "header" in text
    code, text = flambeau("train", "houses.csv", "--target", "column_4", "--out", "run", *QUICK[:-1])
    assert code == 0, text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--set", "training.optimizer.lrr=1"), "did you mean 'training.optimizer.lr'?"),
        (("--set", "training.epochs=ten"), "training.epochs"),
        (("--set", "split.train=1.5"), "split.train"),
        (("--set", "split.train=0.9", "--set", "split.valid=0.2"), "split.train"),
        (("--epoch", "3"), "--epochs"),
        (("--device", "cuda:7"), "device"),
        (("--device", "gpu"), "device"),
        (("--model", "resnett"), "did you mean 'resnet'?"),
        (("--pretrained", "missing.safetensors"), "missing.safetensors"),
    ],
)
def test_wrong_options(flambeau: Command, tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    make_pictures(tmp_path / "photos")
    code, text = flambeau("train", "photos", "--out", "run", *words)
    assert code != 0
    assert expected in text
    assert not (tmp_path / "run" / "scores.json").exists()


def test_a_recipe_with_faults_names_the_lines(flambeau: Command, tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos")
    (tmp_path / "r.yaml").write_text("training:\n  epochs: ten\n  learning_rte: 1e-3\n")
    code, text = flambeau("train", "photos", "--recipe", "r.yaml")
    assert code == 2
    assert "r.yaml:2" in text
    assert "r.yaml:3" in text


def test_a_folder_that_exists_is_not_overwritten(flambeau: Command, tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    code, text = flambeau("train", "photos", "--out", "run", *QUICK)
    assert code != 0
    assert "not empty" in text
    assert (tmp_path / "run" / "thesis.txt").read_text() == "years of work"


MODEL = """
import torch
from torch import nn

class Right(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.net(x)

class Wrong(Right):
    def forward(self, x):
        return self.net(x)[:, :1]

class Greedy(nn.Module):
    def __init__(self, secret):
        super().__init__()
"""


@pytest.mark.parametrize(
    ("name", "expected"), [("Wrong", "wrong shape"), ("Greedy", "secret"), ("Rihgt", "did you mean 'Right'?")]
)
def test_own_models_that_do_not_fit(flambeau: Command, tmp_path: Path, name: str, expected: str) -> None:
    make_pictures(tmp_path / "photos")
    (tmp_path / "net.py").write_text(MODEL)
    code, text = flambeau("train", "photos", "--model", f"net.py:{name}", "--out", "run", *QUICK)
    assert code != 0
    assert expected in text


def test_an_own_model_trains_and_answers_only_while_its_file_is_the_same(
    flambeau: Command, tmp_path: Path
) -> None:
    make_pictures(tmp_path / "photos")
    (tmp_path / "net.py").write_text(MODEL)
    code, text = flambeau("train", "photos", "--model", "net.py:Right", "--out", "run", *QUICK)
    assert code == 0, text
    code, text = flambeau("predict", "run", "photos/cat/0.png", "--json")
    assert code == 0, text
    assert json.loads(text.splitlines()[0])["label"] in ("cat", "dog")
    (tmp_path / "net.py").write_text(MODEL + "\nprint('changed')\n")
    code, text = flambeau("predict", "run", "photos/cat/0.png")
    assert code != 0
    assert "changed" in text


def test_resume_refuses_finished_runs_and_changed_data(flambeau: Command, tmp_path: Path) -> None:
    photos = make_pictures(tmp_path / "photos")
    code, text = flambeau("train", "photos", "--out", "run", *QUICK)
    assert code == 0, text
    code, text = flambeau("resume", "run")
    assert code == 1
    assert "finished" in text
    (tmp_path / "run" / "digests.json").unlink()
    (photos / "cat" / "0.png").unlink()
    code, text = flambeau("resume", "run")
    assert code == 1
    assert "1 removed (cat/0.png)" in text


def test_an_altered_bundle_is_refused(flambeau: Command, tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos")
    flambeau("train", "photos", "--out", "run", *QUICK)
    weights = tmp_path / "run" / "model" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 4
    weights.write_bytes(bytes(data))
    code, text = flambeau("predict", "run", "photos/cat/0.png")
    assert code == 1
    assert "altered or damaged" in text
    code, text = flambeau("verify", "run")
    assert code == 1
    assert "weights.safetensors" in text
