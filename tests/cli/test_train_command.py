"""`flambeau train` and `resume`: what was typed becomes a recipe, and records become words."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flambeau.records import RunFolder

PLAIN_OUTPUT = """\
read       1,797 pictures in 10 classes
  ! 4 duplicates
      a
      b
      c
      and more; the report and --json list them
  · classes are balanced
  training.epochs               2            enough for a test
  image.size                    8 × 8        as they are
  this takes about 2 s
  2 epochs in 2.0 s; best accuracy 0.7500 at epoch 1

                                                        logistic
             test part     95 % interval   majority   regression
  accuracy      0.9889  0.9741 to 1.0000     0.1000       0.9667
  log loss      0.0452  0.0200 to 0.0700      23.10

report    runs/digits-1/report.html
predict   flambeau predict runs/digits-1 YOUR_FILES

The best baseline is beaten.
"""


def squeezed(text: str) -> str:
    return re.sub(r" {2,}", "  ", text)


def asked(pipeline: Any) -> Any:
    """The arguments of the last call."""
    return pipeline.calls[-1][1]


def test_a_run_is_told_in_plain_lines(say: Callable[..., Any], pipeline: Any) -> None:
    said = say("train", "digits")
    assert (said.code, said.err) == (0, "")
    assert squeezed(said.out) == squeezed(PLAIN_OUTPUT)


def test_quiet_prints_the_verdict_and_the_folder(say: Callable[..., Any], pipeline: Any) -> None:
    assert say("train", "digits", "--quiet").out == "The best baseline is beaten.\nruns/digits-1\n"


def test_json_prints_records_and_nothing_else(say: Callable[..., Any], pipeline: Any) -> None:
    said = say("train", "digits", "--json")
    records = [json.loads(line) for line in said.out.splitlines()]
    assert [record["kind"] for record in records][-3:] == ["epoch", "scores", "run"]
    assert records[-1] == {"kind": "run", "run": "runs/digits-1"}
    assert len(records) == 11
    assert said.err == ""


def test_flags_and_settings_make_the_recipe(say: Callable[..., Any], pipeline: Any, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("seed: 5\ntraining: {epochs: 9, batch_size: 8}\n")
    typed = "--target 2024 --task auto --model net.py:Net --epochs 3 --minutes 1.5 --batch-size 16 --lr 1e-3 "
    typed += "--folds 0 --refit --no-baselines --threads 2 --recipe r.yaml --set image.size=[8,4] --out here "
    typed += "--tune-precision"
    assert say("train", "digits", *typed.split()).code == 0
    recipe = asked(pipeline)["recipe"]
    assert recipe.model_dump(exclude_unset=True) == {
        "source": "digits",
        "task": None,
        "seed": 5,
        "threads": 2,
        "data": {"target": "2024"},
        "split": {"folds": 0, "refit": True},
        "image": {"size": (8, 4)},
        "model": {"name": "net.py:Net"},
        "training": {"epochs": 3, "minutes": 1.5, "batch_size": 16, "optimizer": {"lr": 0.001}},
        "evaluation": {"baselines": False},
    }
    assert asked(pipeline)["out"] == Path("here")
    assert asked(pipeline)["tune"] is True
    assert asked(pipeline)["command"] == f"flambeau train digits {typed}".replace(
        "image.size=[8,4]", "'image.size=[8,4]'"
    )


def test_the_source_may_stand_in_the_recipe(say: Callable[..., Any], pipeline: Any, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("source: digits\n")
    assert say("train", "--recipe", "r.yaml").code == 0
    assert asked(pipeline)["source"] == "digits"
    assert say("train", "other", "--recipe", "r.yaml").code == 0
    assert asked(pipeline)["source"] == "other"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            "",
            "no data is named\n  expected: a folder, a file, or the name of built-in data\n"
            "  next:     flambeau train digits\n",
        ),
        (
            "digits --epochs 3 --set training.epochs=5",
            "training.epochs is given twice, and differently\n"
            "  got:      --epochs 3 and --set training.epochs=5\n  expected: one of them\n",
        ),
        (
            "digits --epochs 3 --epochs 4",
            "training.epochs is given twice, and differently\n"
            "  got:      --epochs 3 and --epochs 4\n  expected: one of them\n",
        ),
        ("digits --epochs ten --lr 99", "--lr 99: expected a number above 0 and at most 10, got 99\n"
         "--epochs ten: expected an integer, got 'ten'\n"),
        ("digits --epochs [3", "--epochs [3: expected an integer, got '[3'\n"),
        (
            "digits --set trainng.epochs=3",
            "--set trainng.epochs=3: unknown option 'trainng.epochs'; did you mean 'training.epochs'?\n"
            "  next:     flambeau recipe --options\n",
        ),
        ("digits --recipe none.yaml", "the recipe cannot be read\n  where:    none.yaml\n"
         "  got:      No such file or directory\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_the_work(
    say: Callable[..., Any], pipeline: Any, typed: str, told: str
) -> None:
    said = say("train", *typed.split())
    assert (said.code, said.out, said.err) == (2, "", told)
    assert pipeline.calls == []


def test_the_same_value_twice_is_fine(say: Callable[..., Any], pipeline: Any) -> None:
    assert say("train", "digits", "--epochs", "3", "--set", "training.epochs=3").code == 0


def test_a_folder_that_is_taken_is_refused_before_the_work(
    say: Callable[..., Any], pipeline: Any, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "thesis.txt").write_text("years of work")
    said = say("train", "digits", "--out", "here")
    assert said.code == 1
    assert said.err.startswith(
        "this folder is not empty, and nothing in it will be overwritten\n  where:    here\n"
    )
    assert pipeline.calls == []


def test_ctrl_c_tells_how_to_go_on(say: Callable[..., Any], pipeline: Any) -> None:
    pipeline.error = KeyboardInterrupt()
    said = say("train", "digits")
    assert said.code == 130
    assert said.err == "stopped; what was done is saved. Go on with: flambeau resume runs/digits-1\n"
    said = say("train", "digits", "--out", "here")
    assert said.err == "stopped; what was done is saved. Go on with: flambeau resume here\n"


def test_ctrl_c_names_its_own_run_though_another_was_written_later(
    say: Callable[..., Any], pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = pipeline.train

    def beside_another(source: str, recipe: Any, **others: Any) -> Any:
        try:
            return train(source, recipe, **others)
        finally:
            later = RunFolder.create(Path("runs/book"), "book")
            later.append({"kind": "note", "text": "began"})
            later.write_json("environment.json", {"command": "flambeau train book.txt --out runs/book"})
            os.utime(later.log, (time.time() + 5, time.time() + 5))

    monkeypatch.setattr(sys.modules["flambeau.pipeline"], "train", beside_another)
    pipeline.error = KeyboardInterrupt()
    said = say("train", "digits")
    assert said.err == "stopped; what was done is saved. Go on with: flambeau resume runs/digits-1\n"


def test_another_run_to_start_from_must_exist(say: Callable[..., Any], pipeline: Any) -> None:
    say("train", "digits")
    said = say("train", "digits", "--from", "digit-1")
    assert "did you mean 'digits-1'?" in said.err
    assert say("train", "digits", "--from", "digits-1").code == 0
    assert asked(pipeline)["from_run"] == Path("runs/digits-1")


def test_resume_takes_the_newest_unfinished_run(say: Callable[..., Any], pipeline: Any) -> None:
    pipeline.error = KeyboardInterrupt()
    say("train", "digits")
    pipeline.error = None
    say("train", "digits")
    said = say("resume", "--quiet")
    assert asked(pipeline) == {"run": Path("runs/digits-1")}
    assert said.out.endswith("runs/digits-1\n")
