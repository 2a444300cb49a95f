"""The verbs around `train`: what they ask of the pipeline and what they print."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flambeau.records import RunFolder


@pytest.fixture
def run(say: Callable[..., Any], pipeline: Any) -> Path:
    """A finished run, runs/digits-1, and files to use it on."""
    for name in ("a.png", "b.png", "broken.png", "a.csv", "new.csv"):
        Path(name).touch()
    assert say("train", "digits", "--quiet").code == 0
    pipeline.calls.clear()
    return Path("runs/digits-1")


def test_check_lists_every_item(say: Callable[..., Any], pipeline: Any) -> None:
    said = say("check", "photos", "--target", "x")
    assert said.code == 0
    assert said.out == (
        "  ! there is something\n      a\n      b\n      c\n      d\n      e\n"
        "12 samples: 0 errors, 1 warning, 0 remarks\n"
    )
    assert pipeline.calls[0][1]["recipe"].data.target == "x"


def test_check_fails_where_a_training_would_stop(say: Callable[..., Any], pipeline: Any) -> None:
    said = say("check", "bad", "--json")
    assert said.code == 1
    told = json.loads(said.out)
    assert (told["count"], told["schema"]["target"]) == (12, "price")
    assert told["findings"][0]["level"] == "error"


def test_evaluate_takes_a_run_and_a_source_or_the_newest_run(
    say: Callable[..., Any], pipeline: Any, run: Path
) -> None:
    for typed, source in (
        ((), None),
        (("digits-1",), None),
        (("new.csv",), "new.csv"),
        (("digits-1", "x"), "x"),
    ):
        assert say("evaluate", *typed).code == 0
        assert pipeline.calls[-1] == ("evaluate", {"run": run, "source": source})
    assert json.loads(say("evaluate", "--json").out)["test"]["accuracy"]["value"] == 0.9889
    assert (
        say("evaluate", "a", "b", "c").err
        == "evaluate takes a run and at most one source\n  got:      a b c\n"
    )
    assert "accuracy     0.9889  0.9741 to 1.0000" in say("evaluate").out


def test_predict_prints_lines_or_json(say: Callable[..., Any], pipeline: Any, run: Path) -> None:
    assert say("predict", "a.png", "b.png").out == "a.png  cat  0.88\nb.png  cat  0.88\n"
    said = say("predict", str(run), "a.png", "--json", "--batch", "2")
    assert json.loads(said.out) == {
        "input": "a.png", "label": "cat", "probabilities": {"cat": 0.875, "dog": 0.125}
    }  # fmt: skip
    call = pipeline.calls[-1][1]
    assert (call["run"].path, call["paths"], call["batch"]) == (run, ["a.png"], 2)


def test_predict_goes_on_after_an_input_that_cannot_be_read(
    say: Callable[..., Any], pipeline: Any, run: Path
) -> None:
    said = say("predict", "a.png", "broken.png", "b.png")
    assert said.out.splitlines()[1:] == [
        "broken.png  not readable: the file ends too early",
        "b.png  cat  0.88",
    ]
    assert (said.code, said.err) == (1, f"run       {run}\n1 input of 3 could not be read\n")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ["predict"],
            "nothing to predict is named\n  expected: pictures, folders of pictures, or tables\n"
            "  next:     flambeau predict runs/digits-1 YOUR_FILES\n",
        ),
        (
            ["predict", "a.csv", "--out", "x.xls"],
            "predictions cannot be written so\n  got:      x.xls\n"
            "  expected: a file that ends in .parquet, .csv or .jsonl\n",
        ),
        (
            ["predict", "a.csv", "--out", "a.csv"],
            "the predictions would overwrite their own input\n  got:      --out a.csv\n",
        ),
        (
            ["predict", "a.csv", "--restart"],
            "--restart belongs to a file of predictions\n  expected: --out FILE beside it\n",
        ),
        (
            ["predict", "a.csv", "--json", "--out", "b.csv"],
            "--json prints and --out writes\n  expected: one of them\n",
        ),
    ],
)
def test_predict_refuses_before_the_work(
    say: Callable[..., Any], pipeline: Any, run: Path, typed: list[str], told: str
) -> None:
    said = say(*typed)
    assert (said.code, said.err, pipeline.calls) == (2, f"run       {run}\n{told}", [])


def test_without_a_run_there_is_nothing_to_predict_with(say: Callable[..., Any], pipeline: Any) -> None:
    Path("a.png").touch()
    said = say("predict", "a.png")
    assert said.code == 1
    assert said.err.startswith("there is no run yet\n")


def test_a_word_that_is_neither_a_run_nor_data_is_told_so(
    say: Callable[..., Any], pipeline: Any, run: Path
) -> None:
    said = say("predict", "digit-1", "a.png")
    assert said.code == 1
    assert said.err.startswith(
        "there is neither a run nor a file 'digit-1'\n  hint:     did you mean 'digits-1'?\n"
    )


def test_verify_marks_each_check(say: Callable[..., Any], pipeline: Any, run: Path) -> None:
    said = say("verify", "digits-1")
    assert said.out == "  ✓ files  23 files as the run left them\n  ✓ data   compared by content\n"
    said = say("verify", "digits-1", "other", "--retrain", "--json")
    assert said.code == 1
    assert [json.loads(line)["ok"] for line in said.out.splitlines()] == [True, False]
    assert pipeline.calls[-1][1] == {"run": run, "source": "other", "retrain": True}


def test_report_is_made_again_and_the_run_stays_whole(
    say: Callable[..., Any], pipeline: Any, run: Path
) -> None:
    assert say("report").out == "runs/digits-1/report.html\n"
    assert (run / "report.html").read_text() == "new"
    assert RunFolder(run).verify_digests() == {}


def test_runs_are_listed(say: Callable[..., Any], pipeline: Any, run: Path) -> None:
    RunFolder.create(None, "other").append({"kind": "note", "text": "began"})
    heading, *lines = say("runs").out.splitlines()
    words = {line.split()[0]: line.split()[3:] for line in lines}
    assert heading.split() == ["run", "when", "score", "95", "%", "interval", "took"]
    assert words == {
        "digits-1": ["accuracy", "0.9889", "0.9741", "to", "1.0000", "12", "s"],
        "other-1": ["unfinished"],
    }
    rows = [json.loads(line) for line in say("runs", "--json").out.splitlines()]
    assert {row["name"]: row["status"] for row in rows} == {"digits-1": "finished", "other-1": "unfinished"}


def test_no_runs_yet(say: Callable[..., Any], pipeline: Any) -> None:
    assert say("runs").out == "no runs under runs/ yet\n  next:     flambeau train YOUR_DATA\n"


def test_recipe_prints_only_the_recipe_on_stdout(
    say: Callable[..., Any], pipeline: Any, tmp_path: Path
) -> None:
    said = say("recipe", "digits", "--epochs", "3")
    assert (
        "  epochs: 3                           # given. Passes over the training samples; 0 only " in said.out
    )
    assert said.err == "read       looking\n"
    assert say("recipe", "digits", "--out", "r.yaml").out == ""
    assert "source: digits" in (tmp_path / "r.yaml").read_text()


def test_recipe_lists_options_and_gives_a_schema(say: Callable[..., Any]) -> None:
    text = say("recipe", "--options").out
    assert (
        "training.optimizer.lr\n    The largest learning rate.\n"
        "    a number above 0 and at most 10; default: auto\n" in text
    )
    assert json.loads(say("recipe", "--schema").out)["title"] == "Recipe"


def test_the_cache_is_shown_and_cleared(
    say: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAMBEAU_CACHE", str(tmp_path))
    place = tmp_path / "pictures"
    assert say("cache").out == (
        f"place   {place}\nlimit   20 GB (data.cache_gb); the least recently used goes first\n"
        "holds   0 entries, 0 bytes\n"
    )
    (place / "half").mkdir(parents=True)
    (place / "half" / "pixels.npy").write_bytes(b"x" * 1000)
    assert "1 entry, 1.0 kB" in say("cache", "show").out
    assert say("cache", "clear").out == f"cleared: 1.0 kB freed in {tmp_path}\n"
    assert not (place / "half").exists()
