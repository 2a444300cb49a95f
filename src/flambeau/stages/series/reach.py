"""How far ahead a series reaches: the largest horizon, and the rows of each part, that leave windows everywhere."""

from __future__ import annotations

import numpy as np

from flambeau.data.samples import SeriesValues
from flambeau.data.series.time_split import folds_by_time, split_by_time
from flambeau.data.series.windows import usable_origins
from flambeau.data.source import quoted
from flambeau.recipe import Recipe


def way_out(series: SeriesValues, recipe: Recipe, horizon: int, lookback: int) -> str:
    """The command that would work where a series cannot be divided; "" where none is found."""
    rows = recipe.split.rows
    longest = int(np.diff(series.starts).max(initial=0))
    command = f"flambeau train {quoted(str(recipe.source))} --task forecast"
    if recipe.data.target:
        command += f" --target {quoted(str(recipe.data.target))}"
    if len(rows) > 1 and (sum(rows) > longest or (len(rows) == 2 and sum(rows) == longest)):
        fitting = fitting_rows(rows, longest)
        return f"{command} --horizon {horizon} --set split.rows={fitting}".replace(", ", ",")
    largest = largest_horizon(series, recipe, horizon, lookback)
    if largest < 1:
        return ""
    split = f" --set split.rows={rows}".replace(", ", ",") if rows else ""
    return f"{command} --horizon {largest}{split}"


def fitting_rows(rows: list[int], longest: int) -> list[int]:
    """As many numbers in the same proportions, whose sum is that of the rows there are, or less where the rest tests.

    >>> fitting_rows([100, 50, 50], 144)
    [72, 36, 36]
    """
    room = longest if len(rows) > 2 else round(0.85 * longest)
    return [max(1, one * room // sum(rows)) for one in rows]


def largest_horizon(series: SeriesValues, recipe: Recipe, horizon: int, lookback: int) -> int:
    """The largest horizon up to this one that leaves windows in each part; 0 where none does."""
    works, fails = 0, horizon + 1
    while fails - works > 1:
        middle = (works + fails) // 2
        if _leaves_windows(series, recipe, middle, lookback):
            works = middle
        else:
            fails = middle
    return works


def _leaves_windows(series: SeriesValues, recipe: Recipe, horizon: int, lookback: int) -> bool:
    everything = np.ones(len(series), dtype=bool)
    origins = usable_origins(
        series.starts, everything, lookback=max(1, lookback), horizon=horizon, begins=series.begins
    )
    if not len(origins):
        return False
    split, embargo = recipe.split, recipe.forecast.embargo or 0
    places = (origins, series.starts, series.times)
    try:
        if split.folds:
            folds_by_time(*places, split.folds, horizon=horizon, embargo=embargo)
        else:
            shares = (split.train, split.valid)
            split_by_time(*places, horizon=horizon, fractions=shares, rows=split.rows, embargo=embargo)
    except ValueError:
        return False
    return True
