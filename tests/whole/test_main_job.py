"""The main job on small made-up data: every task and source, from Python and from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import flambeau as fb

QUICK = {"epochs": 2, "threads": 1, "folds": 0}


def make_pictures(folder: Path, count: int = 45) -> tuple[list[str], np.ndarray]:
    """Pictures whose brightness is known."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    levels = generator.uniform(40, 200, count)
    names = []
    for index, level in enumerate(levels):
        pixels = np.clip(level + generator.normal(0, 20, (14, 18, 3)), 0, 255).astype(np.uint8)
        names.append(f"p{index}.png")
        Image.fromarray(pixels).save(folder / names[-1])
    return names, levels


def check_run_folder(run: fb.Run) -> None:
    folder = run.folder.path
    for name in (
        "recipe.yaml", "split.json", "data.json", "environment.json", "log.jsonl", "scores.json", "report.html",
        "evaluation.safetensors", "worst.json", "digests.json", "model/weights.safetensors", "model/schema.json",
        "model/preparation.json", "model/labels.json", "model/versions.json", "model/recipe.yaml",
    ):  # fmt: skip
        assert (folder / name).is_file(), name
    assert list((folder / "plots").glob("*.png"))
    for interval in run.scores["test"].values():
        assert interval["low"] <= interval["value"] <= interval["high"]
    split = json.loads((folder / "split.json").read_text())
    parts = [set(split[name]) for name in ("train", "valid", "test")]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert {
        name: len(part) for name, part in zip(("train", "valid", "test"), parts, strict=True)
    } == run.scores["rows"]


def test_regression_from_a_folder_and_a_csv(tmp_path: Path) -> None:
    names, levels = make_pictures(tmp_path / "scans" / "images")
    rows = "\n".join(f"{name},{level:.3f}" for name, level in zip(names, levels, strict=True))
    (tmp_path / "scans" / "labels.csv").write_text(f"file,brightness\n{rows}\n")
    run = fb.train(tmp_path / "scans", target="brightness", out=tmp_path / "run", **QUICK)
    check_run_folder(run)
    assert set(run.scores["test"]) == {"rmse", "mae", "mape", "r2"}
    answers = run.predict(
        [tmp_path / "scans" / "images" / names[0], tmp_path / "scans" / "images" / names[1]]
    )
    assert all(isinstance(answer["value"], float) for answer in answers)


def test_multilabel(tmp_path: Path) -> None:
    names, levels = make_pictures(tmp_path / "scans" / "images")
    labels = ["|".join(["bright"] * int(v > 90) + ["very"] * int(v > 140)) or "dark" for v in levels]
    rows = "\n".join(f"{name},{label}" for name, label in zip(names, labels, strict=True))
    (tmp_path / "scans" / "labels.csv").write_text(f"file,kind\n{rows}\n")
    run = fb.train(tmp_path / "scans", target="kind", out=tmp_path / "run", **QUICK)
    check_run_folder(run)
    assert run.scores["task"] == "multilabel"
    assert {"average_precision", "f1_macro"} <= set(run.scores["test"])
    (answer,) = run.predict(tmp_path / "scans" / "images" / names[0])
    assert set(answer["probabilities"]) == {"bright", "very", "dark"}


@pytest.mark.parametrize("bits", [8, 16])
def test_arrays_of_eight_and_sixteen_bits(tmp_path: Path, bits: int) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 2
    pixels = generator.integers(0, 2 ** (bits - 1), (40, 9, 9)) + (labels * 2 ** (bits - 2))[:, None, None]
    np.savez(tmp_path / "data.npz", images=pixels.astype(f"uint{bits}"), labels=labels)
    run = fb.train(tmp_path / "data.npz", out=tmp_path / "run", **QUICK)
    check_run_folder(run)
    assert run.bundle.schema.picture is not None
    assert run.bundle.schema.picture.bits == bits


def test_a_table_answers_rows_as_it_answers_files(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    lines = ["when,area,kind,price"]
    for index in range(60):
        area, kind = generator.uniform(30, 200), ("flat", "house")[generator.integers(2)]
        lines.append(
            f"2024-01-{1 + index % 28:02d},{area:.2f},{kind},{area * 3 + (kind == 'house') * 100:.2f}"
        )
    (tmp_path / "houses.csv").write_text("\n".join(lines))
    run = fb.train(tmp_path / "houses.csv", target="price", out=tmp_path / "run", **QUICK)
    check_run_folder(run)
    (tmp_path / "new.csv").write_text("when,area,kind\n2024-01-05,90.5,house\n2024-01-06,,castle\n")
    from_file = run.predict(tmp_path / "new.csv")
    from_rows = run.predict(
        [
            {"when": "2024-01-05", "area": 90.5, "kind": "house"},
            {"when": "2024-01-06", "area": None, "kind": "castle"},
        ]
    )
    assert [answer["value"] for answer in from_file] == [answer["value"] for answer in from_rows]


def test_the_same_seed_repeats_and_a_user_s_values_stay(tmp_path: Path) -> None:
    runs = [
        fb.train(
            "iris", out=tmp_path / f"run{number}", seed=seed, **{**QUICK, "training.optimizer.lr": 0.0123}
        )
        for number, seed in enumerate((3, 3, 4))
    ]
    states = [run.module.state_dict() for run in runs]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])
    assert "lr: 0.0123" in (tmp_path / "run0" / "recipe.yaml").read_text()
    assert runs[0].scores["test"] == runs[1].scores["test"]


def test_a_run_repeats_from_its_own_recipe_and_goes_on_from_another(tmp_path: Path) -> None:
    first = fb.train("iris", out=tmp_path / "first", **QUICK)
    again = fb.train("iris", recipe=tmp_path / "first" / "recipe.yaml", out=tmp_path / "again")
    pairs = zip(first.module.state_dict().values(), again.module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    further = fb.train("iris", from_run=tmp_path / "first", out=tmp_path / "further", **QUICK)
    assert further.scores["test"]["log_loss"]["value"] < first.scores["test"]["log_loss"]["value"]


def test_a_start_that_has_seen_the_samples_cannot_be_tested_on_them(tmp_path: Path) -> None:
    fb.train("iris", out=tmp_path / "first", refit=True, **QUICK)
    with pytest.raises(fb.FlambeauError, match="no honest test"):
        fb.train("iris", from_run=tmp_path / "first", out=tmp_path / "second", **QUICK)
    assert not (tmp_path / "second").exists()


def test_cross_validated_models_are_calibrated_by_what_they_said_themselves(tmp_path: Path) -> None:
    run = fb.train("iris", out=tmp_path / "run", epochs=6, threads=1, folds=3, **{"training.bags": 1})
    temperature = run.scores["calibration"]["temperature"]
    assert temperature == run.bundle.temperature
    assert temperature != pytest.approx(1.0, abs=0.02)


def test_cross_validation_tests_every_sample_once(tmp_path: Path) -> None:
    run = fb.train("iris", out=tmp_path / "run", epochs=2, threads=1, folds=3, **{"training.bags": 2})
    assert run.scores["method"] == "3-fold cross-validation"
    assert run.scores["rows"]["test"] == 150
    split = json.loads((run.folder.path / "split.json").read_text())
    assert sorted(row for fold in split["folds"] for row in fold["test"]) == list(range(150))


def test_photos_trained_from_scratch_name_the_command_that_would_help(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 255, (40, 40, 40, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=pixels, labels=np.arange(40) % 2)
    run = fb.train(tmp_path / "data.npz", out=tmp_path / "run", **{**QUICK, "epochs": 1})
    assert run.scores["advice"].endswith("--pretrained mobilenet_v2")
    small = fb.train("iris", out=tmp_path / "table", **{**QUICK, "epochs": 1})
    assert small.scores["advice"] is None
