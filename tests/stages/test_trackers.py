"""Curves of a run in other tools: what is handed on, what is kept for a resumed run, and what fails quietly."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flambeau as fb
from flambeau.errors import UsageError
from flambeau.recipe import Recipe
from flambeau.recipe.text import with_settings
from flambeau.records import RunFolder
from flambeau.stages import trackers
from flambeau.stages.trackers import Trackers, check_trackers, scalars_of


def test_steps_count_on_over_epochs_and_epochs_from_one() -> None:
    step = {"kind": "step", "stage": "", "epoch": 3, "steps": 10, "step": 4, "loss": 0.5, "lr": 0.1, "x": 1}
    assert list(scalars_of(step)) == [("step/loss", 0.5, 24), ("step/lr", 0.1, 24)]
    epoch = {
        "kind": "epoch",
        "stage": "fold 1 of 5",
        "epoch": 3,
        "loss": 0.5,
        "score": 0.9,
        "metric": "accuracy",
    }
    assert list(scalars_of(epoch)) == [
        ("fold 1 of 5/epoch/loss", 0.5, 3),
        ("fold 1 of 5/epoch/accuracy", 0.9, 3),
    ]


def test_numbers_that_are_missing_have_no_curve() -> None:
    assert list(scalars_of({"kind": "epoch", "epoch": 1, "loss": 1.0, "gradient_norm": None})) == [
        ("epoch/loss", 1.0, 1)
    ]
    assert list(scalars_of({"kind": "note", "text": "hello"})) == []


class _Planted:
    """A tracker that fails from the third number on."""

    def __init__(self, run: RunFolder, options: dict[str, Any], earlier: str | None) -> None:
        self.name = earlier or "planted-1"
        self.told: list[tuple[str, float, int]] = []
        self.closed = False
        _PLANTED.append(self)

    def scalar(self, name: str, value: float, step: int) -> None:
        if len(self.told) == 2:
            raise ConnectionError("the server is gone")
        self.told.append((name, value, step))

    def close(self) -> None:
        self.closed = True


_PLANTED: list[_Planted] = []


def test_a_tracker_that_fails_is_told_once_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(trackers.TRACKERS, "wandb", _Planted)
    _PLANTED.clear()
    notes: list[str] = []
    run = RunFolder.create(tmp_path / "run", "run")
    recipe = with_settings(Recipe(), {"log": ["wandb"]})
    following = Trackers(run, recipe, notes.append)
    for epoch in range(4):
        following({"kind": "epoch", "epoch": epoch + 1, "loss": 1.0})
    following.close()
    assert len(_PLANTED[0].told) == 2
    assert notes == ["wandb gets nothing more: ConnectionError: the server is gone"]
    # a resumed run goes on under the same name
    Trackers(run, recipe, notes.append)
    assert _PLANTED[1].name == "planted-1"


def test_one_whose_extra_is_not_installed_is_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"mlflow is not installed(.|\n)*flambeau\[mlflow\]"):
        check_trackers(with_settings(Recipe(), {"log": ["mlflow"]}))


def test_mlflow_and_wandb_are_called_as_they_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    mlflow = SimpleNamespace(
        set_experiment=lambda name: calls.append(("experiment", name)),
        start_run=lambda run_id, run_name: SimpleNamespace(info=SimpleNamespace(run_id=run_id or "m1")),
        log_params=lambda values: calls.append(("params", values)),
        log_metric=lambda name, value, step: calls.append((name, value, step)),
        end_run=lambda: calls.append(("end",)),
    )
    monkeypatch.setattr(trackers, "import_module", lambda name: {"mlflow": mlflow}[name])
    run = RunFolder.create(tmp_path / "run", "run")
    recipe = with_settings(Recipe(), {"log": ["mlflow"], "training.epochs": 3})
    following = Trackers(run, recipe, pytest.fail)
    following({"kind": "epoch", "epoch": 1, "loss": 1.0})
    following.close()
    assert calls == [
        ("experiment", "flambeau"),
        ("params", {"log": ["mlflow"], "training.epochs": 3}),
        ("epoch/loss", 1.0, 1),
        ("end",),
    ]
    assert json.loads((run.path / "trackers.json").read_text()) == {"mlflow": "m1"}


@pytest.mark.slow
def test_a_run_writes_curves_for_tensorboard(tmp_path: Path) -> None:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = fb.train("iris", out=tmp_path / "run", epochs=2, folds=0, log=["tensorboard"])
    events = loading.EventAccumulator(str(run.folder.path / "tensorboard"))
    events.Reload()
    logged = list(run.folder.read_log(["epoch"]))
    tags = [tag for tag in events.Tags()["scalars"] if tag.endswith("epoch/loss")]
    found = [event.value for tag in tags for event in events.Scalars(tag)]
    assert sorted(found) == pytest.approx(sorted(record["loss"] for record in logged))
