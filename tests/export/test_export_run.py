"""`flambeau export` on trained runs: the file, its metadata, its example run without flambeau, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch

import flambeau as fb
from flambeau.cli.main import run as run_command
from flambeau.deploy.export import write
from flambeau.deploy.export.formats import SUFFIXES, Request, check_request
from flambeau.errors import FlambeauError, ModelError, RunError, UsageError
from flambeau.records import RunFolder

FORMATS = list(SUFFIXES)
ROW = {"area": 93.5, "rooms": 3, "new": "yes", "sold": "2019-05-04 10:00:00", "colour": "red"}
SPARSE_ROW = {"area": None, "rooms": 2, "new": "", "sold": None, "colour": "never seen"}


def metadata_of(path: Path, to: str) -> dict[str, Any]:
    """The metadata, read as a stranger would."""
    if to == "onnx":
        text = onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map["flambeau"]
    else:
        extra = {"flambeau.json": ""}
        torch.export.load(path, extra_files=extra) if to == "pt2" else torch.jit.load(
            str(path), _extra_files=extra
        )
        text = extra["flambeau.json"]
    told: dict[str, Any] = json.loads(text)
    return told


def run_example(script: str, argument: str) -> Any:
    """What the example prints, in a Python whose path has no working tree on it."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, script, argument]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.parametrize("to", FORMATS)
def test_a_picture_is_answered_as_predict_does(to: str, picture_run: fb.Run, a_picture: Path) -> None:
    report = picture_run.export(to=to)
    assert report["agreement"] <= report["tolerance"] == 1e-5
    assert report["origin"] == "the test part" and report["rows"] >= 5
    assert report["compared_with"] == "flambeau predict of the files"
    assert picture_run.folder.verify_digests() == {}
    script = Path(report["example"]).read_text()
    assert "import flambeau" not in script and len(script.splitlines()) <= 35
    (expected,) = picture_run.predict(a_picture)
    assert run_example(report["example"], str(a_picture)) == pytest.approx(
        expected["probabilities"], abs=2e-6
    )
    told = metadata_of(Path(report["file"]), to)
    assert told["labels"] == ["cold", "warm"] and told["task"] == "classification"
    assert told["inputs"][0]["shape"] == ["batch", "height", "width", "channels"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.parametrize("to", FORMATS)
def test_rows_are_answered_as_predict_does(to: str, table_run: fb.Run) -> None:
    report = table_run.export(to=to)
    assert report["agreement"] <= 1e-5
    for row in (ROW, SPARSE_ROW):
        (expected,) = table_run.predict(row)
        assert run_example(report["example"], json.dumps(row)) == pytest.approx(expected["value"], rel=1e-6)
    told = {one["name"]: one for one in metadata_of(Path(report["file"]), to)["inputs"]}
    assert list(told) == ["area", "rooms", "new", "sold", "colour"]
    assert ("codes" in told["colour"]) == (to != "onnx")


@pytest.mark.slow
def test_without_its_data_a_run_is_compared_on_made_up_rows(table_run: fb.Run, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(table_run.folder.path, copied)
    data = json.loads((copied / "data.json").read_text())
    (copied / "data.json").write_text(json.dumps({**data, "count": 7}))
    report = fb.load(copied).export(tmp_path / "out.pt", to="torchscript")
    assert report["origin"].startswith("made up, because") and "7 rows" in report["origin"]
    assert report["agreement"] <= 1e-5


@pytest.mark.slow
def test_a_bundle_alone_can_be_exported(
    table_run: fb.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "shipped"
    shutil.copytree(table_run.folder.model, bundle)
    monkeypatch.chdir(tmp_path)
    report = write.export_run(RunFolder.of_bundle(bundle), "torchscript")
    assert Path(report["file"]) == Path("exports/shipped.pt") and report["agreement"] <= 1e-5


@pytest.mark.slow
def test_a_file_that_does_not_agree_is_not_kept(
    table_run: fb.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="does not agree with the trained model, so it is not kept"):
        table_run.export(tmp_path / "model.pt", to="torchscript")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_only_exports_are_overwritten(table_run: fb.Run, tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    target.write_text("something dear to somebody")
    with pytest.raises(RunError, match="will not be overwritten"):
        table_run.export(target, to="torchscript")
    assert target.read_text() == "something dear to somebody"
    with pytest.raises(UsageError, match=r"ends in \.pt or \.ts"):
        table_run.export(tmp_path / "notes.txt", to="torchscript")
    target.unlink()
    table_run.export(target, to="torchscript")
    table_run.export(target, to="torchscript")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "model_torchscript.py"]


@pytest.mark.slow
def test_the_command_line_prints_the_file_and_its_agreement(
    table_run: fb.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(table_run.folder.path), "--to", "torchscript", "--out", str(tmp_path / "m.pt")]
    assert run_command(words) == 0
    said = capsys.readouterr()
    assert f"wrote     {tmp_path / 'm.pt'}" in said.out and "max|a-b| / max|a|" in said.out
    assert "with the trained model" in said.out and "TorchScript is deprecated" in said.err
    assert run_command([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "torchscript"


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.append({"kind": "note", "text": "began"})
    with pytest.raises(RunError, match="not finished") as caught:
        write.export_run(folder, "onnx")
    assert caught.value.command.startswith("flambeau resume")


@pytest.mark.parametrize(
    ("to", "quantize", "words"),
    [
        ("onxx", None, "did you mean 'onnx'?"),
        ("onnx", "int9", "did you mean 'int8'?"),
        ("pt2", "int8", "flambeau export --to onnx --quantize int8"),
        ("onnx", "bf16", "flambeau export --to pt2 --quantize bf16"),
    ],
)
def test_what_cannot_be_asked_for(to: str, quantize: str | None, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_request(Request(to, quantize))
    assert words in str(caught.value)
    assert issubclass(UsageError, FlambeauError)
