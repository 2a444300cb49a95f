"""Forecasts that go on from an earlier run: what must be alike, and which windows may still test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow
import pytest

from flambeau.data.samples import Samples
from flambeau.data.series.series import series_of_table
from flambeau.data.split import Split
from flambeau.errors import RecipeError, RunError
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.text import with_settings
from flambeau.schema import Schema, SeriesFacts
from flambeau.stages.starting.series import (
    check_rows_in_order,
    check_series_start,
    choose_as_before,
    untouched_windows,
)
from flambeau.stages.starting.start import Start, only_untouched, short_digests
from flambeau.transforms.series import fit_series

FACTS = SeriesFacts(("y",), ("x",), unit="second", step=3600, frequency="hour")
PREPARED = fit_series(
    np.arange(40.0).reshape(20, 2) + 1,
    ("y", "x"),
    targets=1,
    known=0,
    logs=[True, False],
    waves=[(86_400, 2)],
    lookback=5,
    horizon=3,
    quantiles=(0.1, 0.9),
)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("ridge", {}, "nothing to go on from"),
        ("nlinear", {"past": ("x", "z")}, "other columns"),
        ("nlinear", {"targets": ("y", "x"), "past": ()}, "other targets"),
        ("nlinear", {"past": (), "known": ("x",)}, "other columns known of the future"),
        ("nlinear", {"step": 900}, "other steps"),
    ],
)
def test_what_must_be_alike(name: str, change: dict[str, Any], words: str) -> None:
    with pytest.raises(RunError, match=words):
        check_series_start(name, FACTS, replace(FACTS, **change), Path("run"))
    check_series_start("nlinear", FACTS, replace(FACTS, horizon=9, names=("a",)), Path("run"))


def test_windows_and_model_are_those_of_the_earlier_run() -> None:
    choices = Choices(Recipe())
    choose_as_before(choices, PREPARED, "lstm_forecast", {"centre": True, "width": 12, "lookback": 5})
    forecast, model = choices.recipe.forecast, choices.recipe.model
    assert (forecast.horizon, forecast.lookback, forecast.waves) == (3, 5, 2)
    assert (forecast.differences, forecast.quantiles) == ("log_difference", [0.1, 0.9])
    assert (model.name, model.width) == ("lstm", 12)


@pytest.mark.parametrize("settings", [{"forecast.horizon": 4}, {"model.name": "tcn"}, {"forecast.waves": 0}])
def test_other_windows_are_refused(settings: dict[str, Any]) -> None:
    choices = Choices(with_settings(Recipe(), settings))
    with pytest.raises(RecipeError, match="weights of the earlier run"):
        choose_as_before(choices, PREPARED, "nlinear", {"centre": True})


def test_no_window_is_tested_that_shares_a_target_with_one_that_was_fitted_on() -> None:
    horizon, seen = 4, np.zeros(100, dtype=bool)
    seen[[50, 70]] = True
    split = Split(np.arange(20), np.arange(24, 40), np.arange(44, 96), "by hand", "")
    left = untouched_windows(split, seen, horizon)

    def target(origin: int) -> set[int]:
        return set(range(origin + 1, origin + horizon + 1))

    fitted = target(50) | target(70)
    assert left.tolist() == [origin for origin in split.test.tolist() if not target(origin) & fitted]
    assert 46 in left and 47 not in left and 54 in left


def midnights(first: int, end: int) -> Samples:
    """Midnights of Berlin from 2020 on, written in UTC: an hour earlier in summer."""
    start = datetime(2020, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    days = [(start + timedelta(days=day)).astimezone(UTC).isoformat() for day in range(first, end)]
    values = np.random.default_rng(0).normal(size=end)[first:]
    facts = SeriesFacts(("y",), time=("day",), unit="second", step=86_400, frequency="day", horizon=3)
    table = pyarrow.table({"day": days, "y": values})
    return series_of_table(table, Schema("series", "forecast", "y", series=facts))


@pytest.mark.parametrize("first", [10, 200])
def test_windows_that_were_fitted_on_do_not_test_whichever_clock_the_file_begins_in(first: int) -> None:
    seen = short_digests(midnights(0, 400))
    start = cast(Start, SimpleNamespace(seen=seen, model=Path("run")))
    later, rows = midnights(first, 450), np.arange(450 - first)
    split = Split(rows[:50], rows[55:90], rows[95:-4], "by hand", "")
    (left,) = only_untouched([split], later, start)
    assert left.test.tolist() == rows[400 + 3 - 1 - first : -4].tolist()
    shorter = Split(split.train, split.valid, rows[95 : 400 - first], "by hand", "")
    with pytest.raises(RunError, match="these very samples"):
        only_untouched([shorter], midnights(first, 400), start)


def test_rows_without_times_go_on_only_behind_the_earlier_ones() -> None:
    def read(first: int, end: int) -> np.ndarray:
        values = np.random.default_rng(0).normal(size=end)[first:]
        facts = SeriesFacts(("y",), unit="row", step=1, frequency="row")
        schema = Schema("series", "forecast", "y", series=facts)
        return short_digests(series_of_table(pyarrow.table({"y": values}), schema))

    seen = read(0, 100)[5:80]
    check_rows_in_order("row", read(0, 150), seen, Path("run"))
    with pytest.raises(RunError, match="only behind its own rows"):
        check_rows_in_order("row", read(20, 150), seen, Path("run"))
    check_rows_in_order("second", read(20, 150), seen, Path("run"))
