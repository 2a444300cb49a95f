"""Two models on one test part: the paired difference, and every reason to refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_things import QUICK, make_things
from safetensors.numpy import load_file

import flambeau as fb
from flambeau.cli.main import run as run_command
from flambeau.errors import DataError, RunError
from flambeau.evaluation.uncertainty import paired_difference
from flambeau.records import RunFolder
from flambeau.using import compare


def folders(trained: Path, *names: str) -> list[RunFolder]:
    return [RunFolder(trained / name) for name in names]


def test_the_difference_is_that_of_the_runs_own_test_predictions(trained: Path) -> None:
    result = compare(*folders(trained, "good-1", "poor-1"))
    kept = [load_file(trained / name / "evaluation.safetensors") for name in ("good-1", "poor-1")]
    assert np.array_equal(kept[0]["indices"], kept[1]["indices"])
    expected = paired_difference(
        "classification", "accuracy", kept[0]["targets"], kept[1]["predictions"], kept[0]["predictions"]
    )
    assert result["differences"]["accuracy"] == pytest.approx(expected, abs=1e-9)
    assert result["rows"] == len(kept[0]["indices"])
    for scores, name in zip(result["scores"], ("good-1", "poor-1"), strict=True):
        own = json.loads((trained / name / "scores.json").read_text())["test"]
        assert scores["accuracy"] == pytest.approx(own["accuracy"]["value"])
    assert result["standing"] in ("worse", "unclear")
    assert "good-1" in result["verdict"] and "poor-1" in result["verdict"]


def test_verdicts_in_both_directions_and_of_equals(trained: Path) -> None:
    there = compare(*folders(trained, "good-1", "poor-1"))
    back = compare(*folders(trained, "poor-1", "good-1"))
    opposite = {"better": "worse", "worse": "better", "unclear": "unclear"}
    assert back["standing"] == opposite[there["standing"]]
    assert back["differences"]["accuracy"]["value"] == -there["differences"]["accuracy"]["value"]
    same = compare(*folders(trained, "good-1", "good-1"))
    assert same["standing"] == "equal"
    assert set(same["differences"]["accuracy"].values()) == {0.0}


def test_a_test_sample_that_the_other_was_trained_on_is_a_reason_to_refuse(trained: Path) -> None:
    with pytest.raises(RunError, match="other-1 was trained on samples that would test it") as caught:
        compare(*folders(trained, "good-1", "other-1"))
    assert "such as row" in str(caught.value)
    assert "same split" in str(caught.value)


def test_new_data_compare_runs_of_any_split(trained: Path, tmp_path: Path) -> None:
    new = make_things(tmp_path / "new.csv", rows=60, first=500)
    result = compare(*folders(trained, "good-1", "other-1"), str(new))
    assert result["rows"] == 60
    with pytest.raises(RunError, match="good-1 was trained on samples"):
        compare(*folders(trained, "good-1", "other-1"), str(make_things(tmp_path / "old.csv")))


def test_a_test_part_that_is_gone_is_told(trained: Path, things: Path) -> None:
    text = things.read_text()
    try:
        things.write_text("\n".join(text.splitlines()[:40]) + "\n")
        told: list[dict] = []
        result = compare(*folders(trained, "good-1", "poor-1"), listener=told.append)
        assert 2 <= result["rows"] < 18
        assert any(record.get("code") == "test-part-changed" for record in told)
        things.write_text("\n".join([text.splitlines()[0], "500.00,red,large", "0.99,blue,small"]) + "\n")
        with pytest.raises(RunError, match="not in these data any more"):
            compare(*folders(trained, "good-1", "poor-1"))
    finally:
        things.write_text(text)


@pytest.mark.slow
def test_models_of_other_questions_are_not_compared(trained: Path, things: Path, tmp_path: Path) -> None:
    other = fb.train(things, target="colour", out=tmp_path / "colour-1", epochs=1, **QUICK)
    with pytest.raises(RunError, match="different questions") as caught:
        compare(RunFolder(trained / "good-1"), other.folder)
    assert "target colour of colour-1" in str(caught.value)
    with pytest.raises(DataError):
        compare(*folders(trained, "good-1", "poor-1"), str(tmp_path / "absent.csv"))


@pytest.fixture(scope="module")
def folded(things: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the cross-validated runs one and two (the same folds), and three (other folds)."""
    root = tmp_path_factory.mktemp("folded")
    for name, epochs, seed in (("one", 6, 0), ("two", 1, 0), ("three", 1, 1)):
        fb.train(things, target="kind", out=root / name, epochs=epochs, seed=seed, **{**QUICK, "folds": 2})
    return root


def test_cross_validated_runs_are_compared_by_what_their_folds_kept(folded: Path) -> None:
    told: list[dict] = []
    result = compare(*folders(folded, "one", "two"), listener=told.append)
    kept = [load_file(folded / name / "evaluation.safetensors") for name in ("one", "two")]
    assert result["rows"] == 120
    for scores, name in zip(result["scores"], ("one", "two"), strict=True):
        own = json.loads((folded / name / "scores.json").read_text())["test"]
        assert scores["accuracy"] == pytest.approx(own["accuracy"]["value"])
    order = [np.argsort(arrays["indices"]) for arrays in kept]
    expected = paired_difference(
        "classification", "accuracy", kept[0]["targets"][order[0]],
        kept[1]["predictions"][order[1]], kept[0]["predictions"][order[0]],
    )  # fmt: skip
    assert result["differences"]["accuracy"] == pytest.approx(expected, abs=1e-9)
    assert any("cross-validations" in str(record) for record in told)


def test_why_cross_validated_runs_are_not_compared(folded: Path, trained: Path, tmp_path: Path) -> None:
    one = RunFolder(folded / "one")
    for other, reason in (
        (RunFolder(folded / "three"), "another split"),
        (RunFolder(trained / "good-1"), "another split"),
        (RunFolder.of_bundle(folded / "two" / "model"), "is a bundle"),
    ):
        with pytest.raises(RunError, match="after a cross-validation") as caught:
            compare(one, other)
        assert reason in str(caught.value)
    result = compare(
        one, RunFolder(folded / "three"), str(make_things(tmp_path / "n.csv", rows=40, first=500))
    )
    assert result["rows"] == 40


def test_the_command_prints_a_table_and_json(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(trained / "good-1"), str(trained / "poor-1")]
    assert run_command(["models", "compare", *runs]) == 0
    out = capsys.readouterr().out
    assert "accuracy" in out and "95 % interval" in out and "(18 samples)" in out
    assert run_command(["models", "compare", *runs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 18
