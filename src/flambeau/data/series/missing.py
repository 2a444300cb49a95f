"""Missing values of time series: what takes their place, and which windows must not see it."""

from __future__ import annotations

import itertools

import numpy as np

from flambeau.data.samples import SeriesValues
from flambeau.data.series.windows import usable_origins
from flambeau.data.tables.spelling import number_of
from flambeau.schema import Finding

MOST_FILLED = 0.3
# Where fewer windows than this share have all of their target, those with filled-in values are used too.
FEWEST_OBSERVED = 0.5


def tell_missing(values: np.ndarray, targets: int) -> list[Finding]:
    missing = ~np.isfinite(values)
    counts = int(missing[:, :targets].sum()), int(missing[:, targets:].sum())
    told = []
    if counts[0]:
        message = (
            f"{number_of(counts[0], 'value')} of the target missing: windows hold the value before in their "
            "place"
        )
        told.append(Finding("warning", "missing-targets", message))
    if counts[1]:
        message = (
            f"{number_of(counts[1], 'value')} of other columns missing: the value before takes their place"
        )
        told.append(Finding("info", "missing-values", message))
    return told


def every_window(series: SeriesValues, *, lookback: int, horizon: int) -> np.ndarray:
    """(n,) rows that end a window, whether the values of its target were in the data or filled in."""
    every = np.ones(len(series), dtype=bool)
    return usable_origins(series.starts, every, lookback=lookback, horizon=horizon, begins=series.begins)


def whole_windows(series: SeriesValues, *, lookback: int, horizon: int) -> np.ndarray:
    """(n,) rows that end a window all of whose target was in the data."""
    return usable_origins(
        series.starts, series.observed, lookback=lookback, horizon=horizon, begins=series.begins
    )


def uses_filled(series: SeriesValues, horizon: int) -> bool:
    """Whether windows with filled-in targets are used, because the others are too few.

    The rows that are looked back on have no say, so that forms that are compared see the same kind of windows.
    """
    count = len(every_window(series, lookback=1, horizon=horizon))
    return len(whole_windows(series, lookback=1, horizon=horizon)) < FEWEST_OBSERVED * count


def usable_windows(series: SeriesValues, *, lookback: int, horizon: int) -> np.ndarray:
    """(n,) rows that end a window which is trained, chosen or tested with; see `uses_filled`."""
    windows = every_window if uses_filled(series, horizon) else whole_windows
    return windows(series, lookback=lookback, horizon=horizon)


def find_begins(values: np.ndarray, starts: np.ndarray, targets: int) -> tuple[np.ndarray, list[Finding]]:
    """(series,) the first rows from which nothing is filled in from the future.

    Of other columns that begin later than `MOST_FILLED` of the rows, no notice is taken: they would cost the series.
    """
    begins, late = starts[:-1].copy(), 0
    for number, (first, end) in enumerate(itertools.pairwise(starts.tolist())):
        there = np.isfinite(values[first:end])
        seen = np.where(there.any(axis=0), there.argmax(axis=0) if end > first else 0, end - first)
        others = seen[targets:][seen[targets:] <= MOST_FILLED * (end - first)]
        late += int((seen[targets:] > MOST_FILLED * (end - first)).sum())
        begins[number] = first + max(seen[:targets].max(initial=0), others.max(initial=0))
    skipped = int((begins - starts[:-1]).sum())
    told = []
    if skipped:
        message = (
            f"{number_of(skipped, 'row')} before the first values of all columns: no window begins there"
        )
        told.append(Finding("warning", "late-beginnings", message))
    if late:
        message = f"{number_of(late, 'column')} of a series begin so late that 0 takes their place until then"
        told.append(Finding("warning", "late-columns", message))
    return begins, told


def fill_values(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Each missing value as the last one before it in its series.

    At its beginning it is the first one that comes, where no window begins (see `find_begins`), or 0
    where that comes late.
    """
    filled = values.copy()
    for first, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        part = filled[first:end]
        for channel in range(part.shape[1]):
            column = part[:, channel]
            there = np.isfinite(column)
            if there.all() or not there.any():
                column[~there] = 0.0
                continue
            last = np.maximum.accumulate(np.where(there, np.arange(len(column)), -1))
            early = int(there.argmax())
            last[last < 0] = early
            part[:, channel] = column[last]
            if early > MOST_FILLED * len(column):
                part[:early, channel] = 0.0
    return filled
