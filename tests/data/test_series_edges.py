"""Time series at their edges: empty series, other steps, times that are none, values that begin late, prices of 0."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow
import pytest

from flambeau.data.samples import Samples
from flambeau.data.series.series import series_of_table
from flambeau.data.series.step import apart, infer_step
from flambeau.data.series.times import NO_TIME, read_times
from flambeau.errors import DataError
from flambeau.schema import Schema, SeriesFacts
from flambeau.stages.series.feed import origins_of

DAY = 86_400


def schema_of(**facts: object) -> Schema:
    told = {"targets": ("y",), "time": ("date",), "unit": "second", "step": DAY, "frequency": "day", **facts}
    return Schema("series", "forecast", "y", series=SeriesFacts(**told))  # type: ignore[arg-type]


def dates(count: int, hours: int = 24) -> list[str]:
    first = np.datetime64("2024-01-01T00:00:00")
    return [str(first + np.timedelta64(hours * row, "h")).replace("T", " ") for row in range(count)]


def read(columns: dict[str, object], **facts: object) -> Samples:
    return series_of_table(pyarrow.table(columns), schema_of(**facts))


def codes(samples: Samples) -> set[str]:
    return {finding.code for finding in samples.findings}


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_series_without_readable_times_is_left_out(lost: int) -> None:
    parts = [["unknown"] * 2 if number == lost else dates(60) for number in range(3)]
    shops = np.repeat(["a", "b", "c"], [len(part) for part in parts])
    samples = read({"date": [*itertools.chain(*parts)], "shop": shops, "y": np.arange(122.0)}, series="shop")
    facts = samples.schema.series
    assert facts is not None and facts.names == tuple(name for name in "abc" if name != "abc"[lost])
    assert len(samples) == 120 and "empty-series" in codes(samples)
    assert infer_step(np.arange(5) * DAY, np.array([0, 0, 5, 5])).step == DAY


@pytest.mark.parametrize(("hours", "facts"), [(12, {}), (36, {}), (24, {"unit": "month", "step": 1})])
def test_rows_off_the_grid_of_the_model_are_told(hours: int, facts: dict[str, object]) -> None:
    with pytest.raises(DataError, match="do not stand where the model's rows would"):
        read({"date": dates(40, hours), "y": np.arange(40.0)}, **facts)


def test_gaps_of_whole_steps_are_no_other_grid() -> None:
    samples = read({"date": dates(40)[:20] + dates(40)[22:], "y": np.arange(38.0)})
    assert len(samples) == 40 and "gaps" in codes(samples)


def test_no_rows_are_told() -> None:
    with pytest.raises(DataError, match="no rows to forecast from"):
        read({"date": pyarrow.array([], pyarrow.string()), "y": pyarrow.array([], pyarrow.float64())})


def test_parts_of_a_date_that_cannot_be_are_no_times() -> None:
    table = pyarrow.table({
        "year": [2024, 2024, 2024, 10**15, 2024], "month": [2, 77, 2, 2, 2], "day": [29, 1, 30, 1, 1],
        "hour": [23, 0, 0, 0, 50],
    })  # fmt: skip
    times, _ = read_times(table, ("year", "month", "day", "hour"))
    assert (times == NO_TIME).tolist() == [False, True, True, True, True]


def test_no_window_sees_what_was_filled_in_from_later() -> None:
    y = np.arange(100.0)
    y[:30] = np.nan
    samples = read({"date": dates(100), "y": y})
    assert "late-beginnings" in codes(samples)
    assert origins_of(samples, 5).min() == 34
    late = np.where(np.arange(100) < 60, np.nan, 7.0)
    samples = read({"date": dates(100), "y": np.arange(100.0), "x": late}, past=("x",))
    assert samples.series is not None and "late-columns" in codes(samples)
    assert not samples.series.values[:60, 1].any() and origins_of(samples, 5).min() == 4


def test_a_price_of_zero_is_missing() -> None:
    close = np.arange(100.0, 140.0)
    close[20] = 0
    samples = read({"date": dates(40), "y": close}, prices={"close": "y"})
    assert samples.series is not None and samples.series.values[20, 0] == 119.0
    assert not samples.series.observed[20] and "zero-prices" in codes(samples)


def test_steps_are_told_with_their_article() -> None:
    assert [apart(words) for words in ("hour", "day", "15 minutes")] == ["an hour", "a day", "15 minutes"]
