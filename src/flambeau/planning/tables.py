"""Choices for tables: how columns become tensors, which network, how many of them, and how long they train.

Every rule is a function of the data and the machine's kind, never of a stopwatch. The measurements behind the
numbers are in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambeau.errors import RecipeError
from flambeau.planning.common import decides_by_threshold
from flambeau.planning.numbers import plan_numbers
from flambeau.planning.rules import check_init, plan_loss, plan_optimizer, plan_schedule, plan_whole_batches
from flambeau.recipe import Choices

# Rows, all parts together, below which a table counts as minute, tiny, small or middling.
MINUTE_ROWS = 500
TINY_ROWS = 1_000
SMALL_ROWS = 6_000
MIDDLING_ROWS = 50_000

# Samples that one network sees in all, where an epoch is long.
SAMPLES_SEEN = 700_000
FEWEST_EPOCHS = 8
# Above these, batches grow so that a step has enough to do.
LARGE_BATCH_ROWS = 200_000


def plan_table(
    choices: Choices,
    *,
    rows: int,
    number_features: int,
    task: str,
    machine: Mapping[str, Any],
    target_later: bool = False,
) -> None:
    """Fill in every open value of table, model and training.

    Args:
        choices: changed in place.
        rows: samples, all parts together.
        number_features: columns of numbers, booleans and dates.
        task: classification, multilabel or regression.
        machine: "device" (cpu, cuda, mps), "cores", "bf16".
        target_later: whether targets of training rows decide about its logarithm, once there is a split.
    """
    plan_loss(choices, task=task)
    if not target_later:
        plan_log_target(choices, task, skewed=None)
    check_init(choices, pretrained=False)
    plan_whole_batches(choices, rows=rows)
    _plan_preparation(choices, rows, number_features)
    _plan_model(choices)
    _plan_length(choices, rows, task)
    _plan_steps(choices, rows, task)
    plan_schedule(choices)
    plan_numbers(choices, machine, pictures=False)


def plan_log_target(choices: Choices, task: str, *, skewed: bool | None) -> None:
    """Fill in whether the logarithm of the target is learnt.

    Args:
        choices: changed in place.
        task: classification, multilabel or regression.
        skewed: whether the targets are above 0 and have a long tail; None where they were not looked at.

    Raises:
        RecipeError: it is asked for where there is no logarithm.
    """
    key = "table.log_target"
    if task != "regression":
        if choices.recipe.table.log_target:
            raise RecipeError(f"{key} is for targets that are numbers", got=task, expected="false")
        choices.choose(key, False, "the target is no number")
    elif skewed:
        choices.choose(key, True, "the target is above 0 and has a long tail: errors count as shares of it")
    elif skewed is None:
        choices.choose(key, False, "errors count in the target's own unit")
    else:
        choices.choose(key, False, "the target has no long tail, or is not always above 0")


def bins_for(rows: int, number_features: int) -> tuple[int, str]:
    """Bins of the piecewise-linear embedding of a number, and why."""
    if number_features == 0:
        return 0, "there are no numbers"
    if rows < SMALL_ROWS:
        return 8, f"{rows:,} rows: finer bins would be learnt by heart"
    return 128, f"{rows:,} rows bear fine bins, which find thresholds as trees do"


def bags_for(rows: int, *, threshold: bool = False) -> tuple[int, str]:
    """Networks whose predictions are averaged, and why; `threshold`: whether their average is decided by one."""
    if threshold and rows < TINY_ROWS:
        return 5, f"{rows:,} rows: networks differ much, their mean less"
    if threshold and rows < MIDDLING_ROWS:
        return (
            5,
            f"{rows:,} rows: all networks leave out the same ones, on which their average chooses its threshold",
        )
    if rows < TINY_ROWS:
        return 5, f"{rows:,} rows: networks differ much, their mean less; each leaves out another fifth"
    if rows < SMALL_ROWS:
        return (
            8,
            f"{rows:,} rows: each network leaves out another eighth, so none is wasted on choosing epochs",
        )
    if rows < MIDDLING_ROWS:
        return (
            5,
            f"{rows:,} rows: each network leaves out another fifth, so none is wasted on choosing epochs",
        )
    return 1, f"{rows:,} rows: one network sees enough"


def epochs_for(rows: int, task: str) -> tuple[int, str]:
    """Passes over the training rows, and why."""
    if rows < TINY_ROWS:
        return 40, f"{rows:,} rows: an epoch is only a few steps"
    if rows < SMALL_ROWS:
        return 30, f"{rows:,} rows: more would be learnt by heart"
    longest, reason = (
        (50, "numbers are fitted slowly") if task == "regression" else (20, "classes are learnt soon")
    )
    epochs = max(FEWEST_EPOCHS, min(longest, round(SAMPLES_SEEN / rows)))
    if epochs < longest:
        reason = "an epoch is many steps"
    return epochs, f"{rows:,} rows: {reason}"


def batch_for(rows: int) -> tuple[int, str]:
    """Rows a step, and why."""
    if rows < MINUTE_ROWS:
        return 32, f"{rows:,} rows: small batches make enough steps"
    if rows < LARGE_BATCH_ROWS:
        return 256, f"{rows:,} rows: large enough to be quick, small enough to learn from"
    return 1024, f"{rows:,} rows make enough steps, even large ones"


def rate_for(rows: int, task: str) -> tuple[float, float, str]:
    """Learning rate, weight decay, and why."""
    if rows < MINUTE_ROWS:
        return 2e-3, 0.1, "small batches, few rows: short steps and much decay"
    if rows < TINY_ROWS:
        return 8e-3, 0.1, "few steps in all: long ones, and much decay"
    if rows < SMALL_ROWS:
        return 4e-3, 0.1, "few rows: short steps and much decay keep the functions smooth"
    if task == "regression":
        return 1.6e-2, 1e-2, "the bends of the piecewise-linear embeddings start at 0 and have far to go"
    return 8e-3, 1e-2, "the bends of the piecewise-linear embeddings start at 0 and have far to go"


def scaling_for(rows: int) -> tuple[str, str]:
    """How numbers are scaled, and why."""
    if rows < MINUTE_ROWS:
        return "standard", f"{rows:,} rows: too few to tell more than a mean and a deviation"
    if rows < TINY_ROWS:
        return "robust", f"{rows:,} rows: too few to tell a distribution; far-off values are bounded"
    return "quantile", "far-off values and odd distributions do no harm"


def _plan_preparation(choices: Choices, rows: int, number_features: int) -> None:
    scaling, reason = scaling_for(rows)
    choices.choose("table.scaling", scaling, reason)
    bins, reason = bins_for(rows, number_features)
    choices.choose("table.bins", bins, reason)


def _plan_model(choices: Choices) -> None:
    name = choices.choose("model.name", "tabm", "many small networks in one: the best net for most tables")
    if ":" in name:
        return
    choices.choose("model.width", 128, "wider gained nothing and takes longer")
    choices.choose("model.depth", 2, "a third layer gained nothing")
    choices.choose("model.dropout", 0.0, "no gain was measured; averaging networks does its work")
    if name == "tabm":
        choices.choose("model.members", 16, "twice as many of half the width gained no more than noise")
    if name == "mlp":
        choices.choose("model.activation", "relu", "the quickest, and as good as others here")
        choices.choose("model.normalisation", "none", "the numbers are scaled already, and the net is short")


def _plan_length(choices: Choices, rows: int, task: str) -> None:
    epochs, reason = epochs_for(rows, task)
    choices.choose("training.epochs", epochs, reason)
    choices.choose("training.head_epochs", 0, "no effect without a pretrained body")
    choices.choose("training.tolerance", 0.0, "the best epoch is kept")
    choices.choose("training.freeze_early", False, "no effect without a pretrained body")
    choices.choose("training.optimizer.body_lr", 1.0, "no effect without a pretrained body")
    reason = "the rate falls to zero at the end, which is where nets are best; the best epoch is kept"
    choices.choose("training.patience", 0, reason)
    bags, reason = bags_for(rows, threshold=decides_by_threshold(choices.recipe))
    choices.choose("training.bags", bags, reason)


def _plan_steps(choices: Choices, rows: int, task: str) -> None:
    batch, reason = batch_for(rows)
    choices.choose("training.batch_size", batch, reason)
    plan_optimizer(choices, *rate_for(rows, task))
    tiny = rows < TINY_ROWS and task == "classification"
    smoothing, reason = (
        (0.15, "few rows: labels are not learnt to the last")
        if tiny
        else (0.0, "enough rows to learn the labels as they are")
    )
    choices.choose("training.label_smoothing", smoothing, reason)
    choices.choose("training.ema", 0.0, "the falling rate and the bags average enough")
    choices.choose("training.clip_norm", 1.0, "one odd batch cannot throw the weights far")
