"""Loss, optimizer and schedule: chosen with reasons, kept where a person gave them, refused where they cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flambeau.errors import RecipeError
from flambeau.planning.common import check_epochs, plan_class_weights
from flambeau.planning.rules import (
    check_init,
    check_schedule,
    listed,
    plan_loss,
    plan_optimizer,
    plan_schedule,
    plan_whole_batches,
    rate_of,
    rule_findings,
)
from flambeau.recipe import Choices, Recipe
from flambeau.schema import Schema
from flambeau.training.names import LOSSES, OPTIMIZERS, head_batch_size


def choices_of(**training: Any) -> Choices:
    recipe = training.pop("recipe", {})
    return Choices(Recipe.model_validate({"training": training, **recipe}))


def planned(epochs: int = 30, **training: Any) -> Choices:
    choices = choices_of(epochs=epochs, **training)
    plan_whole_batches(choices, rows=500)
    plan_optimizer(choices, 2e-3, 0.05, "usual here")
    plan_schedule(choices)
    return choices


@pytest.mark.parametrize(
    ("task", "name"),
    [("classification", "cross_entropy"), ("multilabel", "bce_with_logits"), ("regression", "mse")],
)
def test_each_task_has_its_loss_and_a_reason(task: str, name: str) -> None:
    choices = choices_of()
    plan_loss(choices, task=task)
    assert choices.recipe.training.loss.name == name
    assert len(choices.reasons["training.loss.name"]) > 5


def test_a_loss_for_another_task_is_refused_with_those_that_fit() -> None:
    with pytest.raises(RecipeError) as caught:
        plan_loss(choices_of(loss={"name": "mse"}), task="classification")
    text = str(caught.value)
    assert "'mse' is a loss for regression and forecast, and this is classification" in text
    assert "cross_entropy, focal or kl_div, or file.py:function" in text
    assert "--loss cross_entropy" in text
    plan_loss(choices_of(loss={"name": "focal"}), task="multilabel")
    plan_loss(choices_of(loss={"name": "mine.py:loss"}), task="regression")
    for task, names in LOSSES.items():
        for name in names:
            plan_loss(choices_of(loss={"name": name}), task=task)


@pytest.mark.parametrize("given", [{"class_weights": "balanced"}, {"label_smoothing": 0.1}], ids=str)
def test_a_loss_of_ones_own_refuses_what_it_would_never_see(given: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="called with outputs and targets alone") as caught:
        plan_loss(choices_of(loss={"name": "mine.py:loss"}, **given), task="classification")
    assert f"training.{next(iter(given))}" in str(caught.value)


def test_nothing_is_chosen_that_a_loss_of_ones_own_would_never_see() -> None:
    rare = np.array([0] * 100 + [1])
    schema = Schema(source="table", task="classification", target="y", classes=("no", "yes"), columns=())
    for name, weights in (("mine.py:loss", "none"), ("cross_entropy", "balanced")):
        choices = choices_of(loss={"name": name})
        plan_class_weights(choices, targets=rare, schema=schema)
        plan_loss(choices, task="classification")
        assert choices.recipe.training.class_weights == weights
        assert (choices.recipe.training.label_smoothing == 0.0) is (weights == "none")


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_gets_a_rate_and_a_decay_with_a_reason(name: str) -> None:
    choices = planned(optimizer={"name": name})
    options = choices.recipe.training.optimizer
    assert options.name == name
    assert (options.lr, options.weight_decay) == rate_of(name, 2e-3, 0.05, "usual here")[:2]
    assert len(choices.reasons["training.optimizer.lr"]) > 5
    assert rule_findings(choices.recipe, 500) == []


def test_rates_of_known_rules() -> None:
    assert rate_of("adamw", 2e-3, 0.05, "why") == (2e-3, 0.05, "why")
    assert rate_of("sgd", 2e-3, 0.05, "why")[:2] == (0.05, 5e-4)
    assert rate_of("muon", 2e-3, 0.05, "why")[:2] == (8e-3, 0.05)
    assert "your" not in rate_of("adam", 2e-3, 0.05, "why")[2]
    assert rate_of("mine.py:Own", 2e-3, 0.05, "why") == (2e-3, 0.05, "as for AdamW (why)")


def test_a_persons_rate_and_decay_stay() -> None:
    choices = planned(optimizer={"name": "sgd", "lr": 0.7, "weight_decay": 0.3})
    assert choices.recipe.training.optimizer.lr == 0.7
    assert choices.recipe.training.optimizer.weight_decay == 0.3
    assert not {"training.optimizer.lr", "training.optimizer.weight_decay"} & choices.reasons.keys()


def test_rmsprop_has_its_usual_alpha_unless_a_person_says_otherwise() -> None:
    assert planned(optimizer={"name": "rmsprop"}).recipe.training.optimizer.beta2 == 0.99
    given = planned(optimizer={"name": "rmsprop", "beta2": 0.999})
    assert given.recipe.training.optimizer.beta2 == 0.999
    assert planned(optimizer={"name": "adam"}).recipe.training.optimizer.beta2 == 0.999


def test_lbfgs_takes_whole_batches_and_a_constant_rate() -> None:
    choices = planned(optimizer={"name": "lbfgs"})
    training = choices.recipe.training
    assert (training.batch_size, training.memory_format) == (500, "contiguous")
    assert (training.schedule.name, training.schedule.warmup) == ("constant", 0.0)
    kept = planned(optimizer={"name": "lbfgs"}, batch_size=64, schedule={"name": "cosine"}).recipe.training
    assert (kept.batch_size, kept.schedule.name, kept.schedule.warmup) == (64, "cosine", 0.15)
    codes = [finding.code for finding in rule_findings(kept_recipe(batch_size=64), 500)]
    assert codes == ["lbfgs-batches"]
    assert [f.code for f in rule_findings(kept_recipe(batch_size=100_000), 100_000)] == ["lbfgs-rows"]


def kept_recipe(batch_size: int) -> Recipe:
    return planned(optimizer={"name": "lbfgs"}, batch_size=batch_size).recipe


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"optimizer": {"name": "lbfgs", "weight_decay": 0.1}}, "weight_decay: LBFGS has one rate"),
        ({"optimizer": {"name": "lbfgs", "layer_decay": 0.5}}, "layer_decay: LBFGS has one rate"),
        ({"optimizer": {"name": "lbfgs", "body_lr": 0.5}}, "body_lr: LBFGS has one rate"),
        ({"optimizer": {"name": "lbfgs"}, "precision": "fp16"}, "scaling of fp16"),
        ({"optimizer": {"name": "lbfgs"}, "memory_format": "channels_last"}, "one row of numbers"),
        ({"optimizer": {"name": "sgd", "arguments": {"momentun": 0.5}}}, "did you mean 'momentum'"),
        ({"schedule": {"name": "step", "step_size": 30}}, "30 epochs between two falls, in a run of 30"),
        ({"schedule": {"name": "multi_step", "milestones": [5, 40]}}, "got:      40, in a run of 30"),
        ({"schedule": {"name": "multi_step", "milestones": []}}, "would never fall"),
        ({"schedule": {"name": "plateau", "patience": 30}}, "30 epochs, in a run of 30"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(training: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        planned(**training)
    assert message in str(caught.value)


def test_falls_are_chosen_for_the_length_of_the_run() -> None:
    step = planned(epochs=9, schedule={"name": "step"})
    assert step.recipe.training.schedule.step_size == 3
    assert "falls twice" in step.reasons["training.schedule.step_size"]
    assert planned(epochs=2, schedule={"name": "step"}).recipe.training.schedule.step_size == 1
    falls = planned(epochs=8, schedule={"name": "multi_step"}).recipe.training.schedule
    assert falls.milestones == [4, 6]
    assert planned(epochs=2, schedule={"name": "multi_step"}).recipe.training.schedule.milestones == [1]
    given = planned(epochs=30, schedule={"name": "step", "step_size": 4})
    assert given.recipe.training.schedule.step_size == 4


def test_falls_follow_epochs_that_were_measured_later() -> None:
    choices = planned(epochs=9, schedule={"name": "step"})
    choices.recipe.training.epochs = 60
    plan_schedule(choices)
    assert choices.recipe.training.schedule.step_size == 20


def test_one_epoch_bears_any_schedule() -> None:
    for name in ("step", "multi_step", "one_cycle"):
        options = planned(epochs=1, schedule={"name": name}).recipe.training.schedule
        check_schedule(options, 1)


def test_fresh_weights_in_a_pretrained_model_are_refused() -> None:
    both = Recipe.model_validate({"model": {"init": "orthogonal", "pretrained": "timm/x"}})
    with pytest.raises(RecipeError, match=r"model.init and model.pretrained are both given"):
        check_init(Choices(both), pretrained=True)
    check_init(Choices(Recipe.model_validate({"model": {"init": "orthogonal"}})), pretrained=False)
    check_init(Choices(Recipe.model_validate({"model": {"pretrained": "timm/x"}})), pretrained=True)


@pytest.mark.parametrize(
    ("name", "rate", "word"),
    [("adamw", 10.0, "large"), ("sgd", 10.0, "large"), ("muon", 1.0, "large"), ("sgd", 1e-9, "small")],
)
def test_a_rate_that_cannot_be_meant_is_told_and_not_refused(name: str, rate: float, word: str) -> None:
    choices = planned(optimizer={"name": name, "lr": rate})
    (finding,) = rule_findings(choices.recipe, 500)
    assert finding.level == "warning" and finding.code == "learning-rate"
    assert f"{rate:g} is {word} for {name}" in finding.message
    assert choices.recipe.training.optimizer.lr == rate


def test_a_plateau_without_validation_rows_is_told() -> None:
    for split in ({"folds": 5}, {"refit": True}):
        choices = planned(schedule={"name": "plateau"}, recipe={"split": split})
        assert [finding.code for finding in rule_findings(choices.recipe, 500)] == ["plateau-unseen"]
    assert rule_findings(planned(schedule={"name": "plateau"}).recipe, 500) == []


def test_scores_of_a_quantile_are_explained() -> None:
    recipe = planned(loss={"name": "quantile", "quantile": 0.9}).recipe
    assert [finding.code for finding in rule_findings(recipe, 500)] == ["quantile-scores"]
    recipe.training.loss.quantile = 0.5
    assert rule_findings(recipe, 500) == []


def test_lists_in_words() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a or b"


def test_a_head_alone_learns_in_small_batches_but_lbfgs_has_all() -> None:
    assert head_batch_size("adamw", 1000) == 64
    assert head_batch_size("adamw", 16) == 16
    assert head_batch_size(None, None) == 64
    assert head_batch_size("lbfgs", 1000) == 1000


@pytest.mark.parametrize("task", ["classification", "regression", "generate", "language", "chat"])
def test_no_epoch_is_for_closed_forms_alone(task: str) -> None:
    choices = choices_of(epochs=0)
    with pytest.raises(RecipeError, match=f"training.epochs: 0 is for forecasts.*\n.*0, and this is {task}"):
        check_epochs(choices, task)
    check_epochs(choices, "forecast")
