"""Columns that give the target away together: those that add up to it, or multiply to it."""

from __future__ import annotations

import numpy as np

from flambeau.data.samples import Samples
from flambeau.schema import Finding

FEWEST_ROWS, ROWS_A_COLUMN = 30, 5
MOST_ROWS, MOST_COLUMNS = 5_000, 300
MOST_MISSING = 0.05
# What may stay unexplained of the target's variance: parts that were rounded before they were added up.
ROUNDING = 1e-5


def check_sums(samples: Samples, known: tuple[str, ...] = ()) -> list[Finding]:
    """A warning where columns of numbers together make up a target that is a number.

    Of many rows, evenly spaced ones are looked at; rows that are to be tested are not.

    Args:
        samples: of a table.
        known: columns that tell the target alone, which are told already.
    """
    if samples.columns is None or samples.schema.task != "regression" or samples.targets.ndim != 1:
        return []
    rows = np.arange(len(samples)) if samples.parts is None else np.flatnonzero(samples.parts != "test")
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(np.int64))]
    targets = samples.targets[rows].astype(np.float64)
    columns = {
        name: values[rows].astype(np.float64)
        for name, values in samples.columns.items()
        if name not in known and values.dtype.kind in "fiub"
    }
    names, table, there = _whole_columns(columns)
    for logarithms, words in ((False, "add up to it"), (True, "multiply to it")):
        found = _explaining(names, table, targets[there], logarithms=logarithms)
        if found:
            dropped = ",".join(found)
            message = (
                f"'{samples.schema.target}' follows from columns together: {', '.join(found)} {words}. If they are "
                f"known only once the target is, the score means nothing: train without (--set data.drop=[{dropped}])"
            )
            return [Finding("warning", "leak-through-covariate", message, found)]
    return []


def _whole_columns(columns: dict[str, np.ndarray]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Columns that vary and are hardly ever missing; their values in the rows where all are; (rows,) bool of these."""
    kept = {
        name: values
        for name, values in columns.items()
        if np.isfinite(values).mean() >= 1 - MOST_MISSING and np.nanmax(values) > np.nanmin(values)
    }
    if not kept:
        count = len(next(iter(columns.values()), np.empty(0)))
        return (), np.empty((0, 0)), np.zeros(count, dtype=bool)
    table = np.stack(list(kept.values()), axis=1)
    there = np.isfinite(table).all(axis=1)
    return tuple(kept), table[there], there


def _explaining(
    names: tuple[str, ...], table: np.ndarray, targets: np.ndarray, *, logarithms: bool
) -> tuple[str, ...]:
    """The fewest columns whose sum, or product, is the target; () where there are none, or one alone."""
    if len(names) < 2 or len(targets) < FEWEST_ROWS:
        return ()
    if logarithms:
        positive = np.flatnonzero(table.min(axis=0) > 0)
        if not len(positive) or not targets.min() > 0:
            return ()
        names = tuple(names[place] for place in positive.tolist())
        table, targets = np.log(table[:, positive]), np.log(targets)
    spread = table.std(axis=0)
    varied = np.flatnonzero(spread > 0)
    names = tuple(names[place] for place in varied.tolist())
    scaled = (table[:, varied] - table[:, varied].mean(axis=0)) / spread[varied]
    centred = targets - targets.mean()
    if not np.square(centred).sum() > 0:
        return ()
    likeliest = np.argsort(-np.abs(scaled.T @ centred), kind="stable")[:MOST_COLUMNS]
    if len(targets) < ROWS_A_COLUMN * len(likeliest):
        return ()
    left, weights = _unexplained(scaled[:, likeliest], centred)
    if left > ROUNDING:
        return ()
    order = likeliest[np.argsort(-np.abs(weights), kind="stable")]
    for count in range(1, len(order) + 1):
        if _unexplained(scaled[:, order[:count]], centred)[0] <= ROUNDING:
            # one alone is told as a column that leaks, or is a change of units
            return tuple(names[place] for place in sorted(order[:count].tolist())) if count > 1 else ()
    return ()


def _unexplained(inputs: np.ndarray, outputs: np.ndarray) -> tuple[float, np.ndarray]:
    """The share of the variance of (rows,) outputs that no linear function of (rows, inputs) explains; its weights."""
    weights = np.linalg.lstsq(inputs, outputs, rcond=1e-10)[0]
    return float(np.square(outputs - inputs @ weights).sum() / np.square(outputs).sum()), weights
