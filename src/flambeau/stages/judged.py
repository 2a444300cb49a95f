"""What models said of tested samples and of validation samples, as values that the steps of the flow hand on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Validated:
    """Calibrated predictions on validation rows, by models that were not trained on them.

    Args:
        rows: (n,) positions of the samples.
        predictions: (n, classes) probabilities.
        point: the probability of the second of two classes from which it is answered, whichever of them is positive;
            None for the most probable.
        share: of the samples that the same models were trained on, how many the point answers with the second class;
            None where no other model is to be given a point like it.
    """

    rows: np.ndarray
    predictions: np.ndarray
    point: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Judged:
    """Predictions on tested samples.

    Args:
        rows: (n,) positions of the samples.
        predictions: of the model, in the units of the task.
        baselines: name → predictions on the same rows.
        raw: predictions before they were calibrated.
        alone: kind of columns → predictions of a model that saw only these.
        decided: (n,) the classes that are answered; None for other tasks.
        validated: predictions on the validation rows of each split.
        thresholds: (n,) the confidence below which each split's model gives up; None where none does.
    """

    rows: np.ndarray
    predictions: np.ndarray
    baselines: dict[str, np.ndarray]
    raw: np.ndarray
    alone: dict[str, np.ndarray] = field(default_factory=dict)
    decided: np.ndarray | None = None
    validated: tuple[Validated, ...] = ()
    thresholds: np.ndarray | None = None


def join_judged(parts: list[Judged]) -> Judged:
    """The tested samples of all folds, in the order of the data."""
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    names = [name for name in parts[0].baselines if all(name in part.baselines for part in parts)]
    return Judged(
        rows[order],
        np.concatenate([part.predictions for part in parts])[order],
        {name: np.concatenate([part.baselines[name] for part in parts])[order] for name in names},
        np.concatenate([part.raw for part in parts])[order],
        {name: np.concatenate([part.alone[name] for part in parts])[order] for name in parts[0].alone},
        _joined([part.decided for part in parts], order),
        tuple(one for part in parts for one in part.validated),
        _joined([part.thresholds for part in parts], order),
    )


def _joined(parts: list[np.ndarray | None], order: np.ndarray) -> np.ndarray | None:
    there = [part for part in parts if part is not None]
    return None if len(there) < len(parts) else np.concatenate(there)[order]
