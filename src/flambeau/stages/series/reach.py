"""How far ahead a series reaches: the largest horizon, and the rows of each part, that leave windows everywhere."""

from __future__ import annotations

import numpy as np

from flambeau.data.samples import SeriesValues
from flambeau.data.series.missing import usable_windows
from flambeau.data.series.time_split import folds_by_time, split_by_time
from flambeau.data.source import quoted
from flambeau.data.split import Split
from flambeau.recipe import Recipe

# What says how rows are read and divided; a command that works has to say it again.
KEPT = (
    "data.drop", "forecast.time", "forecast.series", "forecast.known", "forecast.lookback", "forecast.embargo",
    "split.train", "split.valid",
)  # fmt: skip


def way_out(series: SeriesValues, recipe: Recipe, horizon: int, lookback: int) -> str:
    """The command that would work where a series cannot be divided; "" where none is found."""
    rows = recipe.split.rows
    longest = int(np.diff(series.starts).max(initial=0))
    command = _command(recipe)
    if len(rows) > 1 and (sum(rows) > longest or (len(rows) == 2 and sum(rows) == longest)):
        fitting = fitting_rows(rows, longest)
        return f"{command} --horizon {horizon} --set {_setting('split.rows', fitting)}"
    largest = largest_horizon(series, recipe, horizon, lookback)
    if not 1 <= largest < horizon:  # the same again would fail again
        return ""
    split = f" --set {_setting('split.rows', rows)}" if rows else ""
    return f"{command}{split} --horizon {largest}"


def _command(recipe: Recipe) -> str:
    """The training again, but for its horizon and its rows of each part."""
    words = [f"flambeau train {quoted(str(recipe.source))} --task forecast"]
    if recipe.data.target:
        words.append(f"--target {quoted(str(recipe.data.target))}")
    if recipe.model.name not in (None, "ridge"):
        words.append(f"--model {quoted(str(recipe.model.name))}")
    if recipe.split.folds:
        words.append(f"--folds {recipe.split.folds}")
    usual = Recipe()
    for key in KEPT:
        section, _, name = key.partition(".")
        value = getattr(getattr(recipe, section), name)
        if value and value != getattr(getattr(usual, section), name):
            words.append(f"--set {_setting(key, value)}")
    return " ".join(words)


def _setting(key: str, value: object) -> str:
    text = f"[{','.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)
    return quoted(f"{key}={text}")


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
    origins = usable_windows(series, lookback=max(1, lookback), horizon=horizon)
    if not len(origins):
        return False
    try:
        divide_windows(series, origins, recipe, horizon)
    except ValueError:
        return False
    return True


def divide_windows(series: SeriesValues, origins: np.ndarray, recipe: Recipe, horizon: int) -> list[Split]:
    """One split by time of the windows that end at these rows, or one a block of the rolling back-test.

    Raises:
        ValueError: a part without a window.
    """
    options, embargo = recipe.split, recipe.forecast.embargo or 0
    places = (origins, series.starts, series.times)
    if options.folds:
        share = options.valid / (options.train + options.valid)
        return folds_by_time(*places, options.folds, horizon=horizon, valid_fraction=share, embargo=embargo)
    shares = (options.train, options.valid)
    return [split_by_time(*places, horizon=horizon, fractions=shares, rows=options.rows, embargo=embargo)]
