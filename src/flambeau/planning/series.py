"""Choices for time series: what is forecast from what, by which model, and how it is judged."""

from __future__ import annotations

import itertools

from flambeau.errors import RecipeError, did_you_mean
from flambeau.evaluation.metrics import task_metrics
from flambeau.planning.common import check_shares, check_whole_batches
from flambeau.planning.machine import Machine
from flambeau.planning.numbers import plan_numbers
from flambeau.planning.rules import check_init, plan_loss, plan_optimizer, plan_schedule
from flambeau.planning.seasons import lookbacks_for, season_of
from flambeau.recipe import Choices
from flambeau.schema import SeriesFacts
from flambeau.training.names import FINANCE_LOSSES

QUANTILES = [0.1, 0.9]
MOST_OUTPUTS = 200_000
# Of a net: rows of the past, samples it sees in all, and how often it may pass over them.
LOOKBACK_OF_NETS = 336
SAMPLES_SEEN = 300_000
MOST_EPOCHS, FEWEST_EPOCHS = 40, 5


def plan_series(
    choices: Choices, *, facts: SeriesFacts, rows: int, longest: int, machine: Machine, positive: bool = True
) -> None:
    """Fill in every open value but those that are found on the validation part: see `stages.series_trial`.

    Args:
        choices: changed in place.
        facts: of the series.
        rows: of all series.
        longest: rows of the longest series.
        machine: what there is.
        positive: whether all targets of the training rows are above 0, so that they have logarithms.

    Raises:
        RecipeError: values that cannot be meant for time series.
    """
    _check_split(choices)
    if facts.unit == "row" and choices.recipe.forecast.waves:
        raise RecipeError(
            "forecast.waves are counted from the calendar, and these rows have no times",
            got=str(choices.recipe.forecast.waves),
            expected="0; a lookback of a season or more shows a season of rows too",
            command="--set forecast.time=COLUMN, or forecast.waves=0",
        )
    choices.choose("forecast.horizon", facts.horizon, "one row ahead; --horizon N forecasts more")
    season, reason = season_of(facts, longest)
    choices.choose("forecast.season", season, reason)
    choices.choose("split.folds", 0, "the newest rows are the test part; --folds N is a rolling back-test")
    _plan_metric(choices, facts)
    if facts.prices and positive:
        words = "prices are learnt as log-returns: levels wander, and a model of levels only learns to repeat the last"
        choices.choose("forecast.differences", "log_difference", words)
    if facts.horizon > 1:
        words = (
            "later rows may shift in level, which no validation part shows: forecasts begin at the last value"
        )
        choices.choose("forecast.differences", "difference", words)
    _plan_quantiles(choices, facts)
    if facts.prices:
        longer = max(0, min(5, longest // 100))
        choices.choose(
            "forecast.embargo",
            longer,
            "neighbouring returns tell of each other a little longer than the horizon",
        )
    choices.choose("forecast.embargo", 0, "the gap of the horizon is enough")
    name = choices.choose(
        "model.name", "ridge", "solved in closed form, and as good as far larger nets for most series"
    )
    plan_loss(choices, task="forecast")
    if name == "ridge":
        _plan_closed_form(choices)
    else:
        _plan_net(choices, facts, rows, longest)
    plan_numbers(choices, machine, pictures=False)


def _check_split(choices: Choices) -> None:
    recipe = choices.recipe
    check_shares(choices)
    if len(recipe.split.rows) == 1:
        raise RecipeError(
            "split.rows gives the rows of each part", got=str(recipe.split.rows),
            expected="[train, valid, test], or [train, valid] where the rest tests",
        )  # fmt: skip
    if recipe.split.rows and recipe.split.folds:
        raise RecipeError(
            "split.rows is one split, and split.folds asks for several", got=f"{recipe.split.folds} folds",
            expected="one of them",
        )  # fmt: skip
    for key, given in (("split.group", recipe.split.group), ("data.test", recipe.data.test)):
        if given is not None:
            raise RecipeError(
                f"{key} is for samples that stand alone; time series are split by time",
                got=str(given),
                expected="split.rows=[train, valid, test], or shares by split.train and split.valid",
            )
    if (recipe.training.bags or 1) > 1:
        raise RecipeError(
            "training.bags leaves rows out at random, and rows of a series are not independent",
            got=str(recipe.training.bags),
            expected="1; --folds N tests several times",
        )


def _plan_metric(choices: Choices, facts: SeriesFacts) -> None:
    several = len(facts.targets) > 1
    reason = (
        "in standardised units, as several targets differ in size"
        if several
        else "errors in the target's own unit"
    )
    metric = choices.choose("evaluation.metric", "scaled_mse" if several else "mae", reason)
    known = [name for name in task_metrics("forecast") if name not in ("coverage", "width")]
    if metric not in known:
        raise RecipeError(
            f"evaluation.metric: '{metric}' is no score to choose a forecast by",
            expected=", ".join(known),
            hint=did_you_mean(str(metric), known),
        )


def _plan_quantiles(choices: Choices, facts: SeriesFacts) -> None:
    if choices.recipe.training.loss.name in FINANCE_LOSSES:
        choices.choose(
            "forecast.quantiles", [], f"the loss {choices.recipe.training.loss.name} knows no quantiles"
        )
    many = facts.horizon * len(facts.targets) * 3 > MOST_OUTPUTS
    if many:
        choices.choose(
            "forecast.quantiles", [], "so many rows and targets that quantiles would take much memory"
        )
    quantiles = choices.choose("forecast.quantiles", QUANTILES, "four of five values should lie between them")
    if any(low >= high for low, high in itertools.pairwise(quantiles)):
        raise RecipeError("forecast.quantiles: expected rising numbers", got=str(quantiles))
    if quantiles and choices.recipe.training.loss.name in FINANCE_LOSSES:
        raise RecipeError(
            f"the loss {choices.recipe.training.loss.name} learns a direction and no quantiles",
            got=str(quantiles), expected="[]", command="--set forecast.quantiles=[]",
        )  # fmt: skip


def _plan_closed_form(choices: Choices) -> None:
    if choices.recipe.training.loss.name != "mse":
        raise RecipeError(
            "ridge regression is solved for squared errors, whatever the loss",
            got=choices.recipe.training.loss.name,
            expected="--loss mse, or a net: linear, nlinear, dlinear, tcn, lstm or patchtst",
            command=f"--model nlinear --loss {choices.recipe.training.loss.name}",
        )
    choices.choose("training.epochs", 0, "the weights are solved for, and no step could better them")
    choices.choose("training.precision", "fp32", "the weights are solved for in double precision")
    choices.idle("training.", "without steps")
    choices.choose("training.batch_size", 64, "")
    _plan_rest(choices)


def _plan_net(choices: Choices, facts: SeriesFacts, rows: int, longest: int) -> None:
    season, horizon = choices.recipe.forecast.season or 0, facts.horizon
    train = round(longest * choices.recipe.split.train)
    lengths = [n for n in lookbacks_for(season, horizon, train) if n <= max(LOOKBACK_OF_NETS, horizon)]
    length = lengths[-1] if lengths else max(1, min(LOOKBACK_OF_NETS, train // 3))
    choices.choose("forecast.lookback", length, "the longest that leaves windows enough to train on")
    linear = choices.recipe.model.name in ("linear",)
    words = (
        "levels, as the name says"
        if linear
        else "forecasts begin at the last value, wherever it has wandered"
    )
    choices.choose("forecast.differences", "none" if linear else "difference", words)
    choices.choose("forecast.waves", 0, "the rows looked back on show the season")
    epochs = max(FEWEST_EPOCHS, min(MOST_EPOCHS, round(SAMPLES_SEEN / max(1, rows))))
    choices.choose("training.epochs", epochs, f"{rows:,} rows; the best epoch is kept")
    choices.choose(
        "training.batch_size", 32 if rows < 20_000 else 128, "neighbouring windows say much the same"
    )
    if choices.recipe.training.epochs == 0:
        raise RecipeError(
            "0 epochs are for ridge, whose weights are solved for", got=f"--model {choices.recipe.model.name}",
            expected="1 epoch or more",
        )  # fmt: skip
    check_whole_batches(choices.recipe)
    _plan_rest(choices)


def _plan_rest(choices: Choices) -> None:
    check_init(choices, pretrained=False)
    choices.choose("training.patience", 0, "the rate falls to zero at the end; the best epoch is kept")
    choices.choose(
        "training.bags", 1, "rows that are left out at random would still be seen in windows beside them"
    )
    plan_optimizer(choices, 1e-3, 1e-2, "steady for windows of series")
    for key, value in (
        ("training.head_epochs", 0),
        ("training.freeze_early", False),
        ("training.optimizer.body_lr", 1.0),
    ):
        choices.choose(key, value, "no effect without a pretrained body")
    choices.choose("training.tolerance", 0.0, "the best epoch is kept")
    choices.choose("training.label_smoothing", 0.0, "there are no classes")
    choices.choose("training.ema", 0.0, "the falling rate averages enough")
    choices.choose("training.clip_norm", 1.0, "one odd window cannot throw the weights far")
    plan_schedule(choices)
