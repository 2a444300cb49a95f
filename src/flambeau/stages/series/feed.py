"""Time series on their way to a model: windows, their split, the preparation fitted on training rows, and the feed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flambeau.data.batches import Gather
from flambeau.data.samples import Samples, SeriesValues
from flambeau.data.series.missing import every_window, usable_windows
from flambeau.data.series.windows import (
    gather_past,
    rows_in_windows,
    stretches_of,
    target_tensor,
    target_windows,
)
from flambeau.data.split import Split
from flambeau.data.tables.spelling import number_of
from flambeau.deploy.checks.series import window_arguments
from flambeau.errors import DataError, ModelError, RecipeError, did_you_mean
from flambeau.evaluation.forecasts import ForecastScale, fit_scale
from flambeau.models.spec import FORECAST_MODELS, ModelSpec, own_spec
from flambeau.planning.seasons import wave_orders, wave_periods
from flambeau.recipe import Recipe
from flambeau.recipe.forecast_options import ForecastOptions
from flambeau.recipe.options import ModelOptions
from flambeau.schema import SeriesFacts
from flambeau.stages.series.reach import divide_windows, way_out
from flambeau.training.names import FINANCE_LOSSES
from flambeau.transforms.series import SeriesPreparation, fit_series

SIZED_FORECAST_MODELS = ("tcn", "lstm", "patchtst")


@dataclass(frozen=True)
class SeriesFeed:
    """What is fed of time series; see `Feed`, which is made of it."""

    preparation: SeriesPreparation
    gather: Gather
    targets: Tensor
    scale: ForecastScale


def parts_of(samples: Samples) -> tuple[SeriesValues, SeriesFacts]:
    """The values and the facts of samples that are known to be time series."""
    assert samples.series is not None and samples.schema.series is not None
    return samples.series, samples.schema.series


def with_windows(samples: Samples, options: ForecastOptions) -> Samples:
    """The same series with the windows that the recipe asks for."""
    series, facts = parts_of(samples)
    facts = replace(
        facts,
        horizon=options.horizon or 1,
        lookback=options.lookback or 0,
        season=options.season or 0,
        quantiles=tuple(options.quantiles or ()),
    )
    targets = target_windows(series.values[:, : len(facts.targets)], facts.horizon)
    return replace(samples, schema=replace(samples.schema, series=facts), targets=targets)


def origins_of(samples: Samples, lookback: int | None = None) -> np.ndarray:
    """The rows whose windows can be used; where most would lack a target value, those that hold the value before too.

    Raises:
        DataError: there is no window at all.
    """
    series, facts = parts_of(samples)
    lookback = max(1, facts.lookback if lookback is None else lookback)
    if not len(every_window(series, lookback=lookback, horizon=facts.horizon)):
        longest = int(np.diff(series.starts).max(initial=0))
        raise DataError(
            "no series is long enough for one window",
            got=number_of(longest, "row"),
            expected=f"at least {lookback + facts.horizon:,}: {lookback:,} to look back on and the horizon",
        )
    return usable_windows(series, lookback=lookback, horizon=facts.horizon)


def all_rows(samples: Samples) -> np.ndarray:
    """Positions of all samples; of time series those rows that end a window."""
    return np.arange(len(samples)) if samples.series is None else origins_of(samples)


def divide_series(samples: Samples, recipe: Recipe, lookback: int | None = None) -> list[Split]:
    """One split by time, or one a block of the rolling back-test. Raises DataError where a part has no window."""
    series, facts = parts_of(samples)
    try:
        origins = origins_of(samples, lookback)
    except DataError as error:
        looked = facts.lookback if lookback is None else lookback
        error.where, error.command = recipe.source, way_out(series, recipe, facts.horizon, looked)
        raise
    try:
        return divide_windows(series, origins, recipe, facts.horizon)
    except ValueError as error:
        raise DataError(
            "the series cannot be divided by time",
            where=recipe.source,
            got=str(error),
            command=way_out(series, recipe, facts.horizon, facts.lookback if lookback is None else lookback),
        ) from error


def covered_rows(series: SeriesValues, origins: np.ndarray, lookback: int, horizon: int) -> np.ndarray:
    """(rows,) bool: those that lie in a window of these origins or in its target."""
    return rows_in_windows(len(series), origins, lookback=lookback, horizon=horizon)


def oldest_rows(samples: Samples, recipe: Recipe) -> np.ndarray:
    """(rows,) bool: those that surely train, of the first split; all where there is no split."""
    series, facts = parts_of(samples)
    try:
        return covered_rows(series, divide_series(samples, recipe, 1)[0].train, 1, facts.horizon)
    except DataError:  # told where windows are checked, with better words
        return np.ones(len(series), dtype=bool)


def targets_are_positive(samples: Samples, recipe: Recipe) -> bool:
    """Whether all targets of the training rows have logarithms."""
    series, facts = parts_of(samples)
    return bool((series.values[oldest_rows(samples, recipe), : len(facts.targets)] > 0).all())


def fit_preparation(
    samples: Samples, fitting_rows: np.ndarray, options: ForecastOptions
) -> SeriesPreparation:
    """The preparation fitted on the rows of these windows alone.

    Raises:
        RecipeError: logarithms of a target that has values of 0 or less.
    """
    series, facts = parts_of(samples)
    covered = covered_rows(series, fitting_rows, facts.lookback, facts.horizon)
    positive = np.all(series.values[covered] > 0, axis=0)
    wanted = options.differences == "log_difference"
    targets = len(facts.targets)
    if wanted and not positive[:targets].all():
        name = facts.targets[int(np.flatnonzero(~positive[:targets])[0])]
        raise RecipeError(
            f"'{name}' has values of 0 or less, which have no logarithm",
            got="forecast.differences: log_difference",
            command="--set forecast.differences=difference",
        )
    # columns beside the target change with it, so theirs is taken too where they have one; a volume may be 0 any day
    logs = [
        bool(wanted and one and name != facts.prices.get("volume"))
        for name, one in zip(facts.channels, positive, strict=True)
    ]
    span = int(np.ptp(series.times[covered])) if covered.any() else 0
    try:
        return fit_series(
            series.values[covered],
            facts.channels,
            targets=targets,
            known=len(facts.known),
            logs=logs,
            waves=wave_orders(wave_periods(facts, span), options.waves or 0),
            lookback=facts.lookback,
            horizon=facts.horizon,
            quantiles=facts.quantiles,
        )
    except ValueError as error:
        raise DataError("the training rows cannot be prepared", got=str(error)) from error


def scale_of(samples: Samples, fitting_rows: np.ndarray) -> ForecastScale:
    """What errors are measured by: spread and naive changes of the targets over the rows of these windows."""
    series, facts = parts_of(samples)
    covered = covered_rows(series, fitting_rows, facts.lookback, facts.horizon)
    stretches = stretches_of(covered, series.starts)
    return fit_scale(series.values[covered, : len(facts.targets)], facts.season, stretches)


def _scaled(samples: Samples, preparation: SeriesPreparation) -> np.ndarray:
    """(rows, channels) float32; raises DataError for values that the training rows did not foresee."""
    series, facts = parts_of(samples)
    with np.errstate(over="ignore"):
        scaled = preparation.transform(series.values)
    wrong = np.argwhere(~np.isfinite(scaled))
    if len(wrong):
        row, place = wrong[0].tolist()
        log = preparation.channels[place].log
        raise DataError(
            f"a value of '{facts.channels[place]}' cannot be scaled as the training rows are",
            where=samples.ids[row],
            got=f"{series.values[row, place]:g}",
            expected="values above 0, for their logarithms"
            if log
            else "values near those of the training rows",
            command="--set forecast.differences=difference" if log else "",
        )
    return scaled


def feed_series(
    samples: Samples,
    fitting_rows: np.ndarray,
    recipe: Recipe,
    device: torch.device,
    prepared: SeriesPreparation | None = None,
) -> SeriesFeed:
    """Fit the preparation on these windows, or take an earlier one, and make everything ready for all windows."""
    series, _ = parts_of(samples)
    preparation = prepared or fit_preparation(samples, fitting_rows, recipe.forecast)
    numbers = _scaled(samples, preparation)
    scaled = torch.from_numpy(numbers).to(device)
    known = series.values[:, series.values.shape[1] - preparation.known :]
    future = torch.from_numpy(preparation.transform_future(series.times, known)).to(device)
    gather = gather_past(scaled, future, lookback=preparation.lookback, horizon=preparation.horizon)
    own = scaled[:, : preparation.targets]
    targets = target_tensor(own, preparation.horizon)
    if recipe.training.loss.name in FINANCE_LOSSES:
        # a direction is one from the last known row, which stands first
        targets = torch.cat([own[:, None], targets], 1)
    return SeriesFeed(preparation, gather, targets, scale_of(samples, fitting_rows))


def unsolvable(penalty: float) -> RecipeError:
    """What to say where the equations of ridge regression have no solution in floating-point numbers."""
    return RecipeError(
        "the weights of ridge regression cannot be solved for: inputs repeat each other, or one dwarfs the others",
        got=f"forecast.penalty: {penalty:g}",
        expected="a larger penalty, or data without the columns that repeat others",
        command="--set forecast.penalty=0.01, or leave it open",
    )


def forecast_spec(
    options: ModelOptions, preparation: SeriesPreparation, forecast: ForecastOptions
) -> ModelSpec:
    """The description of a model of time series with resolved options."""
    name = options.name or "ridge"
    windows = window_arguments(preparation)
    if ":" in name:
        outputs = preparation.horizon * preparation.targets * (1 + len(preparation.quantiles))
        return own_spec(name, {**windows, "outputs": outputs, "inputs": windows["channels"]})
    if name not in FORECAST_MODELS:
        raise ModelError(
            f"there is no model '{name}' for time series",
            hint=did_you_mean(name, FORECAST_MODELS) + "; your own is --model file.py:Class",
        )
    arguments: dict[str, Any] = {
        **windows,
        "calendar": preparation.calendar,
        "centre": (forecast.differences or "difference") != "none",
    }
    if name == "ridge":
        return ModelSpec(name, {**arguments, "shared": bool(forecast.shared), "cross": forecast.cross or 0})
    if name in SIZED_FORECAST_MODELS:
        arguments |= {
            key: value
            for key in ("width", "depth", "dropout")
            if (value := getattr(options, key)) is not None
        }
    # texts have an lstm of their own
    return ModelSpec("lstm_forecast" if name == "lstm" else name, arguments)
