"""How far the rows of a time series are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flambeau.data.tables.spelling import number_of
from flambeau.schema import TimeUnit
from flambeau.transforms.series import SECONDS_A_DAY

HOUR = 3_600
# Clocks change twice a year.
CHANGE_DAYS = 90
MOST_ALIKE = 0.9
_WORDS = {1: "second", 60: "minute", 3600: "hour", SECONDS_A_DAY: "day", 7 * SECONDS_A_DAY: "week"}


@dataclass(frozen=True)
class Step:
    """How far a row is from the next: see `SeriesFacts`. `regular` where a row that is absent can be told."""

    unit: TimeUnit
    step: int
    words: str
    regular: bool


def infer_step(times: np.ndarray, starts: np.ndarray) -> Step:
    """How far a row is from the next, from rising times.

    Args:
        times: (rows,) int64 seconds of all series.
        starts: (series + 1,) first rows.
    """
    inner = np.ones(max(0, len(times) - 1), dtype=bool)
    borders = starts[1:-1] - 1
    # a series without rows borders on nothing
    inner[borders[(borders >= 0) & (borders < len(inner))]] = False
    gaps = np.diff(times)[inner]
    if not len(gaps):
        return Step("row", 1, "row", False)
    dates = times.astype("datetime64[s]")
    months = dates.astype("datetime64[M]").astype(np.int64)
    steps = np.diff(months)[inner]
    inside = (dates.astype("datetime64[D]") - dates.astype("datetime64[M]").astype("datetime64[D]")).astype(
        np.int64
    )
    one_day = np.ptp(inside) == 0 or inside.min() >= 27
    if gaps.min() >= 28 * SECONDS_A_DAY and one_day and steps.min() > 0 and _share(steps) >= MOST_ALIKE:
        step = _mode(steps)
        words = {1: "month", 3: "quarter", 12: "year"}.get(step, f"{step} months")
        return Step("month", step, words, not np.mod(steps, step).any())
    step = _mode(gaps)
    weekdays = np.mod(times // SECONDS_A_DAY + 3, 7) < 5  # 1970 began on a Thursday
    if step == SECONDS_A_DAY and weekdays.all() and (gaps == 3 * SECONDS_A_DAY).mean() > 0.1:
        return Step("weekday", 1, "trading day" if _share(gaps) < 0.795 else "weekday", False)
    if not np.mod(gaps, step).any() and _share(gaps) >= 0.5:
        return Step("second", step, seconds_in_words(step), True)
    typical = max(1, int(np.median(gaps)))
    return Step("second", typical, "irregular", False)


def without_clock_changes(times: np.ndarray, starts: np.ndarray, step: int | None = None) -> np.ndarray:
    """Rising times whose long steps were cut or stretched by an hour where clocks changed, as if none had.

    Midnights of a place, written in UTC or with their zone, are 24 hours apart but for two days a year, which are 23
    and 25 hours apart.

    Args:
        times: (rows,) int64 seconds of all series.
        starts: (series + 1,) first rows.
        step: seconds from a row to the next; None for the most frequent gap.

    Returns:
        (rows,) int64, in the clock of the first row, whose steps can be counted; the times themselves where changes do
        not explain all gaps. The clock is another in another file, so these are not times to say or to compare.
    """
    gaps = np.diff(times)
    borders = starts[1:-1] - 1
    gaps = np.delete(gaps, borders[(borders >= 0) & (borders < len(gaps))])
    if not len(gaps):
        return times
    step = step or _mode(gaps)
    if step < 2 * HOUR or step % HOUR or not np.mod(gaps, step).any():
        return times
    places = np.mod(times - times[0], step)
    late, early = places == HOUR, places == step - HOUR
    if step == 2 * HOUR:  # where an hour late and an hour early are the same place
        nothing = np.zeros(len(times), dtype=bool)
        late, early = (nothing, early) if _first_is_early(times, starts, late) else (late, nothing)
    # two clocks, of which the first row has one
    if not ((places == 0) | late).all() and not ((places == 0) | early).all():
        return times
    moved = times + np.where(early, HOUR, 0) - np.where(late, HOUR, 0)
    for first, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        part, clock = moved[first:end], (late | early)[first:end]
        if len(part) < 2:
            continue
        changes = int((np.diff(clock.astype(np.int8)) != 0).sum())
        if changes > 1 + (part[-1] - part[0]) // (CHANGE_DAYS * SECONDS_A_DAY) or (np.diff(part) <= 0).any():
            return times
    return moved


def _first_is_early(times: np.ndarray, starts: np.ndarray, moved: np.ndarray) -> bool:
    """Of steps of two hours: whether the rows that moved stand early, told by the first step that is cut or long.

    A step of one hour leads to rows that are early, or back from rows that are late; a step of three the other way.
    """
    gaps, changes = np.diff(times), np.diff(moved.astype(np.int8))
    told = (changes != 0) & ((gaps == HOUR) | (gaps == 3 * HOUR))
    told[[place for place in (starts[1:-1] - 1).tolist() if 0 <= place < len(told)]] = False
    first = np.flatnonzero(told)[:1]
    return bool(((gaps[first] == HOUR) == (changes[first] > 0)).all()) if len(first) else False


def seconds_in_words(step: int) -> str:
    """A step of so many seconds in words.

    >>> seconds_in_words(3600), seconds_in_words(900)
    ('hour', '15 minutes')
    """
    for seconds in sorted(_WORDS, reverse=True):
        if step % seconds == 0:
            count = step // seconds
            return _WORDS[seconds] if count == 1 else f"{count} {_WORDS[seconds]}s"
    return number_of(step, "second")


def apart(words: str) -> str:
    """How far rows are apart, with its article where it wants one.

    >>> apart("hour"), apart("15 minutes"), apart("trading day")
    ('an hour', '15 minutes', 'a trading day')
    """
    if words[:1].isdigit():
        return words
    return f"{'an' if words == 'hour' else 'a'} {words}"


def _mode(values: np.ndarray) -> int:
    different, counts = np.unique(values, return_counts=True)
    return int(different[counts.argmax()])


def _share(values: np.ndarray) -> float:
    return float((values == _mode(values)).mean())
