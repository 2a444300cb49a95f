"""Tables whose columns hold pictures, texts and numbers: one model, from the file to answers and to a script."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.models import shufflenet_v2_x0_5

import flambeau as fb
from flambeau.cli.main import run as run_command
from flambeau.data.tables.rows import rows_as_columns
from flambeau.deploy.bundle import weights_digest
from flambeau.deploy.eject.check import check_script
from flambeau.deploy.why.mixed import explain_mixed
from flambeau.errors import DataError, RecipeError
from flambeau.records import RunFolder
from flambeau.using import verify

GOOD, BAD = ["bright", "sunny", "garden", "quiet"], ["noisy", "dark", "damp", "broken"]
FILL = ["the", "house", "is", "near", "a", "road", "with", "two", "floors", "and", "some", "windows"]
QUICK: dict[str, Any] = {
    "threads": 1,
    "folds": 0,
    "training.bags": 1,
    "evaluation.resamples": 100,
    "training.precision": "fp32",
}
# brightness is what the made pictures tell by
LIGHT: dict[str, Any] = {"image.augment.brightness": 0.0, "image.augment.contrast": 0.0}


def make_homes(
    folder: Path,
    *,
    rows: int = 60,
    text: bool = False,
    number: bool = True,
    classes: bool = False,
    seed: int = 0,
) -> Path:
    """A table with two columns of pictures, one of which lacks some, whose target needs every column."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    path = folder / "homes.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*["size"] * number, *["story"] * text, "front", "back", "price"])
        for row in range(rows):
            size, mood, light = rng.normal(), int(rng.integers(0, 2)), rng.uniform()
            words = [*rng.choice(FILL, 8), *rng.choice(GOOD if mood else BAD, 3)]
            rng.shuffle(words)
            names = []
            for side, level in (("front", light), ("back", rng.uniform())):
                pixels = np.zeros((12, 12, 3), np.uint8)
                pixels[..., 0] = int(255 * level)
                pixels[..., 1:] = rng.integers(0, 255, (12, 12, 2))
                name = f"images/{row}_{side}.png"
                Image.fromarray(pixels).save(folder / name)
                names.append("" if side == "back" and row % 7 == 0 else name)
            price = 20 + size * number + 2 * mood * text + 3 * light
            told = ("dear" if price > 21.5 else "cheap") if classes else f"{price:.3f}"
            writer.writerow([*[f"{size:.3f}"] * number, *[" ".join(words)] * text, *names, told])
    return path


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_homes(tmp_path_factory.mktemp("homes"))


@pytest.fixture(scope="module")
def finished(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[fb.Run]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CACHE", "STATE"):
            patch.setenv(f"FLAMBEAU_{name}", str(tmp_path_factory.mktemp(name.lower())))
        folder = tmp_path_factory.mktemp("runs") / "run"
        yield fb.train(homes, target="price", out=folder, epochs=2, **QUICK)


def test_a_run_answers_and_says_what_each_part_tells(finished: fb.Run, homes: Path) -> None:
    parts = finished.scores["parts"]
    assert set(parts) == {"numbers", "pictures"} and parts["pictures"]["columns"] == ["front", "back"]
    assert set(parts["numbers"]["difference"]["rmse"]) == {"value", "low", "high"}
    assert "alone" in finished.scores["verdict"] and "mape" in finished.scores["test"]
    worst = json.loads((finished.folder.path / "worst.json").read_text())[0]
    assert worst["png"] and worst["row"]["front"].startswith("images/")
    report = (finished.folder.path / "report.html").read_text()
    assert "Each kind of column alone" in report and str(homes.parent) not in json.dumps(worst)
    answers = finished.predict(homes)
    assert len(answers) == 60 and all(np.isfinite(answer["value"]) for answer in answers)
    image = homes.parent / "images" / "0_front.png"
    told = finished.predict([{"size": 0.5, "front": str(image), "back": None}])
    bytes_too = finished.predict([{"size": 0.5, "front": image.read_bytes(), "back": None}])
    assert told[0]["value"] == bytes_too[0]["value"]
    blank = finished.predict([{"size": 0.5, "front": None, "back": None}])
    assert blank[0]["value"] != told[0]["value"]
    why = explain_mixed(
        finished.bundle,
        rows_as_columns([{"size": 0.5, "front": str(image), "back": None}], finished.bundle.schema),
    )
    effects = {effect["column"]: effect["effect"] for effect in why["effects"]}
    assert why["answer"] == pytest.approx(told[0]["value"])
    assert effects["front"] == pytest.approx(told[0]["value"] - blank[0]["value"], rel=1e-4)
    assert effects["back"] == 0


def test_a_file_of_answers_names_rows_whose_picture_is_not_there(
    finished: fb.Run, homes: Path, tmp_path: Path
) -> None:
    lines = homes.read_text().splitlines()
    cells = lines[1].split(",")
    cells[1] = "images/gone.png"
    changed = homes.parent / "changed.csv"
    changed.write_text("\n".join([lines[0], ",".join(cells), *lines[2:6]]) + "\n")
    (homes.parent / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    assert (
        run_command(["predict", str(finished.folder.path), str(changed), "--out", str(tmp_path / "a.csv")])
        == 0
    )
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert "no picture that can be read" in rows[0]["strange"] and "no picture" not in rows[1]["strange"]


@pytest.mark.slow
def test_training_again_gives_the_same_weights(finished: fb.Run) -> None:
    checks = verify(finished.folder, retrain=True)
    assert all(check["ok"] for check in checks), checks


def test_pictures_alone_in_several_columns_are_classified(tmp_path: Path) -> None:
    path = make_homes(tmp_path / "data", number=False, classes=True)
    run = fb.train(path, target="price", out=tmp_path / "run", epochs=1, **QUICK)
    assert "parts" not in run.scores
    assert set(run.predict(path)[0]["probabilities"]) == {"cheap", "dear"}


@pytest.mark.slow
def test_gates_and_an_mlp(homes: Path, tmp_path: Path) -> None:
    options = {
        "mixed.fusion": "gated",
        "model": "mlp",
        "mixed.pictures": "small_resnet",
        "mixed.parts": False,
    }
    run = fb.train(homes, target="price", out=tmp_path / "run", epochs=1, **QUICK, **options)
    assert run.bundle.spec.arguments["fusion"] == "gated" and run.bundle.spec.arguments["members"] == 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"image.augment.mixup": 0.4}, RecipeError, "cannot be blended"),
        ({"image.flip_average": True}, RecipeError, "no mirror image"),
        ({"model": "small_resnet"}, fb.FlambeauError, "no model for several kinds"),
    ],
)
def test_what_cannot_be_is_refused(
    homes: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        fb.train(homes, target="price", out=tmp_path / "run", epochs=1, **QUICK, **options)


def test_no_option_that_was_given_is_idle(finished: fb.Run) -> None:
    told = " ".join(str(record.get("message")) for record in RunFolder(finished.folder.path).read_log())
    assert "no effect" not in told


@pytest.mark.slow
def test_the_logarithm_of_a_target_with_a_long_tail(homes: Path, tmp_path: Path) -> None:
    lines = homes.read_text().splitlines()
    rows = [line.rsplit(",", 1) for line in lines[1:]]
    long = homes.parent / "long.csv"
    long.write_text(
        "\n".join([lines[0], *(f"{start},{np.exp(float(end)):.1f}" for start, end in rows)]) + "\n"
    )
    run = fb.train(long, target="price", out=tmp_path / "run", epochs=1, **QUICK, **{"mixed.parts": False})
    assert run.bundle.target.log
    assert all(answer["value"] > 0 for answer in run.predict(long))
    with pytest.raises(DataError, match="no logarithm"):
        shifted = homes.parent / "shifted.csv"
        shifted.write_text(
            "\n".join([lines[0], *(f"{start},{float(end) - 30}" for start, end in rows)]) + "\n"
        )
        fb.train(shifted, target="price", out=tmp_path / "b", epochs=1, **QUICK, **{"table.log_target": True})


@pytest.mark.slow
def test_the_fused_model_uses_every_kind_of_column(tmp_path: Path) -> None:
    path = make_homes(tmp_path / "data", rows=300, text=True)
    run = fb.train(path, target="price", out=tmp_path / "run", epochs=10, **QUICK, **LIGHT)
    whole = run.scores["test"]["rmse"]["value"]
    parts = {kind: part["scores"]["rmse"] for kind, part in run.scores["parts"].items()}
    assert set(parts) == {"numbers", "texts", "pictures"}
    assert whole < 0.6 * min(parts.values())
    assert all(part["difference"]["rmse"]["high"] < 0 for part in run.scores["parts"].values())


@pytest.mark.slow
@pytest.mark.parametrize("learning_body", [False, True])
def test_the_script_ends_in_the_same_weights(tmp_path: Path, learning_body: bool) -> None:
    path = make_homes(tmp_path / "data", text=learning_body)
    options: dict[str, Any] = {**QUICK, "training.bags": 2, "mixed.parts": False}
    if learning_body:
        torch.manual_seed(0)
        tensors = {name: one.contiguous() for name, one in shufflenet_v2_x0_5().state_dict().items()}
        save_file(tensors, tmp_path / "weights_of_a_body.safetensors")
        options |= {"pretrained": str(tmp_path / "weights_of_a_body.safetensors"), "mixed.frozen": False}
        options |= {"image.size": 32}
    run = fb.train(path, target="price", out=tmp_path / "run", epochs=2, **options)
    script = tmp_path / "script.py"
    script.write_text(run.eject())
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True, timeout=300, capture_output=True)
    mine = load_file(tmp_path / "weights.safetensors")
    theirs = run.bundle.module.state_dict()
    assert mine.keys() == theirs.keys()
    assert all((mine[name] == theirs[name]).all() for name in theirs)


@pytest.mark.slow
def test_a_frozen_pretrained_body(tmp_path: Path, shared_data: Path, homes: Path) -> None:
    weights = shared_data / "weights" / "mobilenet_v2_imagenet1k.safetensors"
    options = {**QUICK, "pretrained": str(weights), "image.size": 32, "mixed.parts": False}
    run = fb.train(homes, target="price", out=tmp_path / "run", epochs=2, **options)
    again = fb.train(homes, target="price", out=tmp_path / "again", epochs=2, **options)
    assert weights_digest(run.bundle.module) == weights_digest(again.bundle.module)
    assert len(run.predict(homes)) == 60
    script = run.eject()
    assert "without_picture_body" in script and "train_gather" not in script
    assert check_script(run.folder, script, timeout_seconds=300).equal
