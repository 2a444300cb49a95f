"""Choices that every kind of data shares: folds, the metric that selects, weights of classes, device and threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flambeau.errors import RecipeError, did_you_mean
from flambeau.evaluation.metrics import main_metric, task_metrics
from flambeau.planning.machine import Machine
from flambeau.planning.rules import OWN_LOSS_REASON, came_from_person
from flambeau.planning.words import find_words, is_medical, positive_class
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.fields import is_own
from flambeau.schema import Schema

FOLDS_BELOW = 1000
TINY_TABLE, TINY_PICTURE = 1000, 16
FOLDS = 5
SMALL_VALIDATION = 500
IMBALANCE_OF_PICTURES, IMBALANCE_OF_TABLES = 2.0, 10.0


def check_epochs(choices: Choices, task: str) -> None:
    """Raises RecipeError where no step is taken by a model that learns by steps."""
    if choices.recipe.training.epochs == 0 and task != "forecast":
        raise RecipeError(
            "training.epochs: 0 is for forecasts by ridge regression, whose weights are solved for",
            got=f"0, and this is {task}",
            expected="an integer from 1 to 100,000",
        )


def check_whole_batches(recipe: Recipe) -> None:
    """A Sharpe ratio compares the windows of a batch with each other: that of parts is not the batch's."""
    if recipe.training.loss.name != "sharpe":
        return
    cuts = {
        "training.micro_batch": recipe.training.micro_batch is not None,
        "training.memory_limit_gb": recipe.training.memory_limit_gb is not None,
        "devices": recipe.devices > 1,
    }
    for key, cut in cuts.items():
        if cut:
            raise RecipeError(
                f"the loss sharpe compares the windows of a batch with each other, and {key} cuts batches into parts",
                expected=f"the usual value of {key}, or the loss directional",
                command="--loss directional",
            )


def plan_machine(choices: Choices, machine: Machine, *, rows: int, schema: Schema) -> None:
    """Fill in the device and the threads."""
    check_epochs(choices, schema.task)
    plan_device(choices, machine)
    picture = schema.picture
    tiny = rows < TINY_TABLE if picture is None else max(picture.height, picture.width) <= TINY_PICTURE
    if tiny:
        choices.choose("threads", 1, "steps this small are over before a second thread has begun")
    else:
        plan_threads(choices, machine)


def plan_device(choices: Choices, machine: Mapping[str, Any]) -> None:
    """Fill in the device: a GPU where one is there."""
    reasons = {"cuda": "a GPU is there", "mps": "Apple's GPU is there", "cpu": "no GPU is there"}
    choices.choose("device", machine["device"], reasons[machine["device"]])


def plan_threads(choices: Choices, machine: Mapping[str, Any]) -> None:
    """Fill in the threads: as many as there are cores."""
    choices.choose("threads", machine["cores"], "one a core that this process may use")


def plan_score(choices: Choices, *, rows: int, schema: Schema, came_split: bool) -> None:
    """Fill in how the score is made: one untouched test part, or cross-validation where that would be too small."""
    check_shares(choices)
    if came_split:
        choices.choose("split.folds", 0, "the data came with its own test part")
    elif rows < FOLDS_BELOW:
        reason = (
            f"{rows:,} samples: a test part of {rows // 7:,} would say little, so each sample is tested once"
        )
        choices.choose("split.folds", FOLDS, reason)
    else:
        choices.choose("split.folds", 0, f"{rows:,} samples are enough for one untouched test part")
    metric, reason = selecting_metric(schema.task, rows * choices.recipe.split.valid)
    choices.choose("evaluation.metric", metric, reason)
    chosen = choices.recipe.evaluation.metric
    known = task_metrics(schema.task)
    if chosen not in known:
        raise RecipeError(
            f"evaluation.metric: '{chosen}' is not a metric of {schema.task}",
            expected=", ".join(known),
            hint=did_you_mean(str(chosen), known),
        )
    plan_operating_point(choices, schema)


def plan_operating_point(choices: Choices, schema: Schema) -> None:
    """Fill in where two classes are decided between: of pictures of bodies not at one half.

    Raises RecipeError for a point of what is not two classes, or for a class that is not there.
    """
    key = "evaluation.operating_point"
    options = choices.recipe.evaluation
    given = options.operating_point
    if schema.task != "classification" or len(schema.classes) != 2:
        if given not in (None, "half"):
            raise RecipeError(
                f"{key} is for two classes, and this is {schema.task}",
                got=f"{given} with {len(schema.classes)} classes",
                expected="the recipe without it",
            )
        if options.positive is not None:
            raise RecipeError(
                f"evaluation.positive is for two classes, and this is {schema.task}",
                got=f"{options.positive} with {len(schema.classes)} classes",
                expected="the recipe without it",
            )
        return
    if options.positive is not None and options.positive not in schema.classes:
        raise RecipeError(
            f"evaluation.positive: there is no class '{options.positive}'",
            expected=" or ".join(schema.classes),
            hint=did_you_mean(options.positive, schema.classes),
        )
    positive, why = options.positive or "", ""
    if not positive:
        positive, why = positive_class(schema.classes)
    words = find_words({"source": choices.recipe.source, "target": schema.target}, schema.classes)
    if is_medical(schema.picture, words):
        reason = (
            f"'{positive}' is answered where sensitivity and specificity are best together in validation; "
            "sensitivity=0.95 would miss fewer"
        )
        choices.choose(key, "youden", reason)
    if choices.recipe.evaluation.operating_point not in (None, "half"):
        choices.choose("evaluation.positive", positive, why)


def decides_by_threshold(recipe: Recipe) -> bool:
    """Whether validation rows choose a probability from, or a confidence below which, something is answered."""
    return bool(recipe.text.unknown) or recipe.evaluation.operating_point not in (None, "half")


def trains_again(recipe: Recipe) -> bool:
    """Whether the model that is kept is trained on all samples, after others were tested."""
    return bool(recipe.split.folds or recipe.split.refit)


def check_shares(choices: Choices, example: str = "0.7 + 0.15") -> None:
    """Raises RecipeError, with a sum as an example, for shares that leave nothing to test on."""
    split = choices.recipe.split
    if split.train + split.valid >= 1:
        raise RecipeError(
            "split.train and split.valid leave nothing for an honest test",
            got=f"{split.train:g} + {split.valid:g}",
            expected=f"a sum below 1, such as {example}",
        )


def plan_one_part(
    choices: Choices, *, train: tuple[float, str], valid: tuple[float, str], refusal: str, reason: str
) -> None:
    """Fill in the shares of what one part tests and no fold does.

    Args:
        choices: changed in place.
        train, valid: the share and why, where a person gave neither.
        refusal: the sentence for a person who asked for folds.
        reason: why there are none.

    Raises RecipeError for shares that leave nothing to test on, and for folds.
    """
    if not came_from_person(choices, "split.train") and not came_from_person(choices, "split.valid"):
        choices.fix("split.train", *train)
        choices.fix("split.valid", *valid)
    check_shares(choices, f"{train[0]:g} + {valid[0]:g}")
    if choices.recipe.split.folds:
        raise RecipeError(
            refusal, got=f"{choices.recipe.split.folds} folds", expected="--folds 0, or no --folds"
        )
    choices.choose("split.folds", 0, reason)


def selecting_metric(task: str, valid_rows: float) -> tuple[str, str]:
    """The validation score that chooses the best epoch, and why."""
    if task == "classification" and valid_rows < SMALL_VALIDATION:
        return "log_loss", f"{valid_rows:.0f} validation samples: accuracy would move in large steps"
    return main_metric(task), "the main score of the task"


def class_counts(targets: np.ndarray, classes: int) -> np.ndarray:
    """How often each class occurs among (n,) class indices."""
    return np.bincount(targets, minlength=classes)


def plan_class_weights(choices: Choices, *, targets: np.ndarray, schema: Schema) -> None:
    """Fill in whether rare classes weigh more."""
    key = "training.class_weights"
    if schema.task != "classification":
        choices.choose(key, "none", "there are no exclusive classes")
        return
    loss = choices.recipe.training.loss.name
    if loss is not None and is_own(loss):
        choices.choose(key, "none", OWN_LOSS_REASON)
        return
    if choices.recipe.training.sampler == "weighted":
        choices.choose(key, "none", "training.sampler draws rare classes more often already")
        return
    counts = class_counts(targets, len(schema.classes))
    present = counts[counts > 0]
    ratio = float(present.max() / present.min()) if len(present) else 1.0
    limit = IMBALANCE_OF_PICTURES if schema.source == "pictures" else IMBALANCE_OF_TABLES
    if ratio > limit:
        other = "training.sampler=weighted and --loss focal are other ways"
        choices.choose(key, "balanced", f"the largest class is {ratio:.1f} times the smallest; {other}")
    else:
        choices.choose(key, "none", f"the largest class is {ratio:.1f} times the smallest: balanced enough")


def clipping_reason(optimizer: str) -> str:
    """Why gradients are not clipped unless somebody asks for it."""
    if optimizer.startswith("adam") or optimizer in ("nadam", "muon"):
        return f"the steps of {optimizer} are bounded by its own rule"
    return "off by default; set it where the gradient's norm in the log has peaks"
