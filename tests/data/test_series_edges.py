"""Time series at their edges: empty series, other steps, times that are none, values that begin late, prices of 0."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow
import pytest

from flambeau.data.samples import Samples
from flambeau.data.series.check import check_filled
from flambeau.data.series.layout import lay_out
from flambeau.data.series.series import series_of_table
from flambeau.data.series.step import apart, infer_step, without_clock_changes
from flambeau.data.series.times import NO_TIME, find_time, read_times
from flambeau.errors import DataError
from flambeau.schema import Schema, SeriesFacts
from flambeau.stages.series.feed import origins_of
from flambeau.transforms.series import times_to_come

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


def midnights(first: str, count: int, zone: str = "Europe/Berlin") -> list[datetime]:
    start = datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(zone))
    return [start + timedelta(days=day) for day in range(count)]


@pytest.mark.parametrize("form", ["zone", "utc"])
def test_days_of_a_place_are_days_where_clocks_change(form: str) -> None:
    days = midnights("2024-01-01", 400)
    written = [(day if form == "zone" else day.astimezone(UTC)).isoformat() for day in days]
    times, _ = read_times(pyarrow.table({"date": written}), ("date",))
    assert len(np.unique(np.diff(times))) == 3
    # learnt from, and forecast from by a model that learnt from days without a change
    laid = lay_out(np.arange(400.0)[:, None], times, None, 1)
    assert (laid.step.words, laid.step.regular) == ("day", True)
    assert len(laid.series) == 400 and laid.series.times.tolist() == times.tolist()
    assert "clock-changes" in {one.code for one in laid.findings}
    samples = read({"date": written[80:100], "y": np.arange(20.0)})
    assert len(samples) == 20 and samples.series is not None
    assert samples.series.times.tolist() == times[80:100].tolist()


def test_what_comes_is_told_by_the_clock_of_the_last_row() -> None:
    # from July to November: the last midnights stand at 23:00, the first at 22:00
    written = [day.astimezone(UTC).isoformat() for day in midnights("2020-07-01", 150)]
    del written[140:143]
    samples = read({"date": written, "y": np.arange(147.0)})
    assert samples.series is not None and len(samples) == 150
    assert {text[11:] for text in samples.ids[:100]} == {"22:00:00"}
    assert {text[11:] for text in samples.ids[120:]} == {"23:00:00"}
    ahead = times_to_come(int(samples.series.times[-1]), "second", DAY, 2).astype("datetime64[s]")
    assert [str(one) for one in ahead] == ["2020-11-27T23:00:00", "2020-11-28T23:00:00"]


@pytest.mark.parametrize("first", ["2024-01-01", "2024-06-01"])
@pytest.mark.parametrize("hours", [2, 3])
def test_steps_of_two_hours_of_a_place_are_even(first: str, hours: int) -> None:
    """The clock of a place at every even hour: once a step takes an hour, once three."""
    place = ZoneInfo("Europe/Berlin")
    hour = timedelta(hours=1)
    start = datetime.fromisoformat(first).replace(tzinfo=place).astimezone(UTC)
    clock = [start + hour * number for number in range(24 * 300)]
    written = [one.isoformat() for one in clock if one.astimezone(place).hour % hours == 0]
    times, _ = read_times(pyarrow.table({"date": written}), ("date",))
    even = without_clock_changes(times, np.array([0, len(times)]))
    assert np.mod(times - times[0], hours * 3600).any()
    assert not np.mod(even - even[0], hours * 3600).any()
    assert (np.diff(even) == hours * 3600).mean() > 0.999


def test_hours_of_a_clock_that_changes_are_no_other_grid() -> None:
    hours = [f"2024-03-31 {hour:02d}:00" for hour in range(24) if hour != 2]
    samples = read({"date": hours, "y": np.arange(23.0)}, step=3600, frequency="hour")
    assert len(samples) == 24 and "gaps" in codes(samples)
    twice = [f"2024-10-27 {hour:02d}:00" for hour in (0, 1, 2, 2, 3, 4, 5)]
    samples = read({"date": twice, "y": np.arange(7.0)}, step=3600, frequency="hour")
    assert len(samples) == 6 and "duplicate-times" in codes(samples)


def test_readings_at_two_hours_of_a_day_are_no_change_of_clocks() -> None:
    times = np.arange(60) // 2 * DAY + np.tile([0, 3600], 30)
    assert without_clock_changes(times, np.array([0, 60]), DAY) is times
    swinging = np.arange(60) * DAY + np.tile([0, 3600], 30)
    assert without_clock_changes(swinging, np.array([0, 60]), DAY) is swinging
    half = np.arange(60) * DAY + np.where(np.arange(60) > 30, 1800, 0)
    assert without_clock_changes(half, np.array([0, 60]), DAY) is half


@pytest.mark.parametrize(
    ("every", "code", "told", "used"),
    [
        (20, "windows-left-out", "15 windows of 97 left out", 82),
        (4, "filled-targets", "63 windows of 97", 97),
    ],
)
def test_windows_with_filled_in_targets_are_counted(every: int, code: str, told: str, used: int) -> None:
    y = np.sin(np.arange(100.0))
    y[9:90:every] = np.nan
    samples = read({"date": dates(100), "y": y}, horizon=3, lookback=1)
    found = {one.code: one for one in check_filled(samples)}
    assert {"windows-left-out", "filled-targets"} & set(found) == {code}
    assert told in found[code].message and len(origins_of(samples, 1)) == used


@pytest.mark.parametrize("lookback", [1, 148, 300])
def test_the_rows_to_look_back_on_do_not_say_whether_filled_in_windows_are_used(lookback: int) -> None:
    y = np.where((np.arange(500) >= 212) & (np.arange(500) % 8 == 0), np.nan, np.sin(np.arange(500.0)))
    samples = read({"date": dates(500), "y": y}, horizon=5, lookback=lookback)
    (told,) = check_filled(samples)
    every = 500 - 5 - lookback + 1
    used = origins_of(samples, lookback)
    assert told.code == "windows-left-out"
    assert f"{every - len(used)} windows of {every} left out" in told.message
    assert not any(np.isnan(y[origin + 1 : origin + 6]).any() for origin in used)


def test_whole_series_leave_no_window_out() -> None:
    samples = read({"date": dates(100), "y": np.sin(np.arange(100.0))}, horizon=3)
    assert not check_filled(samples)


def test_times_of_which_a_third_is_broken_are_still_the_times() -> None:
    days = dates(60)
    days[::3] = ["31/02/2016", "yesterday"] * 10
    table = pyarrow.table({"Date": days, "y": [float(row) for row in range(60)]})
    assert find_time(table, None) == ("Date",)
    times, _ = read_times(table, ("Date",))
    assert (times == NO_TIME).sum() == 20 and times[1] != NO_TIME


def test_an_error_about_times_shows_a_broken_value_and_its_row() -> None:
    days = ["2024-01-01", "2024-01-02", *["yesterday"] * 8]
    with pytest.raises(DataError, match="holds no times") as error:
        read_times(pyarrow.table({"Date": days}), ("Date",))
    assert "row 3: yesterday; 8 of 10 values are no dates" in str(error.value)
