"""What is chosen by values of the target is chosen from training rows alone."""

from __future__ import annotations

import numpy as np
import pyarrow
import pytest

from flambeau.data.samples import Samples
from flambeau.data.series.series import series_of_table
from flambeau.data.split import Split
from flambeau.evaluation.wording import score_number
from flambeau.planning.seasons import YEAR
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.text import with_settings
from flambeau.schema import Column, Kind, Schema, SeriesFacts, Task
from flambeau.stages.language.training import TextMaterial
from flambeau.stages.mixed.feed import choose_log_target
from flambeau.stages.series.feed import oldest_rows, targets_are_positive
from flambeau.stages.series.trial import RidgeTrial

TRAIN, VALID, TEST = np.arange(60), np.arange(60, 80), np.arange(80, 100)
SPLIT = Split(TRAIN, VALID, TEST, "by hand", "")


def samples_of(
    targets: np.ndarray, kinds: tuple[Kind, ...] = ("number", "text"), task: Task = "regression"
) -> Samples:
    columns = tuple(Column(f"c{place}", kind) for place, kind in enumerate(kinds))
    return Samples(
        Schema("table", task, "price", columns=columns), tuple(map(str, range(len(targets)))), targets
    )


def long_tailed(rows: int) -> np.ndarray:
    return np.exp(np.random.default_rng(0).normal(10, 1, rows))


@pytest.mark.parametrize("later", [5.0, -5.0])
def test_targets_that_are_tested_do_not_decide_about_their_logarithm(later: float) -> None:
    targets = np.concatenate([long_tailed(60), np.full(40, later)])
    choices = Choices(Recipe())
    choose_log_target(choices, samples_of(targets), SPLIT)
    assert choices.recipe.table.log_target is True
    targets = np.concatenate([np.random.default_rng(1).normal(100, 5, 60), 1e4 * long_tailed(40)])
    choices = Choices(Recipe())
    choose_log_target(choices, samples_of(targets), SPLIT)
    assert choices.recipe.table.log_target is False


def test_a_person_decides_and_plain_tables_are_left_alone() -> None:
    choices = Choices(with_settings(Recipe(), {"table.log_target": False}))
    choose_log_target(choices, samples_of(long_tailed(100)), SPLIT)
    assert choices.recipe.table.log_target is False
    for samples in (
        samples_of(long_tailed(100), ("number", "category")),
        samples_of(np.arange(100) % 2, task="classification"),
    ):
        choices = Choices(Recipe())
        choose_log_target(choices, samples, SPLIT)
        assert choices.recipe.table.log_target is None


@pytest.mark.parametrize(
    ("metric", "name"),
    [("rmse", "RMSE"), ("direction", "directions right"), ("pinball", "MAE"), ("mae", "MAE"), ("mse", "MSE")],
)
def test_forms_are_told_by_the_score_that_their_errors_are(metric: str, name: str) -> None:
    values = np.random.default_rng(0).normal(size=200)
    recipe = with_settings(Recipe(), {"forecast.horizon": 2, "evaluation.metric": metric})
    trial = RidgeTrial(days_of(values), recipe)
    form = {"lookback": 3, "differences": "difference", "waves": 0, "shared": False, "cross": 0}
    tried = trial.try_form(form, (0.1,))
    assert tried is not None
    score = float(np.nanmean(tried.errors)) ** (0.5 if metric == "rmse" else 1)
    assert trial.words(tried.error) == f"{name} {score_number(score)}"


def days_of(values: np.ndarray) -> Samples:
    dates = np.datetime_as_string(np.datetime64("2020-01-01") + np.arange(len(values)), unit="D")
    facts = SeriesFacts(("y",), time=("day",), unit="second", step=86_400, frequency="day", horizon=2)
    table = pyarrow.table({"day": dates, "y": values})
    return series_of_table(table, Schema("series", "forecast", "y", series=facts))


def test_the_newest_rows_decide_nothing_about_logarithms_and_waves() -> None:
    values = np.arange(1000.0) + 1
    recipe = with_settings(Recipe(), {"forecast.horizon": 2})
    assert targets_are_positive(days_of(values), recipe)
    assert targets_are_positive(days_of(np.where(np.arange(1000) > 900, -1.0, values)), recipe)
    assert not targets_are_positive(days_of(np.where(np.arange(1000) == 300, 0.0, values)), recipe)
    # 1,000 days hold two years, the 700 that train do not
    assert YEAR < RidgeTrial(days_of(values), recipe).seconds() < 2 * YEAR
    assert not oldest_rows(days_of(values), recipe)[720:].any()


def test_characters_of_the_test_part_do_not_choose_the_tokens() -> None:
    material = TextMaterial(("abc", "ab"), ("axyz",), "0123456789", {}, "", ())
    assert (material.facts.characters, material.facts.kinds) == (19, 3)
