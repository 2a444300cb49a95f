"""Two cross-validated runs, compared by the predictions that their folds kept: their models saw every sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.errors import RunError
from flambeau.insight.facts import Evaluation, read_facts
from flambeau.records import RunFolder
from flambeau.stages.starting.start import read_seen, read_tested

LISTED_PARTS = ("folds", "train", "valid", "test")


def saw_its_test(run: RunFolder) -> bool:
    """Whether the kept model was fitted on the very samples that gave its scores, as after a cross-validation.

    Raises RunError for a bundle that does not say what it has seen.
    """
    tested = read_tested(run.model)
    return len(tested) > 0 and bool(np.isin(tested, read_seen(run.model)).all())


def kept_predictions(
    runs: tuple[RunFolder, RunFolder], names: tuple[str, str]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Targets (n,) and the predictions of both for the same n samples, each by a model that had not seen the sample.

    Raises:
        RunError: one is a bundle without its run, or the two did not read the same data, or split them otherwise.
    """
    facts = []
    for run, name in zip(runs, names, strict=True):
        if not (run.evaluation.is_file() and run.data.is_file() and run.split.is_file()):
            raise _incomparable(
                f"{name} is a bundle, and the predictions of the folds are in the run's folder"
            )
        facts.append(read_facts(run.path))
    first, second = facts
    if first.data.get("fingerprint") != second.data.get("fingerprint"):
        raise _incomparable(f"{names[1]} was trained on other data than {names[0]}")
    if _parts(first.split) != _parts(second.split):
        raise _incomparable(f"{names[1]} was tested on another split than {names[0]}")
    one, other = _evaluation(first.evaluation, names[0]), _evaluation(second.evaluation, names[1])
    rows, here, there = np.intersect1d(one.indices, other.indices, return_indices=True)
    if not np.array_equal(one.targets[here], other.targets[there], equal_nan=one.targets.dtype.kind == "f"):
        raise _incomparable(f"{names[1]} kept other targets than {names[0]}")
    if not len(rows):
        raise _incomparable(f"{names[1]} was tested on none of the samples of {names[0]}")
    return one.targets[here], [one.predictions[here], other.predictions[there]]


def _parts(split: dict[str, Any]) -> dict[str, Any]:
    return {part: split.get(part) for part in LISTED_PARTS}


def _evaluation(kept: Evaluation | None, name: str) -> Evaluation:
    if kept is None:
        raise _incomparable(f"{name} did not keep its predictions")
    return kept


def _incomparable(got: str) -> RunError:
    return RunError(
        "after a cross-validation the kept model was trained on all samples, so only the predictions that the "
        "folds kept can be compared, and these two do not allow it",
        got=got,
        expected="the folders of two runs with the same data, --seed and folds; or, as a third word, labelled "
        "data that neither was trained on",
    )
