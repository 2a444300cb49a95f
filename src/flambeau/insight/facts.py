"""What a run left behind, read from its folder and checked, as one value for the report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flambeau.errors import FlambeauError, RunError
from flambeau.evaluation.metrics import TASK_METRICS, checked_arrays
from flambeau.recipe.describe import options
from flambeau.recipe.yaml_core import read_yaml
from flambeau.records.folder import RunFolder
from flambeau.schema import Schema


@dataclass(frozen=True)
class RecipeLine:
    """One resolved option of the run.

    Args:
        key: dotted.
        value: as it stands in recipe.yaml.
        origin: "yours" if the person gave it, "flambeau" if it was chosen for a reason, "default" otherwise.
        reason: why it was chosen, or what the option means.
    """

    key: str
    value: str
    origin: Literal["yours", "flambeau", "default"]
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """Targets and predictions of the scored part, and the positions of its rows among the samples.

    Of time series also the times of these rows, (n,) int64 seconds since 1970, or numbers of rows.
    """

    targets: np.ndarray
    predictions: np.ndarray
    indices: np.ndarray
    times: np.ndarray | None = None
    decided: np.ndarray | None = None

    @property
    def chosen(self) -> np.ndarray:
        """(n,) the class that was answered: at the operating point where there is one, else the most probable."""
        return self.predictions.argmax(axis=1) if self.decided is None else self.decided


@dataclass(frozen=True)
class RunFacts:
    """Everything that a report tells. What the run has not written yet is None or empty."""

    run: RunFolder
    day: date
    data: dict[str, Any]
    schema: Schema | None
    split: dict[str, Any]
    environment: dict[str, Any]
    recipe: tuple[RecipeLine, ...]
    records: tuple[dict[str, Any], ...]
    scores: dict[str, Any] | None
    evaluation: Evaluation | None
    worst: tuple[dict[str, Any], ...]

    def records_of(self, kind: str) -> list[dict[str, Any]]:
        """The log's records of one kind, in order."""
        return [record for record in self.records if record.get("kind") == kind]

    def option(self, key: str) -> str:
        """The value of an option as recipe.yaml has it, or "" where there is none."""
        return next((line.value for line in self.recipe if line.key == key), "")


def read_facts(folder: Path) -> RunFacts:
    """Read a run's folder.

    Raises:
        RunError: there is no such folder, it is no run, or one of its files is damaged; the file is named.
    """
    run = RunFolder(folder)
    if not run.path.is_dir():
        raise RunError("there is no such run", where=folder, command="flambeau runs")
    if not run.log.is_file():
        raise RunError(
            "this folder is not a run of flambeau: it has no log.jsonl", where=folder, command="flambeau runs"
        )
    data = _read_mapping(run, "data.json")
    schema = _read_schema(run, data)
    scores = _read_scores(run)
    return RunFacts(
        run=run,
        day=date.fromtimestamp(run.log.stat().st_mtime),
        data=data,
        schema=schema,
        split=_read_mapping(run, "split.json"),
        environment=_read_mapping(run, "environment.json"),
        recipe=_read_recipe(run),
        records=tuple(record for record in run.read_log() if isinstance(record, dict)),
        scores=scores,
        evaluation=_read_evaluation(run, schema) if scores is not None and schema is not None else None,
        worst=_read_worst(run),
    )


def _damaged(path: Path, got: object, expected: str) -> RunError:
    return RunError(
        f"{path.name} is damaged",
        where=path,
        got=got,
        expected=expected,
        command=f"flambeau verify {path.parent}",
    )


def _read_mapping(run: RunFolder, name: str) -> dict[str, Any]:
    path = run.path / name
    if not path.is_file():
        return {}
    value = run.read_json(name)
    if not isinstance(value, dict):
        raise _damaged(path, type(value).__name__, "a mapping")
    return value


def _read_schema(run: RunFolder, data: dict[str, Any]) -> Schema | None:
    if not data:
        return None
    try:
        return Schema.from_json(data["schema"])
    except (KeyError, FlambeauError) as error:
        raise _damaged(run.data, error, "a schema with source, task, target, classes and columns") from error


def _read_scores(run: RunFolder) -> dict[str, Any] | None:
    scores = _read_mapping(run, "scores.json")
    if not scores:
        return None
    test = scores.get("test")
    if scores.get("task") not in TASK_METRICS or not isinstance(test, dict):
        raise _damaged(run.scores, list(scores), "the keys task, rows, test and baselines")
    for metric, score in test.items():
        if not isinstance(score, dict) or not {"value", "low", "high"} <= score.keys():
            raise _damaged(run.scores, f"{metric}: {score}", "value, low and high")
    # JSON has no NaN: a score that could not be computed was written as null, and is not told.
    return {**scores, "test": {name: score for name, score in test.items() if None not in score.values()}}


def _read_evaluation(run: RunFolder, schema: Schema) -> Evaluation | None:
    if not run.evaluation.is_file():
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(run.evaluation)
        targets, predictions = checked_arrays(schema.task, tensors["targets"], tensors["predictions"])
        indices = tensors.get("indices", np.arange(len(targets)))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise _damaged(run.evaluation, error, "targets, predictions and indices that fit together") from error
    if schema.classes and predictions.shape[1] != len(schema.classes):
        raise _damaged(run.evaluation, predictions.shape, f"probabilities of {len(schema.classes)} classes")
    decided = tensors.get("decided")
    if decided is not None and (decided.shape != targets.shape or decided.dtype.kind != "i"):
        raise _damaged(run.evaluation, f"decided {decided.shape} {decided.dtype}", "one class a row")
    return Evaluation(targets, predictions, indices, tensors.get("times"), decided)


def _read_worst(run: RunFolder) -> tuple[dict[str, Any], ...]:
    if not run.worst.is_file():
        return ()
    worst = run.read_json(run.worst.name)
    if not isinstance(worst, list) or not all(isinstance(item, dict) for item in worst):
        raise _damaged(run.worst, type(worst).__name__, "a list of samples")
    return tuple(worst)


def _read_recipe(run: RunFolder) -> tuple[RecipeLine, ...]:
    """The options of recipe.yaml with the comments that tell who chose them and why."""
    if not run.recipe.is_file():
        return ()
    try:
        text = run.recipe.read_text(encoding="utf-8")
        places = read_yaml(text, str(run.recipe)).places
    except (FlambeauError, UnicodeDecodeError) as error:
        raise _damaged(run.recipe, str(error).splitlines()[0], "a recipe in YAML") from error
    raw_lines = text.splitlines()
    result = []
    for key, option in options().items():
        place = places.get(tuple(key.split(".")))
        if option.section is not None or place is None:
            continue
        # The writer puts two spaces before a comment and never two in a row inside one.
        raw, _, comment = raw_lines[place[0] - 1].rpartition("  # ")
        meaning = " ".join((option.field.description or "").split())
        origin: Literal["yours", "flambeau", "default"] = "flambeau"
        if comment.startswith("given."):
            origin, comment = "yours", meaning
        elif comment == meaning or not raw:
            origin = "default"
        value = (raw or comment).partition(":")[2].strip()
        result.append(RecipeLine(key, value, origin, comment if raw else meaning))
    return tuple(result)
