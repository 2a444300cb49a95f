"""Curves of a run in TensorBoard, MLflow or Weights & Biases, for those who asked for it: `--log tensorboard`.

Each is an extra (pip install 'flambeau[tensorboard]') and only repeats what log.jsonl has. TensorBoard and MLflow write
files here unless their own settings say otherwise; Weights & Biases sends the curves to its servers unless
WANDB_MODE=offline. What fails there never ends a training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from flambeau.errors import UsageError
from flambeau.recipe import Recipe
from flambeau.recipe.text import given_values
from flambeau.records import RunFolder, write_json
from flambeau.stages.journal import Journal

# The module that shows whether the extra is installed.
MODULES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
OF_A_STEP = ("loss", "lr", "gradient_norm", "samples_per_second", "memory_gb")
OF_AN_EPOCH = ("loss", "valid_loss", "score", "lr", "gradient_norm", "update_ratio", "seconds", "memory_gb")
KEPT_NAMES = "trackers.json"
PROJECT = "flambeau"

Scalar = tuple[str, float, int]


class Tracker(Protocol):
    """A place that keeps curves."""

    def scalar(self, name: str, value: float, step: int) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in the run's own folder: tensorboard --logdir RUN/tensorboard."""

    def __init__(self, run: RunFolder, options: dict[str, Any], earlier: str | None) -> None:
        writer = import_module("torch.utils.tensorboard").SummaryWriter
        self.name = run.name
        self._writer = writer(str(run.path / "tensorboard"))
        if earlier is None:
            self._writer.add_text("recipe", "\n".join(f"- {key}: {value}" for key, value in options.items()))

    def scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """A run of MLflow, where MLFLOW_TRACKING_URI says or in its usual place here."""

    def __init__(self, run: RunFolder, options: dict[str, Any], earlier: str | None) -> None:
        self._mlflow = import_module("mlflow")
        self._mlflow.set_experiment(PROJECT)
        started = self._mlflow.start_run(run_id=earlier, run_name=None if earlier else run.name)
        self.name = str(started.info.run_id)
        if earlier is None:
            self._mlflow.log_params(options)

    def scalar(self, name: str, value: float, step: int) -> None:
        self._mlflow.log_metric(name, value, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class WeightsAndBiases:
    """A run of Weights & Biases; epochs and steps have axes of their own."""

    def __init__(self, run: RunFolder, options: dict[str, Any], earlier: str | None) -> None:
        self._run = import_module("wandb").init(
            project=PROJECT, name=run.name, id=earlier, resume="allow", dir=str(run.path), config=options
        )
        self.name = str(self._run.id)
        self._run.define_metric("place")
        self._run.define_metric("*", step_metric="place")

    def scalar(self, name: str, value: float, step: int) -> None:
        self._run.log({name: value, "place": step})

    def close(self) -> None:
        self._run.finish()


TRACKERS: dict[str, Callable[[RunFolder, dict[str, Any], str | None], Any]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WeightsAndBiases,
}


@contextmanager
def followed(run: RunFolder, journal: Journal, recipe: Recipe) -> Iterator[None]:
    """While this is open, the trackers of the recipe follow what the journal tells."""
    trackers = Trackers(run, recipe, journal.note)
    journal.follow(trackers)
    try:
        yield
    finally:
        trackers.close()


def check_trackers(recipe: Recipe) -> None:
    """Raises UsageError, before anything is read, for a tracker whose extra is not installed."""
    for name in recipe.log:
        if find_spec(MODULES[name]) is None:
            raise UsageError(
                f"--log {name}: {MODULES[name]} is not installed", command=f"pip install 'flambeau[{name}]'"
            )


class Trackers:
    """Hands the curves of a run on to all trackers that its recipe names.

    Args:
        run: whose names at the trackers are kept, so that a resumed run goes on there.
        recipe: as it is resolved.
        note: receives a sentence where a tracker fails; that tracker gets nothing more.
    """

    def __init__(self, run: RunFolder, recipe: Recipe, note: Callable[[str], None]) -> None:
        self._note = note
        self._open: dict[str, Tracker] = {}
        if not recipe.log:
            return
        kept = run.path / KEPT_NAMES
        earlier = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        options = dict(_flat("", given_values(recipe)))
        for name in recipe.log:
            try:
                tracker = TRACKERS[name](run, options, earlier.get(name))
            except Exception as error:  # another library, its files and perhaps its servers
                self._lose(name, error)
                continue
            self._open[name] = tracker
            earlier[name] = tracker.name
        write_json(kept, earlier)

    def __call__(self, record: dict[str, Any]) -> None:
        """Take in one record of the run."""
        for name, tracker in list(self._open.items()):
            try:
                for scalar in scalars_of(record):
                    tracker.scalar(*scalar)
            except Exception as error:  # as above
                self._lose(name, error)

    def close(self) -> None:
        """Finish all of them."""
        for name, tracker in list(self._open.items()):
            try:
                tracker.close()
            except Exception as error:  # as above
                self._lose(name, error)
        self._open.clear()

    def _lose(self, name: str, error: Exception) -> None:
        self._open.pop(name, None)
        self._note(f"{name} gets nothing more: {type(error).__name__}: {str(error).splitlines()[0][:200]}")


def scalars_of(record: dict[str, Any]) -> Iterator[Scalar]:
    """Name, value and place on the axis of each number of a record that is worth a curve.

    Steps count over all epochs of a training, epochs from 1; several trainings of a run have names before theirs.
    """
    stage = f"{record['stage']}/" if record.get("stage") else ""
    if record["kind"] == "step":
        place = (record["epoch"] - 1) * record["steps"] + record["step"]
        yield from _numbers(record, OF_A_STEP, f"{stage}step/", place)
    elif record["kind"] == "epoch":
        yield from _numbers(record, OF_AN_EPOCH, f"{stage}epoch/", record["epoch"])
    elif record["kind"] == "scores":
        for metric, score in record.get("test", {}).items():
            yield f"test/{metric}", float(score["value"]), 0


def _numbers(record: dict[str, Any], keys: tuple[str, ...], prefix: str, place: int) -> Iterator[Scalar]:
    for key in keys:
        value = record.get(key)
        if isinstance(value, int | float):
            name = str(record.get("metric") or key) if key == "score" else key
            # MLflow takes no commas in a name
            yield (prefix + name).replace(",", ""), float(value), place


def _flat(prefix: str, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield prefix + key, value
