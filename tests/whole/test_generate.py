"""Pictures from noise: train, resume, verify, sample, export, eject, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import flambeau as fb
from flambeau.cli.main import run as command
from flambeau.deploy.bundle import load_bundle, weights_digest
from flambeau.deploy.eject import eject
from flambeau.deploy.eject.check import check_script
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import load_model
from flambeau.errors import RecipeError, RunError, UsageError
from flambeau.evaluation.generated import Copies
from flambeau.pipeline import resume
from flambeau.records import RunFolder
from flambeau.stages.generate.judging import collapse_findings, copy_findings, verdict_of
from flambeau.training import clock
from flambeau.using import evaluate, verify

QUICK: dict[str, Any] = {
    "task": "generate",
    "epochs": 2,
    "batch_size": 12,
    "threads": 1,
    "generate.width": 3,
    "generate.score_samples": 60,
    "generate.sheet": 9,
    "evaluation.resamples": 100,
}


class _StoppedError(Exception):
    """What a listener raises in the middle of a training, as a kill would end it."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and bright squares on noise, 96 pictures of 8x8."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 60, (96, 8, 8), dtype=np.uint8)
    labels = np.arange(96) % 2
    images[labels == 1, 2:6, 2:6] += 150
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(path, images=images, labels=labels)
    return path


@pytest.fixture(scope="module")
def run(source: Path, tmp_path_factory: pytest.TempPathFactory) -> fb.Run:
    return fb.train(source, out=tmp_path_factory.mktemp("made") / "run", **QUICK)


def test_a_run_keeps_scores_sheets_and_a_report(run: fb.Run) -> None:
    folder = run.folder.path
    score = run.scores["test"]["frechet_distance"]
    assert 0 <= score["low"] <= score["value"] <= score["high"]
    assert set(run.scores["baselines"]) == {"training pictures", "blurred pictures", "noise"}
    references = {name: one["frechet_distance"] for name, one in run.scores["baselines"].items()}
    assert references["training pictures"] < references["noise"]
    assert "trained on the labels of the training part; it tells" in run.scores["measured"]
    assert len(run.scores["generated"]["classes"]) == 2
    sheets = {path.name for path in (folder / "samples").iterdir()}
    assert sheets >= {
        *("epoch-0001.png", "epoch-0002.png", "final.png", "interpolation.png", "nearest.png", "real.png")
    }
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") >= 6
    assert "Losses of both nets" in report
    assert run.folder.verify_digests() == {}


def test_epochs_are_scored_on_the_validation_part_and_logged(run: fb.Run) -> None:
    records = run.folder.read_log(["epoch"])
    assert [record["epoch"] for record in records] == [1, 2]
    for record in records:
        assert record["metric"] == "frechet_distance"
        assert {"score", "diversity", "generator_loss", "discriminator_loss"} <= record.keys()
    best = min(records, key=lambda record: record["score"])
    assert run.scores["best_epoch"] == best["epoch"]


def test_samples_are_pixels_and_equal_for_equal_seeds(run: fb.Run) -> None:
    one, same, other = run.sample(5, seed=1), run.sample(5, seed=1), run.sample(5, seed=2)
    assert (one.shape, one.dtype) == ((5, 8, 8, 1), np.uint8)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_sample_writes_a_sheet_an_array_or_a_folder(
    run: fb.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run.folder.path
    assert command(["sample", str(folder), "--count", "6"]) == 0
    with Image.open(folder / "samples" / "seed-0.png") as sheet:
        assert sheet.mode == "RGB"
    assert run.folder.verify_digests() == {}
    capsys.readouterr()
    assert command(["sample", str(folder), "--count", "3", "--out", "three.npz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == [8, 8, 1]
    with np.load(tmp_path / "three.npz") as arrays:
        assert arrays["images"].shape == (3, 8, 8, 1)
    assert command(["sample", str(folder), "--count", "3", "--out", "three"]) == 0
    assert len(list((tmp_path / "three").glob("*.png"))) == 3
    assert command(["sample", str(folder), "--out", "x.gif"]) == 2
    assert "a name that ends in .png or .npz, or the name of a folder" in capsys.readouterr().err


def test_verbs_that_ask_for_answers_tell_what_to_type(run: fb.Run) -> None:
    folder = run.folder.path
    with pytest.raises(UsageError, match="there is nothing to predict") as refused:
        run.predict("some.png")
    assert refused.value.command == f"flambeau sample {folder} --count 64"
    with pytest.raises(UsageError, match="there is nothing to evaluate on other data"):
        evaluate(run.folder, "digits")
    assert load_model(str(folder), Limits()).asked is not None
    assert evaluate(run.folder)["metric"] == "frechet_distance"


def test_a_model_that_predicts_makes_no_pictures(tmp_path: Path) -> None:
    other = fb.train("iris", out=tmp_path / "iris", epochs=1, threads=1, folds=0, baselines=False)
    with pytest.raises(UsageError, match="this model is for classification; it makes no pictures"):
        other.sample(3)


def test_the_same_seed_ends_in_equal_weights(run: fb.Run) -> None:
    checks = {row["what"]: row for row in verify(run.folder, retrain=True)}
    assert all(row["ok"] for row in checks.values()), checks


@pytest.mark.parametrize("stop_at", ["step", pytest.param("epoch", marks=pytest.mark.slow)])
def test_killed_and_resumed_equals_unbroken(
    run: fb.Run, source: Path, stop_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "SECONDS_BETWEEN_EPOCH_CHECKPOINTS", 0.0)
    monkeypatch.setattr(clock, "SECONDS_BETWEEN_STEP_RECORDS", 0.0)
    count = 0

    def stop(record: dict[str, Any]) -> None:
        nonlocal count
        count += record["kind"] == stop_at
        if count == (9 if stop_at == "step" else 2):
            raise _StoppedError

    out = tmp_path / "stopped"
    with pytest.raises(_StoppedError):
        fb.train(source, out=out, on_record=stop, **QUICK, **{"training.checkpoint_seconds": 0.0})
    again = resume(RunFolder(out))
    assert weights_digest(load_bundle(again.model).module) == weights_digest(run.module)
    assert again.read_json("scores.json")["test"] == run.scores["test"]


@pytest.mark.slow
def test_a_generator_goes_on_from_an_earlier_one(run: fb.Run, source: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    more = fb.train(
        source,
        out=tmp_path / "more",
        from_run=run.folder.path,
        on_record=lambda record: notes.append(str(record.get("text"))),
        **{**QUICK, "epochs": 1},
    )
    assert any("its discriminator is not part of a bundle" in note for note in notes)
    assert weights_digest(more.module) != weights_digest(run.module)
    with pytest.raises(RunError, match="the earlier run has other task"):
        fb.train(source, out=tmp_path / "other", from_run=run.folder.path, epochs=1)


def test_pictures_without_classes_are_scored_by_random_features(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "p.npz", images=draw.integers(0, 255, (60, 9, 7, 3), dtype=np.uint8))
    made = fb.train(tmp_path / "p.npz", out=tmp_path / "run", **{**QUICK, "epochs": 1, "generate.sheet": 4})
    assert "random weights" in made.scores["measured"]
    assert "classes" not in made.scores["generated"]
    assert made.sample(2).shape == (2, 9, 7, 3)


def test_options_without_meaning_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"training\.minutes has no meaning where pictures are made"):
        fb.train("digits", out=tmp_path / "run", task="generate", minutes=1)


def test_collapse_and_copies_are_told() -> None:
    (told,) = collapse_findings({"diversity": 0.1})
    assert (told.code, told.level) == ("mode-collapse", "warning")
    shares = {"diversity": 0.9, "classes": [0.5, 0.5, 0.0], "classes_of_training": [0.3, 0.3, 0.4]}
    (told,) = collapse_findings(shares, ("a", "b", "c"))
    assert told.code == "missing-modes"
    assert told.items == ("c: 0.0%, of real ones 40.0%",)
    assert not collapse_findings({"diversity": 0.9, "classes": [0.5, 0.5], "classes_of_training": [0.4, 0.6]})
    (told,) = copy_findings(Copies(0.9, 0.01), 1000)
    assert told.code == "memorised"
    assert not copy_findings(Copies(0.02, 1.1), 1000)


@pytest.mark.slow
@pytest.mark.parametrize(("to", "suffix"), [("onnx", ".onnx"), ("pt2", ".pt2"), ("torchscript", ".pt")])
def test_exported_file_makes_the_same_pictures(run: fb.Run, tmp_path: Path, to: str, suffix: str) -> None:
    report = run.export(tmp_path / f"model{suffix}", to=to)
    assert report["agreement"] <= 1e-5
    done = subprocess.run(
        [sys.executable, str(report["example"]), "out.npy"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = np.load(tmp_path / "out.npy")
    assert (made.shape, made.dtype) == ((64, 8, 8, 1), np.uint8)
    with pytest.raises(UsageError, match="a generator is exported in fp32"):
        run.export(tmp_path / f"small{suffix}", to=to, quantize="int8" if to == "onnx" else "bf16")


@pytest.mark.slow
def test_ejected_script_ends_in_the_same_weights(run: fb.Run) -> None:
    script = eject(run.folder)
    assert "flambeau" not in script.replace(str(run.folder.path), "")
    result = check_script(run.folder, script, timeout_seconds=120)
    assert result.equal, (result.differing[:5], result.largest, result.output[-500:])


def test_a_net_that_noise_beats_is_not_praised() -> None:
    references = {"training pictures": 1.0, "blurred pictures": 70.1, "noise": 24.5}
    distance = {"value": 63.3, "low": 60.0, "high": 66.0}
    told, standing = verdict_of(distance, references, {"diversity": 0.9})
    assert standing == "worse" and "further from real ones than plain noise is" in told
    near = {"value": 9.0, "low": 8.0, "high": 10.0}
    assert verdict_of(near, references, {"diversity": 0.9})[1] == "better"
    told, standing = verdict_of(near, references, {"diversity": 0.1})
    assert standing == "unclear" and "the generator has collapsed" in told
