"""From the recipe to the parts of a training step: the loss, the optimizer, the schedule and the rest."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import mix_seed
from flambeau.errors import ModelError
from flambeau.models import own
from flambeau.planning.rules import usual_loss
from flambeau.recipe import Recipe
from flambeau.recipe.fields import is_own
from flambeau.stages.journal import Journal
from flambeau.stages.material import Material
from flambeau.training.clipping import Clip, clip_gradients, no_clipping
from flambeau.training.loop import Technique
from flambeau.training.losses import Loss, balance_classes
from flambeau.training.names import (
    loss_function,
    make_optimizer_of,
    optimizer_rule,
    own_curve,
    own_loss_function,
    schedule_curve,
)
from flambeau.training.optimizers import make_own_optimizer, parameter_groups
from flambeau.training.schedules import Schedule
from flambeau.training.steps import Step, step_once, step_with_closure


@dataclass(frozen=True)
class Stage:
    """One training among those of a run.

    Args:
        number: tells the trainings of a run apart, and seeds their first weights and batches.
        name: for people, such as "fold 2 of 5"; empty where there is only one training.
        folder: of its checkpoints.
        journal: receives its records.
        should_stop: asked after each step.
        start: weights of an earlier run.
        epochs: instead of the recipe's, where the trainings before this one stopped early.
    """

    number: int
    name: str
    folder: Path
    journal: Journal
    should_stop: Callable[[], bool] = lambda: False
    start: dict[str, Tensor] | None = None
    epochs: int | None = None


def make_loss(recipe: Recipe, material: Material, train_rows: np.ndarray, device: torch.device) -> Loss:
    """The loss that the recipe names, with smoothing and class weights where the task is classification."""
    schema, options = material.samples.schema, recipe.training.loss
    name = options.name or usual_loss(schema.task)
    if is_own(name):
        return own_loss_function(own.load_own(name))
    weights = None
    if schema.task == "classification" and recipe.training.class_weights == "balanced":
        weights = balance_classes(material.samples.targets[train_rows], len(schema.classes)).to(device)
    return loss_function(
        schema.task,
        name,
        label_smoothing=recipe.training.label_smoothing or 0.0,
        class_weights=weights,
        gamma=options.gamma,
        delta=options.delta,
        quantile=options.quantile,
        quantiles=recipe.forecast.quantiles or () if schema.task == "forecast" else (),
    )


def make_optimizer(model: nn.Module, recipe: Recipe, body: list[str], device: torch.device) -> Optimizer:
    """The optimizer that the recipe names, over parameter groups.

    Raises:
        ModelError: a person's own optimizer cannot be made, or a model has nothing to train.
    """
    options = recipe.training.optimizer
    name, rate = options.name or "adamw", options.lr or 1e-3
    try:
        groups = parameter_groups(
            model,
            lr=rate,
            weight_decay=options.weight_decay or 0.0,
            body=body,
            body_lr=options.body_lr or 1.0,
            layer_decay=options.layer_decay,
        )
    except ValueError as error:
        raise ModelError(
            "there is nothing to train: every parameter of the model is frozen, or it has none",
            got=str(error),
            expected="training.freeze that leaves something, such as the head",
        ) from error
    if is_own(name):
        return _own_optimizer(name, recipe, groups)
    rule = optimizer_rule(
        name,
        momentum=options.momentum,
        beta2=options.beta2,
        nesterov=options.nesterov,
        eps=options.eps,
        precision=recipe.training.precision or "fp32",
    )
    return make_optimizer_of(rule, model, groups, device)


def _own_optimizer(name: str, recipe: Recipe, groups: list[dict[str, object]]) -> Optimizer:
    options = recipe.training.optimizer
    made = own.load_own(name)
    try:
        return make_own_optimizer(made, groups, options.lr or 1e-3, options.arguments)
    except Exception as error:  # a person's own constructor may raise anything
        raise ModelError(
            f"the optimizer {name.rpartition(':')[2]} cannot be made",
            where=name.rpartition(":")[0],
            got=f"{type(error).__name__}: {error}",
            expected=f"a torch.optim.Optimizer that takes (groups, lr, {', '.join(options.arguments)})".replace(
                ", )", ")"
            ),
            command="--set training.optimizer.arguments=… for its further arguments",
        ) from error


def make_step(recipe: Recipe) -> Step:
    """Once from the gradients; for LBFGS, and for an own optimizer whose step requires a closure, again and again."""
    name = recipe.training.optimizer.name or "adamw"
    if is_own(name):
        closure = inspect.signature(own.load_own(name).step).parameters.get("closure")
        asks = closure is not None and closure.default is closure.empty
    else:
        asks = name == "lbfgs"
    return step_with_closure if asks else step_once


def make_schedule(recipe: Recipe, epochs: int) -> Schedule:
    """A fresh schedule for a training of so many epochs."""
    options = recipe.training.schedule
    if is_own(options.name):
        curve = own_curve(own.load_own(options.name))
        _try_curve(curve, options.name)
        return curve
    return schedule_curve(
        options.name,
        epochs=epochs,
        warmup=options.warmup,
        end=options.end,
        step_size=options.step_size,
        milestones=options.milestones,
        gamma=options.gamma,
        patience=options.patience,
    )


def _try_curve(curve: Schedule, spec: str) -> None:
    """Raises ModelError, before the first step, where a person's own schedule fails at the start, middle or end."""
    file, _, name = spec.rpartition(":")
    for done in (0.0, 0.5, 1.0):
        try:
            curve(done)
        except Exception as error:  # a person's own function may raise anything
            raise ModelError(
                f"the schedule {name} fails where {done:.0%} of the run is done",
                where=file,
                got=f"{type(error).__name__}: {error}",
                expected="a function of the share that is done (0 to 1) that gives a share of the rate, 0 or above",
            ) from error


def make_clip(recipe: Recipe) -> Clip:
    """How gradients are clipped."""
    norm, value = recipe.training.clip_norm or 0.0, recipe.training.clip_value
    return partial(clip_gradients, norm=norm, value=value) if norm or value else no_clipping


def make_technique(recipe: Recipe, device: torch.device, stage: Stage) -> Technique:
    """How a step is done, from the recipe."""
    options = recipe.training
    # a model that is solved in closed form takes no step
    epochs = stage.epochs or (1 if options.epochs is None else options.epochs)
    return Technique(
        epochs=epochs,
        schedule=make_schedule(recipe, max(1, epochs)),
        seed=mix_seed(recipe.seed, stage.number),
        average_decay=options.ema or 0.0,
        clip=make_clip(recipe),
        micro_batch=options.micro_batch or 0,
        precision=options.precision or "fp32",
        device=device,
        step=make_step(recipe),
    )
