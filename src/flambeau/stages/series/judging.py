"""The honest score of forecasts: by block bootstrap, beside the naive ones, with a back-test of prices."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.data.samples import Samples, series_numbers
from flambeau.data.split import Split
from flambeau.evaluation.backtest import back_test
from flambeau.evaluation.forecast_intervals import forecast_intervals, paired_forecasts
from flambeau.evaluation.forecasts import (
    SMALLEST_MOVE,
    ForecastScale,
    errors_by_step,
    mean_scores,
    naive_forecasts,
    window_scores,
)
from flambeau.evaluation.metrics import higher_is_better, task_metrics
from flambeau.evaluation.wording import metric_name, score_number, tell_band
from flambeau.recipe import Recipe
from flambeau.stages.comparing import verdict_on
from flambeau.stages.series.feed import origins_of, parts_of, scale_of

WORST = 24  # mistakes that are shown


def naive_of(samples: Samples, rows: np.ndarray, recipe: Recipe) -> dict[str, np.ndarray]:
    """Name → naive forecasts (n, horizon, targets, 1) of these windows; none where the recipe wants none."""
    if not recipe.evaluation.baselines:
        return {}
    series, facts = parts_of(samples)
    values = series.values[:, : len(facts.targets)]
    return naive_forecasts(
        values, rows, horizon=facts.horizon, season=facts.season, lookback=max(1, facts.lookback),
        starts=series.starts,
    )  # fmt: skip


def scores_of(
    samples: Samples, rows: np.ndarray, forecasts: np.ndarray, scale: ForecastScale
) -> dict[str, np.ndarray]:
    """The scores of each of these windows."""
    series, facts = parts_of(samples)
    last = series.values[rows, : len(facts.targets)]
    return window_scores(samples.targets[rows], forecasts, scale, facts.quantiles, last)


def forecast_scores(
    samples: Samples,
    splits: list[Split],
    rows: np.ndarray,
    predictions: np.ndarray,
    baselines: dict[str, np.ndarray],
    recipe: Recipe,
) -> dict[str, Any]:
    """The content of scores.json of a forecast, but for the seconds.

    Args:
        samples: time series.
        splits: that were tested.
        rows: (n,) tested windows.
        predictions: (n, horizon, targets, 1 + quantiles).
        baselines: name → (n, horizon, targets, 1).
        recipe: resolved.
    """
    series, facts = parts_of(samples)
    scale = scale_of(samples, splits[0].train)
    own = scores_of(samples, rows, predictions, scale)
    others = {name: scores_of(samples, rows, values, scale) for name, values in baselines.items()}
    options = recipe.evaluation
    times = series.times[rows]
    intervals = forecast_intervals(
        own, horizon=facts.horizon, resamples=options.resamples, seed=recipe.seed, times=times
    )
    metric = recipe.evaluation.metric or "mae"
    sentence, standing = _compare(own, others, metric, facts.horizon, recipe, times)
    if others and facts.season > 1 and "same row last season" not in others:
        sentence += " No season lies before all tested rows, so the row a season ago is no baseline here."
    band = tell_band(intervals.get("coverage"), facts.quantiles)
    targets = samples.targets[rows]
    traded = _trade(samples, rows, predictions, recipe, scale)
    sentence = " ".join(filter(None, (sentence, band, (traded or {}).get("sentence"))))
    folds = len(splits)
    return {
        "task": "forecast",
        "rows": {
            "train": len(origins_of(samples)) if folds > 1 else len(splits[0].train),
            "valid": 0 if folds > 1 else len(splits[0].valid),
            "test": len(rows),
        },
        "seconds": 0.0,
        # the score that chose the model leads
        "test": {name: intervals[name] for name in (metric, *task_metrics("forecast")) if name in intervals},
        "baselines": {name: _ordered(mean_scores(scores)) for name, scores in others.items()},
        "method": f"rolling back-test of {folds} blocks" if folds > 1 else "test part",
        "metric": metric,
        "verdict": sentence,
        "standing": standing,
        "calibration": None,
        "classes": [],
        "advice": None,
        "kept": "a model trained on all windows, after the test"
        if folds > 1 or recipe.split.refit
        else "the model that was tested",
        "forecast": {
            "horizon": facts.horizon,
            "lookback": facts.lookback,
            "targets": list(facts.targets),
            "quantiles": list(facts.quantiles),
            "scale": {"spread": list(scale.spread), "naive": list(scale.naive)},
            "by_step": errors_by_step(targets, predictions, scale),
            "baselines_by_step": {
                name: errors_by_step(targets, values, scale) for name, values in baselines.items()
            },
            "back_test": traded,
        },
    }


def _ordered(scores: dict[str, float]) -> dict[str, float]:
    return {name: scores[name] for name in task_metrics("forecast") if name in scores}


def _compare(
    own: dict[str, np.ndarray],
    others: dict[str, dict[str, np.ndarray]],
    metric: str,
    horizon: int,
    recipe: Recipe,
    times: np.ndarray,
) -> tuple[str, str | None]:
    """Whether the model beats the best naive forecast, and whether by more than the luck of these windows."""
    name = "mse" if metric == "rmse" else metric
    words = metric_name(metric)
    others = {title: scores for title, scores in others.items() if name in scores}
    if name not in own:
        return "These windows define no score.", None
    value = mean_scores(own)[metric]
    if not others:
        return f"{words} {score_number(value)}; no baseline was fitted.", None
    sign = 1 if higher_is_better(name) else -1
    best = max(others, key=lambda title: sign * float(np.nanmean(others[title][name])))
    gap = paired_forecasts(
        own[name],
        others[best][name],
        horizon=horizon,
        resamples=recipe.evaluation.resamples,
        seed=recipe.seed,
        times=times,
    )
    values = f"{score_number(value)} against {score_number(mean_scores(others[best])[metric])}"
    comparison = f"{words} {values} of the best baseline ({best})"
    low, high = sorted((sign * gap["low"], sign * gap["high"]))
    equal = bool(np.isclose(gap["value"], 0, atol=1e-6 * abs(value)))
    return verdict_on(comparison, low, high, ahead=sign * gap["value"] > 0 and not equal)


def _trade(
    samples: Samples, rows: np.ndarray, predictions: np.ndarray, recipe: Recipe, scale: ForecastScale
) -> dict[str, Any] | None:
    """The back-test of a price: of the closing price, where it is a target, or of the first target of prices."""
    series, facts = parts_of(samples)
    traded = next(
        (one for one in facts.targets if one in facts.prices.values() and one != facts.prices.get("volume")),
        None,
    )
    if traded is None or len(rows) < 2 * facts.horizon:
        return None
    close = facts.prices["close"] if facts.prices["close"] in facts.targets else traded
    place = facts.targets.index(close)
    try:
        report = back_test(
            samples.targets[rows][:, :, place],
            predictions[:, :, place, 0],
            series.values[rows, place],
            fee=recipe.forecast.fee,
            least=SMALLEST_MOVE * scale.spread[place],
            series=series_numbers(series, rows),
            times=series.times[rows],
            resamples=recipe.evaluation.resamples,
            seed=recipe.seed,
        )
    except ValueError:
        return {
            "target": close,
            "edge": False,
            "sentence": f"No back-test: a price of '{close}' is not above 0.",
        }
    return {"target": close, **report}


def scale_in(scores: dict[str, Any]) -> ForecastScale:
    """The scale that the scores of a forecast were measured by; see `forecast_scores`."""
    told = scores["forecast"]["scale"]
    return ForecastScale(tuple(told["spread"]), tuple(told["naive"]))


def worst_forecasts(
    samples: Samples, rows: np.ndarray, predictions: np.ndarray, scale: ForecastScale
) -> list[dict[str, Any]]:
    """The windows that were forecast worst, in standardised units, the worst first; none overlaps one before it."""
    _, facts = parts_of(samples)
    errors = scores_of(samples, rows, predictions[..., :1], scale)["scaled_mae"]
    found: list[dict[str, Any]] = []
    taken: list[int] = []
    for index in np.argsort(-errors, kind="stable").tolist():
        row = int(rows[index])
        if any(abs(row - other) < facts.horizon for other in taken):
            continue
        taken.append(row)
        targets, forecast = samples.targets[row], predictions[index, :, :, 0]
        found.append({
            "id": samples.ids[row],
            "target": float(np.mean(targets)),
            "predicted": float(np.mean(forecast)),
            "confidence": None,
            "error": float(errors[index]),
            "png": None,
            "row": None,
        })  # fmt: skip
        if len(found) == WORST:
            break
    return found
