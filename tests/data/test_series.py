"""Time series as people have them: dates in every form, several series, gaps, doubles, values that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flambeau.data.samples import Samples
from flambeau.data.series.columns import find_prices
from flambeau.data.series.series import read_series, read_series_inputs, series_of_rows
from flambeau.data.series.step import infer_step
from flambeau.data.series.times import NO_TIME
from flambeau.errors import DataError
from flambeau.recipe import Recipe
from flambeau.recipe.text import with_settings

DAY = 86_400


def read_text(folder: Path, text: str, **settings: Any) -> Samples:
    file = folder / "series.csv"
    file.write_text(text, encoding="utf-8")
    recipe = with_settings(
        Recipe(), {"data.target": "y", **{k.replace("__", "."): v for k, v in settings.items()}}
    )
    return read_series(str(file), recipe)


def lines(header: str, rows: list[str]) -> str:
    return "\n".join([header, *rows]) + "\n"


def codes(samples: Samples) -> set[str]:
    return {finding.code for finding in samples.findings}


def test_dates_are_found_and_the_step_is_told(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02d},{day},{day % 3}" for day in range(1, 29)]
    samples = read_text(tmp_path, lines("date,y,x", rows))
    facts = samples.schema.series
    assert facts is not None
    assert (facts.time, facts.unit, facts.step, facts.frequency) == (("date",), "second", DAY, "day")
    assert (facts.targets, facts.past) == (("y",), ("x",))
    assert samples.ids[0] == "2024-01-01"
    assert samples.targets.shape == (28, 1, 1)
    assert samples.targets[0, 0, 0] == 2  # the row after the first
    assert np.isnan(samples.targets[-1]).all()


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        ("year,month,y", "{0.year},{0.month},{1}", "month"),
        ("date,hour,y", "2024-03-01,{1},{1}", "hour"),
        ("Date,Time,y", "2024-03-01,{1:02d}:30,{1}", "hour"),
        ("month,y", "{0.year}-{0.month:02d},{1}", "month"),
        ("quarter,y", "{2}-Q{3},{1}", "quarter"),
        ("timestamp,y", "{4},{1}", "10 minutes"),
        ("day,y", "{0.year}{0.month:02d}01,{1}", "month"),
    ],
)
def test_dates_in_other_forms(tmp_path: Path, header: str, row: str, words: str) -> None:
    months = [np.datetime64("2020-01") + i for i in range(24)]
    rows = [
        row.format(month.astype(object), i, 2000 + i // 4, i % 4 + 1, 1_700_000_000 + 600 * i)
        for i, month in enumerate(months)
    ]
    facts = read_text(tmp_path, lines(header, rows)).schema.series
    assert facts is not None and facts.frequency == words


def test_the_newest_first_is_turned_round(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02d},{day}" for day in range(28, 0, -1)]
    samples = read_text(tmp_path, lines("date,y", rows))
    assert samples.series is not None and samples.series.values[:3, 0].tolist() == [1, 2, 3]
    assert "order" in codes(samples)


def test_doubles_gaps_and_values_that_are_none_are_counted(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02d},{day}" for day in range(1, 29) if day != 10]
    rows += ["2024-01-05,500", "never,3"]
    rows[2] = "2024-01-03,inf"
    samples = read_text(tmp_path, lines("date,y", rows))
    assert samples.series is not None
    values = samples.series.values[:, 0]
    assert len(values) == 28
    assert values[4] == 500  # the last of both counts
    assert values[2] == 2 and values[9] == 9  # what was before them
    assert not samples.series.observed[[2, 9]].any()
    assert {"duplicate-times", "gaps", "infinite-values", "unreadable-times", "missing-targets"} <= codes(
        samples
    )


def test_trading_days_are_steps_and_have_no_gaps(tmp_path: Path) -> None:
    days = [day for day in np.arange("2024-01-01", "2024-06-01", dtype="datetime64[D]") if np.is_busday(day)]
    samples = read_text(tmp_path, lines("date,y", [f"{day},{i}" for i, day in enumerate(days)]))
    facts = samples.schema.series
    assert facts is not None and facts.unit == "weekday"
    assert len(samples) == len(days) and "gaps" not in codes(samples)


def test_irregular_times_are_steps(tmp_path: Path) -> None:
    seconds = np.cumsum(np.random.default_rng(0).integers(50, 5000, 60)) + 1_700_000_000
    samples = read_text(tmp_path, lines("timestamp,y", [f"{when},{i}" for i, when in enumerate(seconds)]))
    facts = samples.schema.series
    assert facts is not None and facts.frequency == "irregular" and len(samples) == 60


def test_time_zones_are_put_on_one_clock(tmp_path: Path) -> None:
    rows = [f"2024-03-31T{hour:02d}:00:00+01:00,{hour}" for hour in range(12)]
    rows += [f"2024-03-31T{hour:02d}:00:00+02:00,{hour}" for hour in range(13, 24)]
    samples = read_text(tmp_path, lines("date,y", rows))
    assert samples.series is not None
    assert (np.diff(samples.series.times) == 3600).all()
    assert "time-zones" in codes(samples)


def test_a_column_names_the_series(tmp_path: Path) -> None:
    rows = [
        f"2024-01-{day:02d},{shop},{day + 100 * place}"
        for day in range(1, 21)
        for place, shop in enumerate("ab")
    ]
    samples = read_text(tmp_path, lines("date,shop,y", rows))
    facts = samples.schema.series
    assert facts is not None and samples.series is not None
    assert (facts.series, facts.names) == ("shop", ("a", "b"))
    assert samples.series.starts.tolist() == [0, 20, 40]
    assert samples.ids[20] == "b: 2024-01-01"


def test_times_that_repeat_ask_for_the_series(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02d},{i * 1.5}" for day in range(1, 21) for i in range(3)]
    with pytest.raises(DataError, match="no column tells the series apart"):
        read_text(tmp_path, lines("date,y", rows))


def test_without_times_rows_are_in_order(tmp_path: Path) -> None:
    samples = read_text(tmp_path, lines("y,z", [f"{i * 0.5},{i % 4}" for i in range(30)]))
    facts = samples.schema.series
    assert facts is not None and (facts.unit, facts.time) == ("row", ()) and samples.ids[16] == "row 17"


def test_targets_are_asked_for_and_all_takes_every_column(tmp_path: Path) -> None:
    text = lines("date,a,b", [f"2024-01-{day:02d},{day * 1.5},{day * 2.5}" for day in range(1, 29)])
    with pytest.raises(DataError, match="which column is to be forecast"):
        read_text(tmp_path, text, data__target=None)
    facts = read_text(tmp_path, text, data__target="all").schema.series
    assert facts is not None and facts.targets == ("a", "b")
    with pytest.raises(DataError, match="not in the data"):
        read_text(tmp_path, text, data__target="c")


def test_prices_are_known_by_their_columns() -> None:
    found = find_prices(["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"])
    assert found == {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
    assert find_prices(["close", "door"]) == {}


def test_steps_of_months_end_at_the_end_of_months() -> None:
    ends = np.array(["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"], dtype="datetime64[s]").astype(
        np.int64
    )
    step = infer_step(ends, np.array([0, 4]))
    assert (step.unit, step.step) == ("month", 1)
    assert ends.min() > NO_TIME


def test_what_is_known_of_the_future_stands_behind_the_last_target(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02d},{day},{day % 7 == 0:d}" for day in range(1, 26)]
    samples = read_text(tmp_path, lines("date,y,holiday", rows), forecast__known=["holiday"])
    facts = samples.schema.series
    assert facts is not None and samples.series is not None and facts.known == ("holiday",)
    file = tmp_path / "next.csv"
    file.write_text(lines("date,y,holiday", [*rows, "2024-01-26,,1", "2024-01-27,,0"]), encoding="utf-8")
    later = read_series_inputs([str(file)], samples.schema, Recipe())
    assert later.series is not None and later.series.ahead is not None
    assert [known.tolist() for known in later.series.ahead] == [[[1.0], [0.0]]]


def test_rows_of_values_are_read_like_rows_of_files(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02d},{day}" for day in range(1, 26)]
    samples = read_text(tmp_path, lines("date,y", rows))
    values = [{"date": f"2024-01-{day:02d}", "y": day} for day in range(1, 26)]
    again = series_of_rows(values, samples.schema)
    assert samples.series is not None and again.series is not None
    assert np.array_equal(again.series.values, samples.series.values)
    with pytest.raises(DataError, match="1 more column"):
        series_of_rows([{"date": "2024-01-01"}], samples.schema)
