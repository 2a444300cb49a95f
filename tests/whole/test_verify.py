"""What can be done with a finished run: verify it, train it again, evaluate it on other data, write its answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import flambeau as fb
from flambeau.cli.main import run as run_command
from flambeau.using import evaluate, verify

QUICK = {"epochs": 2, "threads": 1, "folds": 0}


def make_table(path: Path, rows: int = 80, shift: float = 0.0) -> Path:
    lines = ["size,colour,kind"]
    for index in range(rows):
        size = (index * 37 % 101) / 10 + shift
        lines.append(f"{size:.1f},{('red', 'blue')[index % 2]},{'large' if size > 5 else 'small'}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def finished(tmp_path: Path) -> fb.Run:
    return fb.train(make_table(tmp_path / "things.csv"), target="kind", out=tmp_path / "run", **QUICK)


def test_training_again_gives_the_same_weights(finished: fb.Run) -> None:
    checks = {check["what"]: check for check in verify(finished.folder, retrain=True)}
    assert checks.keys() == {"files", "data", "environment", "training again"}
    assert all(check["ok"] for check in checks.values()), checks


def test_a_run_that_went_on_from_another_repeats_too(finished: fb.Run, tmp_path: Path) -> None:
    further = fb.train(
        tmp_path / "things.csv", target="kind", from_run=tmp_path / "run", out=tmp_path / "further", **QUICK
    )
    checks = verify(further.folder, retrain=True)
    assert all(check["ok"] for check in checks), checks


def test_changed_data_are_noticed(finished: fb.Run, tmp_path: Path) -> None:
    make_table(tmp_path / "things.csv", shift=0.1)
    checks = {check["what"]: check for check in verify(finished.folder)}
    assert checks["files"]["ok"]
    assert not checks["data"]["ok"]


def test_other_labelled_data_are_scored(finished: fb.Run, tmp_path: Path) -> None:
    scores = evaluate(finished.folder, str(make_table(tmp_path / "other.csv", rows=40)))
    assert scores["rows"]["test"] == 40
    assert scores["test"]["accuracy"]["value"] > 0.5


def test_answers_as_a_table_and_as_lines(
    finished: fb.Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text("colour,size\nred,1.0\nblue,9.5\n")
    run, new = str(tmp_path / "run"), str(tmp_path / "new.csv")
    assert run_command(["predict", run, new, "--json"]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["input"] for line in lines] == ["row 1", "row 2"]
    assert all(set(line["probabilities"]) == {"large", "small"} for line in lines)
    assert run_command(["predict", run, new, "--out", str(tmp_path / "out.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == [line["label"] for line in lines]
    assert run_command(["predict", run, new, "--out", str(tmp_path / "out.parquet")]) == 0
    assert (tmp_path / "out.parquet").stat().st_size > 0


def test_a_missing_column_is_named(
    finished: fb.Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text("colour\nred\n")
    assert run_command(["predict", str(tmp_path / "run"), str(tmp_path / "new.csv")]) == 1
    assert "size" in capfd.readouterr().err


def test_values_that_are_no_numbers_are_told(
    finished: fb.Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text("colour,size\nred,abc\nblue,9.5\n")
    assert run_command(["predict", str(tmp_path / "run"), str(tmp_path / "new.csv")]) == 0
    assert "1 value of 'size' is no number and counts as missing" in capfd.readouterr().err


def test_a_score_on_samples_that_were_trained_on_says_so(
    finished: fb.Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["evaluate", str(tmp_path / "run"), str(tmp_path / "things.csv")]) == 0
    assert "were trained on" in capfd.readouterr().out
