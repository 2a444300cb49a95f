"""Which form of ridge forecasts a series best: found on the validation part, told as choices with their errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from flambeau.data.samples import Samples
from flambeau.data.split import Split
from flambeau.errors import DataError, RecipeError
from flambeau.evaluation.forecast_intervals import paired_forecasts
from flambeau.evaluation.forecasts import naive_forecasts, window_scores
from flambeau.evaluation.wording import metric_name, score_number
from flambeau.models.build import build_model
from flambeau.models.forecast_ridge import NO_WEIGHTS, RidgeForecast, ridge_weights, window_moments
from flambeau.planning.seasons import lookbacks_for, wave_periods, waves_are_unseen
from flambeau.recipe import Choices, Recipe
from flambeau.stages.journal import Journal
from flambeau.stages.series.feed import (
    divide_series,
    feed_series,
    forecast_spec,
    oldest_rows,
    parts_of,
    targets_are_positive,
    unsolvable,
    with_windows,
)

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
# A further step away from the simplest form must gain so much.
LEAST_GAIN = 0.005
CROSS = (1, 4)
MOST_WAVES = 3
MOST_WORK = 4e11
SMALL_SERIES = 5_000
KEYS = ("lookback", "differences", "waves", "shared", "cross", "penalty")


@dataclass(frozen=True)
class Tried:
    """A form of ridge and how it did on the validation windows.

    Args:
        options: of the recipe's section "forecast".
        errors: (n,) scores of the windows.
        error: their mean, or for "direction" the share that was wrong.
    """

    options: dict[str, Any]
    errors: np.ndarray
    error: float


class RidgeTrial:
    """Fits forms of ridge on the training windows and scores them on the validation windows.

    Args:
        samples: with the windows of the recipe.
        recipe: resolved but for what is found here.
    """

    def __init__(self, samples: Samples, recipe: Recipe) -> None:
        self.samples, self.recipe = samples, recipe
        self.asked = recipe.evaluation.metric or "mae"
        self.metric = "mse" if self.asked == "rmse" else self.asked
        self.count = 0
        self.work = 0.0
        self.trouble: DataError | RecipeError | None = None

    def split(self, lookback: int) -> Split:
        """The first split, of windows of that length."""
        return divide_series(self.samples, self.recipe, lookback)[0]

    def cost(self, options: dict[str, Any]) -> float:
        """Multiplications that solving takes, about."""
        series, facts = parts_of(self.samples)
        features = options["lookback"] + options["cross"] * len(facts.channels)
        return float(len(series)) * features * (features + facts.horizon) * len(facts.targets)

    def try_form(self, options: dict[str, Any], penalties: tuple[float, ...] = PENALTIES) -> Tried | None:
        """The best of these penalties for a form; None where it cannot be: `trouble` says why."""
        self.count += 1
        self.work += self.cost(options)
        try:
            return self._best_penalty(options, penalties)
        except (DataError, RecipeError) as error:
            self.trouble = error
            return None

    def _best_penalty(self, options: dict[str, Any], penalties: tuple[float, ...]) -> Tried | None:
        forecast = self.recipe.forecast.model_copy(update=options)
        recipe = self.recipe.model_copy(update={"forecast": forecast})
        samples = with_windows(self.samples, forecast.model_copy(update={"quantiles": []}))
        split = self.split(options["lookback"])
        feed = feed_series(samples, split.train, recipe, torch.device("cpu"))
        model = build_model(forecast_spec(recipe.model, feed.preparation, forecast))
        assert isinstance(model, RidgeForecast)
        moments = window_moments(model, feed.gather, feed.targets, torch.from_numpy(split.train))
        targets = samples.targets[split.valid]
        best: Tried | None = None
        last = parts_of(samples)[0].values[split.valid, : targets.shape[2]]
        for penalty in penalties:
            try:
                weights = ridge_weights(
                    moments, penalty, shared=len(model.weight) < model.targets, drift=model.centre
                )
            except torch.linalg.LinAlgError:  # inputs repeat each other beyond what this penalty mends
                self.trouble = unsolvable(penalty)
                continue
            with torch.no_grad():
                model.weight.copy_(weights[:, :-1])
                model.bias.copy_(weights[:, -1:])
                outputs = [model(*feed.gather(rows)) for rows in torch.from_numpy(split.valid).split(512)]
            forecasts = feed.preparation.restore(torch.cat(outputs).numpy())
            if not np.isfinite(forecasts).all():
                continue
            errors = window_scores(targets, forecasts, feed.scale, last=last)[self._name]
            error = float(np.nanmean(errors)) if self._lower else 1 - float(np.nanmean(errors))
            if best is None or error < best.error:
                best = Tried({**options, "penalty": penalty}, errors, error)
        return best

    @property
    def _name(self) -> str:
        return self.metric if self.metric != "pinball" else "mae"

    def words(self, error: float) -> str:
        """An error that forms are compared by, as the score that it is and under its name.

        A pinball loss cannot be told: forms are compared before they have quantiles.
        """
        if self.metric == "direction":
            return f"{metric_name(self.metric)} {score_number(1 - error)}"
        if self.asked == "rmse":
            return f"{metric_name(self.asked)} {score_number(error**0.5)}"
        return f"{metric_name(self._name)} {score_number(error)}"

    @property
    def _lower(self) -> bool:
        return self.metric != "direction"

    def last_value(self, lookback: int) -> np.ndarray:
        """(n,) scores of the last value on the validation windows."""
        series, facts = parts_of(self.samples)
        split = self.split(lookback)
        values = series.values[:, : len(facts.targets)]
        forecasts = naive_forecasts(values, split.valid, horizon=facts.horizon, season=0, lookback=1)[
            "last value"
        ]
        scale = feed_series(
            with_windows(self.samples, self.recipe.forecast.model_copy(update={"lookback": lookback})),
            split.train, self.recipe, torch.device("cpu"),
        ).scale  # fmt: skip
        return window_scores(self.samples.targets[split.valid], forecasts, scale, last=values[split.valid])[
            self._name
        ]

    def times(self, lookback: int) -> np.ndarray:
        """(n,) of the validation windows."""
        return parts_of(self.samples)[0].times[self.split(lookback).valid]

    def seconds(self) -> int:
        """That the training rows span."""
        times = parts_of(self.samples)[0].times[oldest_rows(self.samples, self.recipe)]
        return int(np.ptp(times)) if len(times) else 0


def choose_ridge(samples: Samples, choices: Choices, journal: Journal) -> None:
    """Fill in what is open of the form of ridge, one thing after the other, each by the validation error."""
    open_keys = [key for key in KEYS if getattr(choices.recipe.forecast, key) is None]
    if not open_keys:
        return
    journal.stage("choose", "comparing forms of ridge regression on the validation part")
    trial = RidgeTrial(samples, choices.recipe)
    best, reasons = _search(trial)
    simple = _no_better_than_last(trial, best)
    if simple:
        change = choices.recipe.forecast.differences or "difference"
        best = replace(best, options={**best.options, "differences": change, "waves": 0, "cross": 0})
    for key in open_keys:
        value = best.options[key]
        found = f"{trial.words(best.error)} in validation, {trial.count} forms tried"
        reason = f"{reasons.get(key, 'nothing else was better')} ({found})"
        if key == "penalty" and simple:
            value, reason = NO_WEIGHTS, simple
        elif key == "penalty":
            reason = f"the least error of {', '.join(f'{one:g}' for one in PENALTIES)}"
        choices.choose(f"forecast.{key}", value, reason)


def _search(trial: RidgeTrial) -> tuple[Tried, dict[str, str]]:
    """Coordinate by coordinate from the simplest form, keeping what lowers the validation error."""
    given = {key: getattr(trial.recipe.forecast, key) for key in KEYS}
    penalties = PENALTIES if given["penalty"] is None else (given["penalty"],)
    series, facts = parts_of(trial.samples)
    train = round(int(np.diff(series.starts).max()) * trial.recipe.split.train)
    if trial.recipe.split.rows:
        train = trial.recipe.split.rows[0]
    lengths = lookbacks_for(trial.recipe.forecast.season or 0, facts.horizon, train)
    several = len(facts.targets) > 1
    start = {"lookback": lengths[0], "differences": "difference", "waves": 0, "shared": several, "cross": 0}
    start |= {key: value for key, value in given.items() if value is not None and key != "penalty"}
    if start["cross"] and given["shared"] is None:
        start["shared"] = False
    best: Tried | None = None
    reasons: dict[str, str] = {}
    periods = wave_periods(facts, trial.seconds())
    rounds = 2 if len(series) < SMALL_SERIES else 1
    for _ in range(rounds):
        for forms, words in _steps(trial, lengths):
            open_forms = [{k: v for k, v in form.items() if given[k] is None} for form in forms]
            for form in open_forms:
                options = {**_of(best, start), **form}
                known = best is not None and all(best.options.get(k) == v for k, v in options.items())
                if known or not form or (options["shared"] and options["cross"]):
                    continue
                if form.get("waves") and not waves_are_unseen(periods, facts, options["lookback"]):
                    continue
                if best is not None and trial.work + trial.cost(options) > MOST_WORK:
                    continue
                tried = trial.try_form(options, penalties)
                if tried is None:
                    continue
                if best is None or tried.error < best.error * (1 - LEAST_GAIN):
                    best = tried
                    reasons |= dict.fromkeys(form, f"the least error of {words}")
    best = best or trial.try_form(start, penalties)
    if best is None:
        raise trial.trouble or DataError(
            "no form of ridge regression makes finite forecasts of the validation part",
            expected="values that stay near those of the training rows",
            hint="look for a column that is constant in the older rows and huge in the newer ones",
        )
    return best, reasons


def _of(best: Tried | None, start: dict[str, Any]) -> dict[str, Any]:
    found = start if best is None else best.options
    return {key: value for key, value in found.items() if key != "penalty"}


def _steps(trial: RidgeTrial, lengths: list[int]) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """What is tried, in this order: forms, and in words what they are."""
    _, facts = parts_of(trial.samples)
    yield [{"lookback": length} for length in lengths], f"{', '.join(map(str, lengths))} rows"
    positive = targets_are_positive(trial.samples, trial.recipe)
    changes = ["difference", "none", *(["log_difference"] if positive else [])]
    periods = wave_periods(facts, trial.seconds())
    # levels are only good with a season beside them, so both are tried together
    waves = range(MOST_WAVES + 1) if periods else range(1)
    both = [{"differences": change, "waves": orders} for change in changes for orders in waves]
    yield both, "the pairs of differences and waves"
    if len(facts.targets) > 1:
        yield [{"shared": True, "cross": 0}, {"shared": False}], "shared weights and each target's own"
    if len(facts.channels) > 1:
        rows = [0, *(rows for rows in CROSS if rows <= lengths[0])]
        yield [{"cross": count} for count in rows], f"{', '.join(map(str, rows))} rows of other columns"


def _no_better_than_last(trial: RidgeTrial, best: Tried) -> str:
    """Why the last value is forecast, where no form is better by more than luck; "" where one is."""
    if trial.recipe.forecast.penalty is not None or trial.metric == "direction":
        return ""
    if trial.recipe.forecast.differences == "none":
        return ""
    naive = trial.last_value(best.options["lookback"])
    horizon = parts_of(trial.samples)[1].horizon
    gain = paired_forecasts(
        best.errors,
        naive,
        horizon=horizon,
        seed=trial.recipe.seed,
        times=trial.times(best.options["lookback"]),
    )
    if gain["high"] < 0:
        return ""
    errors = f"{trial.words(best.error)} against {trial.words(float(np.nanmean(naive)))}"
    return (
        f"no form is better than the last value by more than luck could explain ({errors} "
        f"in validation), so {_where_forecasts_are(trial.recipe.training.epochs)}"
    )


def _where_forecasts_are(epochs: int | None) -> str:
    """What a model without weights forecasts; epochs that the person asked for give it some."""
    if epochs:
        return "forecasts begin at the last value, and the epochs that you asked for move them away from it"
    return "forecasts stay at the last value"
