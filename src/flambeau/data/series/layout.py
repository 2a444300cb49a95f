"""Rows of a table as time series: in the order of time, without doubles, without gaps, without missing values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flambeau.data.samples import SeriesValues
from flambeau.data.series.missing import MOST_FILLED, fill_values, find_begins, tell_missing
from flambeau.data.series.step import Step, apart, infer_step, seconds_in_words, without_clock_changes
from flambeau.data.series.times import NO_TIME
from flambeau.data.tables.spelling import number_of
from flambeau.errors import DataError
from flambeau.schema import Finding

LISTED = 10


@dataclass(frozen=True)
class LaidOut:
    """Time series that can be cut into windows.

    Args:
        series: the values.
        names: of the series, in order; () for one.
        step: how far a row is from the next.
        findings: what was left out, filled and put in order.
    """

    series: SeriesValues
    names: tuple[str, ...]
    step: Step
    findings: tuple[Finding, ...]


def lay_out(
    values: np.ndarray,
    times: np.ndarray | None,
    labels: np.ndarray | None,
    targets: int,
    *,
    step: Step | None = None,
    known: int = 0,
) -> LaidOut:
    """Put rows in order: by series, then by time; the last of doubles is kept; rows that are absent are put in.

    Args:
        values: (rows, channels) float64 as read: NaN where there is no number.
        times: (rows,) seconds since 1970, `NO_TIME` where there is none; None where rows are just in order.
        labels: (rows,) objects that name the series of a row; None for one series.
        targets: how many channels, the first ones, are forecast.
        step: where it is known already.
        known: how many channels, the last ones, are known of the future; rows at the end without any target are then
            taken for the future.
    """
    findings: list[Finding] = []
    names, codes = _names_and_codes(labels, len(values))
    order = np.argsort(codes, kind="stable")
    if times is not None:
        timed = np.flatnonzero(times != NO_TIME)
        if len(timed) < len(times):
            lost = tuple(f"row {row + 1}" for row in np.flatnonzero(times == NO_TIME)[:LISTED])
            message = f"left out: {number_of(len(times) - len(timed), 'row')} without a time that can be read"
            findings.append(Finding("warning", "unreadable-times", message, lost))
        order = timed[np.lexsort((times[timed], codes[timed]))]
        findings += _tell_order(times[timed], codes[timed])
        order, doubles = _without_doubles(order, times, codes)
        if len(doubles):
            shown = tuple(f"row {row + 1}" for row in doubles[:LISTED].tolist())
            message = f"left out: {number_of(len(doubles), 'row')} at a time that a later row has too: that one counts"
            findings.append(Finding("warning", "duplicate-times", message, shown))
    values, codes = values[order], codes[order]
    if names and len(np.unique(codes)) < len(names):
        names, codes, told = _without_empty(names, codes)
        findings += told
    starts = _starts(codes, len(names) or 1)
    ahead: tuple[np.ndarray, ...] = ()
    if times is None:
        placed = np.arange(len(values), dtype=np.int64) - np.repeat(starts[:-1], np.diff(starts))
        step = step or Step("row", 1, "row", False)
    else:
        values, placed, starts, step, told = _place_in_time(values, times[order], starts, step)
        findings += told
    if known:
        values, placed, starts, ahead = _cut_future(values, placed, starts, targets, known)
    observed = np.isfinite(values[:, :targets]).all(axis=1)
    findings += tell_missing(values, targets)
    begins, late = find_begins(values, starts, targets)
    findings += late
    return LaidOut(
        SeriesValues(fill_values(values, starts), placed, starts, observed, ahead, begins),
        names,
        step,
        tuple(findings),
    )


def _place_in_time(
    values: np.ndarray, times: np.ndarray, starts: np.ndarray, step: Step | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Step, list[Finding]]:
    """Sorted rows with those that are absent put in, their times as they stand in the data, and what was noticed."""
    findings = []
    regular = step is not None and step.regular and step.unit == "second"
    placed = without_clock_changes(times, starts, step.step if step and regular else None)
    clock = times - placed
    if clock.any():
        message = (
            "clocks change between rows: steps that are an hour longer or shorter there count as one step"
        )
        findings.append(Finding("info", "clock-changes", message))
    if step is not None and step.regular:
        _check_grid(placed, starts, step)
    step = step or infer_step(placed, starts)
    if step.regular:
        values, placed, clock, starts, told = _fill_gaps(values, placed, clock, starts, step)
        findings += told
    # steps are counted by an even clock, but what is said and compared are the times of the data
    return values, placed + clock, starts, step, findings


def _names_and_codes(labels: np.ndarray | None, rows: int) -> tuple[tuple[str, ...], np.ndarray]:
    if labels is None:
        return (), np.zeros(rows, dtype=np.int64)
    texts = np.array(["" if label is None else str(label) for label in labels], dtype=object)
    names = tuple(dict.fromkeys(texts.tolist()))
    place = {name: number for number, name in enumerate(names)}
    return names, np.fromiter((place[text] for text in texts), dtype=np.int64, count=rows)


def _without_empty(
    names: tuple[str, ...], codes: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, list[Finding]]:
    """The series that have rows, and the number of that of each row."""
    there, codes = np.unique(codes, return_inverse=True)
    lost = tuple(np.delete(np.array(names, dtype=object), there).tolist())
    message = f"left out: {number_of(len(lost), 'series')} without a row whose time can be read"
    kept = tuple(names[code] for code in there.tolist())
    return kept, codes, [Finding("warning", "empty-series", message, lost[:LISTED])]


def _check_grid(times: np.ndarray, starts: np.ndarray, step: Step) -> None:
    """Raise DataError for rows that do not stand a whole number of steps apart, which would fall on each other."""
    for first, end in itertools.pairwise(starts.tolist()):
        part = times[first:end]
        if len(part) < 2:
            continue
        off = step.unit != "month" and np.mod(part - part[0], step.step).any()
        if off or (np.diff(places_in_time(part, step)) < 1).any():
            raise DataError(
                "these rows do not stand where the model's rows would",
                got=f"rows {seconds_in_words(int(np.diff(part).min()))} apart, near {np.datetime64(int(part[0]), 's')}",
                expected=f"rows {apart(step.words)} apart, or whole numbers of that",
                hint="take sums or means of the rows of each step first",
            )


def _starts(codes: np.ndarray, series: int) -> np.ndarray:
    return np.searchsorted(codes, np.arange(series + 1)).astype(np.int64)


def _tell_order(times: np.ndarray, codes: np.ndarray) -> list[Finding]:
    gaps = np.diff(times)[np.diff(codes) == 0]
    if not len(gaps) or (gaps >= 0).all():
        return []
    if (gaps <= 0).all():
        return [
            Finding("info", "order", "the newest row stands first; rows are turned into the order of time")
        ]
    back = number_of(int((gaps < 0).sum()), "row")
    return [Finding("warning", "order", f"{back} not in the order of time: all are sorted by their times")]


def _without_doubles(
    order: np.ndarray, times: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The sorted rows but those that a later one replaces, and those."""
    same = (np.diff(times[order]) == 0) & (np.diff(codes[order]) == 0)
    replaced = np.append(same, False)
    return order[~replaced], order[replaced]


def places_in_time(times: np.ndarray, step: Step) -> np.ndarray:
    """(rows,) int64: how many steps each time is behind the first one."""
    if step.unit == "month":
        months = times.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
        return (months - months[0]) // step.step
    return (times - times[0]) // step.step


def _fill_gaps(
    values: np.ndarray, times: np.ndarray, clock: np.ndarray, starts: np.ndarray, step: Step
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[Finding]]:
    """Put in the rows that are absent, empty; where far too many are, leave the rows as they are and say so.

    `clock` is how far the clock of a row is off its time; rows that are put in have that of the row before them.
    """
    places = [places_in_time(times[a:b], step) for a, b in itertools.pairwise(starts)]
    lengths = np.array([int(place[-1]) + 1 if len(place) else 0 for place in places])
    absent = int(lengths.sum()) - len(values)
    if absent == 0:
        return values, times, clock, starts, []
    if absent > MOST_FILLED * len(values):
        message = (
            f"{number_of(absent, 'row')} would be needed to fill the gaps between rows {apart(step.words)} apart: too "
            "many, so rows are taken as steps, whatever time is between them"
        )
        return values, times, clock, starts, [Finding("warning", "gaps", message)]
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    filled = np.full((ends[-1], values.shape[1]), np.nan)
    when, there = np.zeros((2, ends[-1]), dtype=np.int64)
    for number, place in enumerate(places):
        rows = ends[number] + place
        filled[rows] = values[starts[number] : starts[number + 1]]
        when[ends[number] : ends[number + 1]] = _times_between(times[starts[number]], lengths[number], step)
        when[rows] = times[starts[number] : starts[number + 1]]
        there[rows] = 1
    message = (
        f"gaps: {number_of(absent, 'row')} put in where none stood, {apart(step.words)} apart; they hold the "
        "values before them"
    )
    return filled, when, clock[np.cumsum(there) - 1], ends, [Finding("warning", "gaps", message)]


def _times_between(first: int, count: int, step: Step) -> np.ndarray:
    ahead = np.arange(count, dtype=np.int64) * step.step
    if step.unit != "month":
        return first + ahead
    month = np.datetime64(int(first), "s").astype("datetime64[M]")
    return (month + ahead).astype("datetime64[s]").astype(np.int64)


def _cut_future(
    values: np.ndarray, times: np.ndarray, starts: np.ndarray, targets: int, known: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Take the rows at the end of each series off that have no target: what is known of their future stays."""
    keep = np.ones(len(values), dtype=bool)
    ahead = []
    for first, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        there = np.flatnonzero(np.isfinite(values[first:end, :targets]).any(axis=1))
        last = first + (int(there[-1]) + 1 if len(there) else 0)
        keep[last:end] = False
        ahead.append(values[last:end, values.shape[1] - known :])
    lengths = [int(keep[a:b].sum()) for a, b in itertools.pairwise(starts)]
    return values[keep], times[keep], np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), tuple(ahead)


def row_names(series: SeriesValues, names: Sequence[str], unit: str) -> tuple[str, ...]:
    """What each row is called: its time, or "row 17", behind the name of its series where there are several."""
    if unit == "row":
        texts = [f"row {number + 1}" for number in series.times.tolist()]
    else:
        dates = series.times.astype("datetime64[s]")
        days = not np.mod(series.times, 86_400).any()
        plain = np.datetime_as_string(dates, unit="D" if days else "s")
        texts = [text.replace("T", " ") for text in plain.tolist()]
    if not names:
        return tuple(texts)
    lengths = np.diff(series.starts).tolist()
    owners = [name for name, length in zip(names, lengths, strict=True) for _ in range(length)]
    return tuple(f"{owner}: {text}" for owner, text in zip(owners, texts, strict=True))
