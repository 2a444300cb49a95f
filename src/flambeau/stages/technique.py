"""From the recipe to the parts of a training step: the loss, the optimizer, the schedule and the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import mix_seed
from flambeau.recipe import Recipe
from flambeau.stages.journal import Journal
from flambeau.stages.material import Material
from flambeau.training.fit import SCHEDULES
from flambeau.training.loop import Technique
from flambeau.training.losses import (
    Loss,
    balance_classes,
    classification_loss,
    multilabel_loss,
    regression_loss,
)
from flambeau.training.optimizers import make_adamw, make_sgd, parameter_groups


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
    """The loss of the task, with smoothing and class weights as the recipe says."""
    schema = material.samples.schema
    if schema.task == "regression":
        return regression_loss
    if schema.task == "multilabel":
        return multilabel_loss
    weights = None
    if recipe.training.class_weights == "balanced":
        weights = balance_classes(material.samples.targets[train_rows], len(schema.classes)).to(device)
    smoothing = recipe.training.label_smoothing or 0.0
    return partial(classification_loss, label_smoothing=smoothing, class_weights=weights)


def make_optimizer(model: nn.Module, recipe: Recipe, body: list[str], device: torch.device) -> Optimizer:
    """The optimizer that the recipe names, over parameter groups."""
    options = recipe.training.optimizer
    groups = parameter_groups(
        model,
        lr=options.lr or 1e-3,
        weight_decay=options.weight_decay or 0.0,
        body=body,
        body_lr=options.body_lr or 1.0,
    )
    if options.name == "sgd":
        return make_sgd(groups, momentum=options.momentum, device=device)
    return make_adamw(groups, beta1=options.momentum, beta2=options.beta2, device=device)


def make_technique(recipe: Recipe, device: torch.device, stage: Stage) -> Technique:
    """How a step is done, from the recipe."""
    options = recipe.training
    return Technique(
        epochs=stage.epochs or options.epochs or 1,
        schedule=partial(SCHEDULES[options.schedule.name], warmup=options.schedule.warmup),
        seed=mix_seed(recipe.seed, stage.number),
        average_decay=options.ema or 0.0,
        clip_norm=options.clip_norm or 0.0,
        micro_batch=options.micro_batch or 0,
        precision=options.precision or "fp32",
        device=device,
    )
