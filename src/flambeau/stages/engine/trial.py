"""Before the first step: how the weights begin, and whether the loss fits the model and the targets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from flambeau.errors import DataError, ModelError
from flambeau.models import own
from flambeau.models.init import initialise_weights, set_batch_norm_momentum
from flambeau.planning.effects import norm_findings
from flambeau.planning.rules import rule_findings, usual_loss
from flambeau.recipe import Recipe
from flambeau.recipe.fields import is_own
from flambeau.stages.engine.technique import Stage
from flambeau.stages.inputs import Feed
from flambeau.training.losses import Loss
from flambeau.training.optimizers import describe_groups
from flambeau.training.trial import check_targets, try_loss

TRIAL_SAMPLES = 8
# Of the trial of a whole run's speed, which repeats what the first training then tells.
TRIAL = "trial"


def begin_weights(model: nn.Module, recipe: Recipe, seed: int) -> None:
    """Draw the weights anew by the recipe's model.init, and set what batch normalisation remembers.

    A person's own function is called on every module, as torch.nn.Module.apply does, after torch was seeded.

    Raises:
        ModelError: their function fails.
    """
    name = recipe.model.init
    if name is not None and is_own(name):
        function = own.load_own(name)
        torch.manual_seed(seed)
        try:
            with torch.no_grad():
                model.apply(function)
        except Exception as error:  # a person's own function may raise anything
            raise ModelError(
                f"the initialisation {name.rpartition(':')[2]} fails",
                where=name.rpartition(":")[0],
                got=f"{type(error).__name__}: {error}",
                expected="a function of one module, which is called for every module of the model",
            ) from error
    elif name is not None:
        initialise_weights(model, name, torch.Generator().manual_seed(seed))
    if recipe.training.batch_norm_momentum is not None:
        set_batch_norm_momentum(model, recipe.training.batch_norm_momentum)


def check_loss(
    loss: Loss, model: nn.Module, feed: Feed, train_rows: np.ndarray, task: str, recipe: Recipe
) -> None:
    """Whether the loss fits the targets of the training rows and what the model answers.

    Raises:
        DataError: targets of another shape, kind or range than the loss expects.
        ModelError: a loss that gives no finite number with a finite gradient.
    """
    name = recipe.training.loss.name or usual_loss(task)
    rows = torch.from_numpy(train_rows)
    some = rows[:TRIAL_SAMPLES]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs = model(*feed.gather(some))
    model.train(was_training)
    targets = feed.targets[some.to(feed.targets.device)]
    # targets of forecasts are cut from columns of numbers, so they fit
    if not is_own(name) and task != "forecast":
        try:
            check_targets(name, feed.targets[rows.to(feed.targets.device)], outputs.shape[-1])
        except ValueError as error:
            raise DataError(f"the targets do not fit the loss {name}", got=str(error)) from error
    _try(loss, outputs, targets, name, "")
    if recipe.image.augment.mixup and feed.change is not None and task == "classification":
        blended = F.one_hot(targets, outputs.shape[-1]).float()
        hint = (
            "mixup blends targets, which are probabilities then; --set image.augment.mixup=0 switches it off"
        )
        _try(loss, outputs, blended, name, hint)


def _try(loss: Loss, outputs: Tensor, targets: Tensor, name: str, hint: str) -> None:
    try:
        try_loss(loss, outputs, targets)
    except ValueError as error:
        raise ModelError(
            f"the loss {name} does not fit this model and these targets",
            got=str(error),
            expected="(outputs, targets) → their mean loss, one finite number that depends on the outputs",
            hint=hint,
        ) from error


def tell_rules(model: nn.Module, optimizer: Optimizer, recipe: Recipe, stage: Stage, rows: int) -> None:
    """Tell, for a run's first training, which parameters learn at which rate and decay, and what is odd about it."""
    if stage.number != 0 or stage.name == TRIAL:
        return
    has_batch_norm = any(isinstance(module, _BatchNorm) for module in model.modules())
    for finding in (*rule_findings(recipe, rows), *norm_findings(recipe, has_batch_norm=has_batch_norm)):
        stage.journal.finding(finding)
    stage.journal({"kind": "groups", "lines": describe_groups(optimizer.param_groups)})
