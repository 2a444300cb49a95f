"""Forecasts that go on from an earlier run: what must be alike, and which windows may still test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flambeau.data.split import Split
from flambeau.errors import RecipeError, RunError
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.text import with_settings
from flambeau.schema import SeriesFacts
from flambeau.stages.starting.series import check_series_start, choose_as_before, untouched_windows
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
