"""Scores of forecasts against their definitions; intervals that know of overlapping windows; back-tests."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.evaluation.backtest import back_test
from flambeau.evaluation.forecast_intervals import (
    block_length,
    block_means,
    forecast_intervals,
    paired_forecasts,
)
from flambeau.evaluation.forecasts import (
    ForecastScale,
    errors_by_step,
    fit_scale,
    mean_scores,
    naive_forecasts,
    validate_forecasts,
    window_scores,
)


def test_scores_are_what_their_names_say() -> None:
    targets = np.array([[[1.0], [3.0]], [[2.0], [2.0]]])
    forecasts = np.zeros((2, 2, 1, 3))
    forecasts[..., 0] = [[[2.0], [1.0]], [[2.0], [2.0]]]
    forecasts[..., 1], forecasts[..., 2] = 0.0, 2.5
    scale = ForecastScale((2.0,), (0.5,))
    scores = window_scores(targets, forecasts, scale, (0.1, 0.9), last=np.array([[1.5], [1.0]]))
    means = mean_scores(scores)
    assert scores["mae"].tolist() == [1.5, 0.0] and means["mse"] == 1.25
    assert means["rmse"] == pytest.approx(1.25**0.5)
    assert means["scaled_mse"] == pytest.approx(1.25 / 4) and means["mase"] == pytest.approx(0.75 / 0.5)
    assert means["coverage"] == 0.75 and means["width"] == 2.5
    assert scores["direction"].tolist() == [0.0, 1.0]
    assert errors_by_step(targets, forecasts, scale)["mae"] == [0.5, 1.0]
    with pytest.raises(ValueError, match="do not fit"):
        window_scores(targets, forecasts[:1], scale)


def test_the_scale_of_mase_is_the_seasonal_naive_error() -> None:
    values = np.tile([1.0, 5.0, 3.0], 10)[:, None] + np.arange(30)[:, None]
    assert fit_scale(values, 3).naive == (3.0,)
    assert fit_scale(np.ones((5, 1)), 0) == ForecastScale((1.0,), (1.0,))


def test_the_scale_of_several_series_never_crosses_their_borders() -> None:
    values = np.concatenate([np.tile([0.0, 1.0], 50), np.tile([1000.0, 1001.0], 50), np.tile([0.0, 1.0], 50)])
    stretches = np.repeat([1, 2, 3], 100)
    assert fit_scale(values[:, None], 0, stretches).naive == (1.0,)
    assert fit_scale(values[:, None], 3, stretches).naive == (1.0,)
    # where no stretch is as long as a season, neighbours are compared
    assert fit_scale(values[:, None], 120, stretches).naive == (1.0,)


def test_the_season_stands_beside_models_that_look_back_on_less() -> None:
    values = np.tile(np.arange(12.0), 6)[:, None]
    found = naive_forecasts(values, np.array([40, 50]), horizon=2, season=12, lookback=6)
    assert found["same row last season"][0, :, 0, 0].tolist() == values[41:43, 0].tolist()
    starts = np.array([0, 36, 72])  # of the second series, row 40 is the fifth
    found = naive_forecasts(values, np.array([40, 50]), horizon=2, season=12, lookback=5, starts=starts)
    assert "same row last season" not in found


def test_rounding_says_no_direction() -> None:
    last, scale = np.full((4, 1), 100.0), ForecastScale((1.0,), (1.0,))
    targets = np.array([101.0, 99.0, 101.0, 99.0])[:, None, None]
    noise = targets + np.array([-1, 1, -1, 1])[:, None, None] * (1 - 1e-7)
    assert np.isnan(window_scores(targets, noise[..., None], scale, last=last)["direction"]).all()


def test_naive_forecasts() -> None:
    values = np.arange(40.0)[:, None] + np.tile([0.0, 10.0], 20)[:, None]
    found = naive_forecasts(values, np.array([20, 30]), horizon=3, season=2, lookback=5)
    assert found["last value"][0, :, 0, 0].tolist() == [20, 20, 20]
    assert found["same row last season"][0, :, 0, 0].tolist() == [29, 20, 29]
    assert found["drift"][0, :, 0, 0].tolist() == [21, 22, 23]
    assert set(naive_forecasts(values, np.array([5]), horizon=1, season=0, lookback=1)) == {"last value"}


def test_blocks_widen_the_interval_of_overlapping_windows() -> None:
    noise = np.random.default_rng(0).normal(size=2000)
    smooth = np.convolve(noise, np.ones(50) / 50, mode="valid")
    widths = [
        float(
            np.ptp(
                np.quantile(block_means(smooth[:, None], block=block, resamples=500, seed=0), [0.025, 0.975])
            )
        )
        for block in (1, 50)
    ]
    assert widths[1] > 3 * widths[0]
    assert block_length(96, 2785) == 96 and block_length(1, 24) == 3 and block_length(50, 100) == 25


def test_intervals_are_repeatable_and_hold_the_value() -> None:
    windows = {"mae": np.random.default_rng(1).random(200), "mse": np.random.default_rng(2).random(200)}
    first, again = (forecast_intervals(windows, horizon=5, resamples=200, seed=3) for _ in range(2))
    assert first == again
    assert all(score["low"] < score["value"] < score["high"] for score in first.values())
    gap = paired_forecasts(windows["mae"], windows["mae"] + 0.1, horizon=5, resamples=200)
    assert gap["high"] < 0


def test_copies_of_a_series_narrow_no_interval() -> None:
    errors = np.convolve(np.random.default_rng(0).random(210), np.ones(10) / 10, mode="valid")[:200]
    once = forecast_intervals({"mae": errors}, horizon=5, times=np.arange(200))["mae"]
    many, times = np.tile(errors, 30), np.tile(np.arange(200), 30)
    assert forecast_intervals({"mae": many}, horizon=5, times=times)["mae"] == pytest.approx(once)
    assert forecast_intervals({"mae": errors}, horizon=5)["mae"] == once
    gap = paired_forecasts(many, np.zeros(6000), horizon=5, times=times)
    assert gap == pytest.approx(paired_forecasts(errors, np.zeros(200), horizon=5))


def test_validation_is_infinite_for_a_model_that_diverged() -> None:
    targets = np.ones((3, 2, 1))
    scale = ForecastScale((1.0,), (1.0,))
    assert validate_forecasts("mae", targets, np.full((3, 2, 1, 1), np.nan), scale).score == float("inf")
    assert validate_forecasts("mae", targets, np.zeros((3, 2, 1, 1)), scale).score == 1.0


def walk(steps: int, seed: int) -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, steps)))


def test_no_edge_on_a_random_walk() -> None:
    claims = 0
    for seed in range(40):
        prices = walk(400, seed)
        said = prices[:-1] * np.exp(np.random.default_rng(seed + 100).normal(0, 0.01, 399))
        report = back_test(prices[1:, None], said[:, None], prices[:-1], fee=0.001, resamples=200)
        claims += report["edge"]
        assert report["sentence"].startswith("An edge" if report["edge"] else "No edge")
    assert claims <= 1


def test_an_edge_that_is_there_is_found_and_fees_eat_it() -> None:
    prices = walk(600, 1)
    rises = prices[1:] > prices[:-1]
    luck = np.random.default_rng(2).random(599) < 0.8
    said = prices[:-1] * np.where(rises == luck, 1.01, 0.99)
    assert back_test(prices[1:, None], said[:, None], prices[:-1], fee=0.0)["edge"]
    assert not back_test(prices[1:, None], said[:, None], prices[:-1], fee=0.02)["edge"]
    few = back_test(prices[1:15, None], said[:14, None], prices[:14], fee=0.0)
    assert "too few" in few["sentence"]


def test_a_forecast_that_always_falls_has_no_edge() -> None:
    generator = np.random.default_rng(0)
    prices = 100 * np.exp(np.cumsum(generator.normal(-0.003, 0.01, 301)))
    report = back_test(prices[1:, None], 0.999 * prices[:-1, None], prices[:-1], fee=0.001)
    assert report["rises"] < 0.45 and not report["edge"] and report["rival"] == "never"
    assert report["sentence"].startswith("No edge: directions right")


def test_the_last_value_foresees_nothing() -> None:
    prices = walk(200, 3)
    said = prices[:-1] * (1 + np.random.default_rng(4).normal(0, 1e-7, 199))
    report = back_test(prices[1:, None], said[:, None], prices[:-1], fee=0.001, least=1e-5 * prices.std())
    assert (
        report["said"] == 0
        and report["changes"] == 0
        and "no rise or fall was forecast" in report["sentence"]
    )
    still = back_test(np.full((30, 1), 5.0), np.full((30, 1), 6.0), np.full(30, 5.0), fee=0.0)
    assert still["rises"] == 0 and not still["edge"]  # no price moved


def test_each_series_is_traded_by_itself() -> None:
    rising, falling = np.linspace(100, 200, 61), np.linspace(200, 100, 61)
    prices = np.concatenate([rising, falling])
    rows = np.concatenate([np.arange(60), 61 + np.arange(60)])
    report = back_test(
        prices[rows + 1][:, None], prices[rows + 1][:, None], prices[rows],
        fee=0.0, series=np.repeat([0, 1], 60), times=np.tile(np.arange(60), 2),
    )  # fmt: skip
    assert report["trades"] == 120 and report["changes"] == 1
    halves = 1 + (np.diff(rising) / rising[:-1]) / 2
    assert report["growth"] == pytest.approx(np.prod(halves) - 1)
