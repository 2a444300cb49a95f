"""Columns that give the target away together: those whose weighted sum it is, or a product of their powers."""

from __future__ import annotations

import numpy as np

from flambeau.data.samples import Samples
from flambeau.schema import Finding

FEWEST_ROWS, ROWS_A_COLUMN = 30, 5
MOST_ROWS, MOST_COLUMNS = 5_000, 300
# Of all rows, those that columns share: a value that is missing, or no factor above 0, leaves its row out.
FEWEST_SHARED = 0.5
# What may stay unexplained of the target's variance: parts that were rounded before they were added up.
ROUNDING = 1e-5
# So many rows must come out, each to so small a part of how far targets lie from their median: a few far-off rows may
# hold nearly all the variance, and be met by any two columns.
MOST_ROWS_OF_ALL, NEAR = 0.9, 1e-2
# Weights this near to 1 are of a plain sum or product.
PLAIN = 1e-3
MOST_NAMED = 8


def check_sums(samples: Samples, known: tuple[str, ...] = ()) -> list[Finding]:
    """A warning where columns of numbers together make up a target that is a number.

    Of many rows, evenly spaced ones are looked at; not those of a test part that the data came with. Most of
    them must come out, not only the few that hold most of the variance.

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
    for logarithms in (False, True):
        found, weights = _explaining(*_shared(columns, targets, logarithms=logarithms))
        if found:
            return [_told(samples.schema.target, found, _words(weights, logarithms=logarithms))]
    return []


def _told(target: str, found: tuple[str, ...], words: str) -> Finding:
    more = len(found) - MOST_NAMED
    names = ", ".join(found[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    dropped = ",".join(found[:MOST_NAMED]) + (",…" if more > 0 else "")
    message = (
        f"'{target}' follows from columns together: {names} {words}. If they are known only once the target is, the "
        f"score means nothing: train without (--set data.drop=[{dropped}])"
    )
    return Finding("warning", "leak-through-covariate", message, found)


def _words(weights: np.ndarray, *, logarithms: bool) -> str:
    plain = bool((np.abs(weights - 1) < PLAIN).all())
    if logarithms:
        return "multiply to it" if plain else "make it up as a product of their powers, such as a quotient"
    return "add up to it" if plain else "make it up as a weighted sum, such as a difference"


def _shared(
    columns: dict[str, np.ndarray], targets: np.ndarray, *, logarithms: bool
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Columns that vary, (rows, columns) of their values in the rows where all are there, and (rows,) targets.

    Of products only rows where all factors are above 0; values and targets are their logarithms.
    """
    names: list[str] = []
    there = {
        name: np.isfinite(values) & ((values > 0) | (not logarithms)) for name, values in columns.items()
    }
    all_there = targets > 0 if logarithms else np.ones(len(targets), dtype=bool)
    for name in sorted(columns, key=lambda name: -int(there[name].sum())):
        kept = all_there & there[name]
        fewest = max(FEWEST_SHARED * len(targets), ROWS_A_COLUMN * min(len(names) + 1, MOST_COLUMNS))
        if kept.sum() >= fewest and np.ptp(columns[name][kept]) > 0:
            names.append(name)
            all_there = kept
    names = [name for name in columns if name in names and np.ptp(columns[name][all_there]) > 0]
    if not names:
        return (), np.empty((0, 0)), targets[:0]
    table, targets = np.stack([columns[name][all_there] for name in names], axis=1), targets[all_there]
    return tuple(names), np.log(table) if logarithms else table, np.log(targets) if logarithms else targets


def _explaining(
    names: tuple[str, ...], table: np.ndarray, targets: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """The fewest columns whose weighted sum is the target, and (columns,) weights; () where there are none, or one."""
    nothing = (), np.empty(0)
    if len(names) < 2 or len(targets) < FEWEST_ROWS or not np.ptp(targets) > 0:
        return nothing
    spread = table.std(axis=0)
    scaled = (table - table.mean(axis=0)) / spread
    centred = targets - targets.mean()
    likeliest = np.argsort(-np.abs(scaled.T @ centred), kind="stable")[:MOST_COLUMNS]
    if len(targets) < ROWS_A_COLUMN * len(likeliest):
        return nothing
    weights = _weights(scaled[:, likeliest], targets)
    if weights is None:
        return nothing
    order = likeliest[np.argsort(-np.abs(weights), kind="stable")]
    fewest, enough = 1, len(order)
    while fewest < enough:
        middle = (fewest + enough) // 2
        if _weights(scaled[:, order[:middle]], targets) is None:
            fewest = middle + 1
        else:
            enough = middle
    # one alone is told as a column that leaks, or is a change of units
    if enough == 1:
        return nothing
    places = np.sort(order[:enough])
    weights = _weights(scaled[:, places], targets)
    assert weights is not None
    return tuple(names[place] for place in places.tolist()), weights / spread[places]


def _weights(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
    """(inputs,) weights of centred (rows, inputs) that explain (rows,) targets in most rows; None if none do."""
    centred = targets - targets.mean()
    weights: np.ndarray = np.linalg.lstsq(inputs, centred, rcond=1e-10)[0]
    left = np.abs(centred - inputs @ weights)
    if np.square(left).sum() > ROUNDING * np.square(centred).sum():
        return None
    off = np.abs(targets - np.median(targets))
    return weights if np.quantile(left, MOST_ROWS_OF_ALL) <= NEAR * np.median(off[off > 0]) else None
