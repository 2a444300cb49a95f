"""Scores in sentences: numbers as tables write them, bands that are too narrow or too wide, honest verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.evaluation.backtest import back_test
from flambeau.evaluation.wording import band_words, metric_name, score_number, tell_band
from flambeau.recipe import Recipe
from flambeau.stages.comparing import compare_with_baselines


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (377458.2, "377,458"),
        (999.96, "1,000"),
        (9.9999, "10.00"),
        (99.995, "100.0"),
        (-0.99999, "-1.000"),
        (0.00099999, "0.0010"),
        (5e20, "5e+20"),
        (float("nan"), "nan"),
        (11.684, "11.68"),
        (1.0, "1.000"),
        (0.8, "0.8000"),
        (0.0, "0.0000"),
        (2e-5, "2e-05"),
        (-1234.5, "-1,234"),
    ],
)
def test_numbers_need_no_counting_of_digits(value: float, told: str) -> None:
    assert score_number(value) == told


def test_names_of_metrics_and_bands() -> None:
    assert metric_name("scaled_mse") == "standardised MSE" and metric_name("log_loss") == "log loss"
    assert band_words(0.005, 0.975) == "0.5 % to 97.5 %"


@pytest.mark.parametrize(
    ("coverage", "word"),
    [
        ({"value": 0.5, "low": 0.33, "high": 0.67}, "narrow"),
        ({"value": 0.95, "low": 0.9, "high": 0.99}, "wide"),
        ({"value": 0.75, "low": 0.7, "high": 0.81}, ""),
        (
            {"value": 0.804, "low": 0.802, "high": 0.85},
            "",
        ),  # as printed: 80% [80%, 85%], and 80% was asked for
        ({"value": 0.79, "low": 0.7, "high": 0.794}, "narrow"),
        (None, ""),
    ],
)
def test_a_band_is_told_where_it_misses_by_more_than_luck(
    coverage: dict[str, float] | None, word: str
) -> None:
    told = tell_band(coverage, (0.1, 0.9))
    assert bool(told) == bool(word)
    assert not word or f"The band from 10 % to 90 % is too {word}: it held" in told
    assert tell_band({"value": 0.1, "low": 0.0, "high": 0.2}, ()) == ""


def test_a_sure_loss_is_called_a_loss() -> None:
    steps = np.resize([1.0, -1.0], 400) * (1 + 0.1 * np.random.default_rng(0).random(400))
    prices = 100 * np.cumprod(1 + 0.01 * steps)
    wrong = prices[:-1] * (1 - 0.01 * np.sign(np.diff(prices)))
    report = back_test(prices[1:, None], wrong[:, None], prices[:-1], fee=0.001, resamples=200)
    assert report["difference"]["high"] < 0 and not report["edge"]
    assert report["sentence"].startswith("No edge but a loss, by more than luck could explain")
    assert "includes none" not in report["sentence"]


@pytest.mark.parametrize(("longer", "way_out"), [(True, "Train longer"), (False, "Look for more data")])
def test_a_training_cut_short_is_not_blamed_on_the_data(longer: bool, way_out: str) -> None:
    targets = np.arange(60) * 10_000.0
    baselines = {"ridge regression": targets + 100.0}
    verdict, standing = compare_with_baselines(
        "regression", targets, targets + 400_000.0, baselines, Recipe(), longer=longer
    )
    assert standing == "worse" and way_out in verdict
    assert "As it stands, ridge regression predicts better than the model that is kept." in verdict
    assert "RMSE 400,000 against 100.0 of the best baseline (ridge regression)" in verdict


def test_bands_of_parts_of_a_per_cent_are_told_to_a_digit_more() -> None:
    coverage = {"value": 0.99, "low": 0.985, "high": 0.996}
    assert tell_band(coverage, (0.001, 0.999)).endswith(
        "it held 99.0% [98.5%, 99.6%] of what came in the test, not 99.8%."
    )
