"""Runs on scans train, resume, eject, export, serve and predict alike, and keep nothing of a patient."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from made_scans import CLASSES, NAME, dicom_folders, nifti_folders, scan_pixels, write_dicom
from starlette.testclient import TestClient

import flambeau as fb
from flambeau.cli.main import flambeau
from flambeau.deploy.bundle import load_bundle, weights_digest
from flambeau.deploy.eject import eject
from flambeau.deploy.eject.check import check_script
from flambeau.deploy.serve.app import App
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import Models, load_model
from flambeau.pipeline import resume
from flambeau.records import RunFolder
from flambeau.training import clock

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("scans")]

SHORT: dict[str, Any] = {
    "training.epochs": 2,
    "training.batch_size": 16,
    "threads": 1,
    "evaluation.resamples": 100,
    "split.folds": 0,
}
CASES: dict[str, dict[str, Any]] = {
    "slices": {
        "training.sampler": "weighted",
        "evaluation.operating_point": "sensitivity=0.9",
        "image.augment.rotate": 5.0,
    },
    "volumes": {"scan.axis": "coronal", "scan.window": "full", "scan.depth": 8},
    "positions": {"scan.volume": False, "scan.low": 0.0, "scan.high": 500.0, "scan.position": 0.4},
}


class _StoppedError(Exception):
    """Ends a training in its middle, as a kill would."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scans")
    dicom_folders(root / "dicom", patients=18)
    nifti_folders(root / "nifti")
    return root


@pytest.fixture(scope="module")
def runs() -> dict[str, fb.Run]:
    return {}


def source_of(name: str, made: Path) -> Path:
    return made / ("dicom" if name == "slices" else "nifti")


def run_of(name: str, made: Path, runs: dict[str, fb.Run]) -> fb.Run:
    if name not in runs:
        runs[name] = fb.train(source_of(name, made), out=made / "runs" / name, **SHORT, **CASES[name])
    return runs[name]


@pytest.mark.parametrize("name", CASES)
def test_ejected_script_ends_in_the_same_weights(name: str, made: Path, runs: dict[str, fb.Run]) -> None:
    run = run_of(name, made, runs)
    script = eject(run.folder)
    assert "import flambeau" not in script and "from flambeau" not in script
    assert ("pydicom" in script) == (name == "slices")
    result = check_script(run.folder, script, timeout_seconds=120)
    assert result.equal, (result.differing[:5], result.largest, result.output[-500:])


@pytest.mark.parametrize("name", ["slices", "volumes"])
def test_resumed_run_ends_in_the_same_weights(
    name: str, made: Path, runs: dict[str, fb.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_of(name, made, runs)
    monkeypatch.setattr(clock, "SECONDS_BETWEEN_EPOCH_CHECKPOINTS", 0.0)

    def stop_after_an_epoch(record: dict[str, Any]) -> None:
        if record["kind"] == "epoch":
            raise _StoppedError

    out, options = made / "stopped" / name, {**SHORT, **CASES[name], "training.checkpoint_seconds": 0}
    with pytest.raises(_StoppedError):
        fb.train(source_of(name, made), out=out, on_record=stop_after_an_epoch, **options)
    again = resume(RunFolder(out))
    assert weights_digest(load_bundle(again.model).module) == weights_digest(whole.module)


@pytest.mark.parametrize("name", CASES)
def test_exported_and_served_answers_are_those_of_predict(
    name: str, made: Path, runs: dict[str, fb.Run], tmp_path: Path
) -> None:
    run = run_of(name, made, runs)
    assert run.export(tmp_path / "model.onnx")["agreement"] <= 1e-5
    files = sorted(path for path in source_of(name, made).rglob("*") if path.is_file())[::9]
    expected = run.predict(files)
    app = App(Models([load_model(str(run.folder.path), Limits())]), Limits(), api_key="", decoders=1)
    sent = [("file", (path.name, path.read_bytes(), "application/octet-stream")) for path in files]
    with TestClient(app) as client:
        answers = client.post("/predict", files=sent).json()["answers"]
        refused = client.post("/predict", files={"file": ("a.dcm", files[0].read_bytes()[:400])})
    assert refused.status_code == 422 and NAME.split("^")[0] not in refused.text
    for answer, told in zip(answers, expected, strict=True):
        assert answer["label"] == told["label"]
        assert answer["probabilities"] == pytest.approx(told["probabilities"], rel=1e-5, abs=2e-6)


def test_labels_are_decided_at_the_point_of_the_validation_part(made: Path, runs: dict[str, fb.Run]) -> None:
    run = run_of("slices", made, runs)
    point = run.scores["operating_point"]
    assert (point["rule"], point["positive"]) == ("sensitivity=0.9", CLASSES[1])
    assert load_bundle(run.folder.model).point == point["threshold"]
    assert {"value", "low", "high"} == point["rates"]["sensitivity"].keys()
    report = run.folder.report.read_text(encoding="utf-8")
    assert "ROC curve" in report and "from a probability of" in report
    answers = run.predict(sorted(path for path in (made / "dicom").rglob("*") if path.is_file()))
    for answer in answers:
        positive = answer["probabilities"][CLASSES[1]] >= point["threshold"]
        assert answer["label"] == CLASSES[positive]


def test_nothing_of_a_patient_is_written_anywhere(
    made: Path, runs: dict[str, fb.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAMBEAU_CACHE", str(tmp_path / "cache"))
    scans = dicom_folders(tmp_path / "scans", patients=16)
    (scans / CLASSES[0] / "broken.dcm").write_bytes(next(scans.rglob("*.dcm")).read_bytes()[:900])
    command = ["train", str(scans), "--out", str(tmp_path / "run")]
    for key, value in SHORT.items():
        command += ["--set", f"{key}={value}"]
    done = CliRunner().invoke(flambeau, command)
    assert done.exit_code == 0, done.output
    script = eject(RunFolder(tmp_path / "run"))
    fb.load(tmp_path / "run").export(tmp_path / "run" / "model.onnx")
    words = [*re.split(r"\W+", NAME), "19410203", "Hospital of"]
    assert all(word not in done.output and word not in script for word in words)
    kept = [*(tmp_path / "run").rglob("*"), *(tmp_path / "cache").rglob("*")]
    kept = [path for path in kept if path.is_file()]
    assert len(kept) > 15
    for path in kept:
        content = path.read_bytes()
        assert not [word for word in words if word.encode() in content], path


def test_broken_scans_are_named_and_left_out(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "scans" / CLASSES[number % 2] / f"{number}.dcm"
        write_dicom(path, scan_pixels(generator, number % 2), patient=f"{number}")
    broken = tmp_path / "scans" / CLASSES[0] / "cut.dcm"
    broken.write_bytes(path.read_bytes()[:1200])
    run = fb.train(tmp_path / "scans", out=tmp_path / "run", **SHORT)
    (told,) = [one for one in run.folder.read_log(["finding"]) if one["code"] == "unreadable"]
    assert "cut.dcm" in told["items"][0] and "damaged or cut off" in told["items"][0]
    assert "cut.dcm" in run.predict([broken])[0]["error"]
