"""From names to parts: the tables of optimizers, schedules and losses. An ejected script names the parts themselves.

What these functions give are `partial`s of functions of the core, with plain arguments, so that whoever writes code
can read both from them (`.func.__name__`, `.keywords`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.training.forecast_losses import (
    forecast_directional_loss,
    forecast_huber_loss,
    forecast_l1_loss,
    forecast_mse_loss,
    forecast_quantile_loss,
    forecast_sharpe_loss,
)
from flambeau.training.losses import (
    Loss,
    classification_loss,
    focal_loss,
    huber_loss,
    kl_loss,
    l1_loss,
    multilabel_focal_loss,
    multilabel_loss,
    own_loss,
    quantile_loss,
    regression_loss,
    smooth_l1_loss,
    token_loss,
)
from flambeau.training.muon import hidden_weights, make_muon
from flambeau.training.optimizers import (
    ParameterGroup,
    make_adagrad,
    make_adam,
    make_adamw,
    make_lbfgs,
    make_nadam,
    make_rmsprop,
    make_sgd,
)
from flambeau.training.schedules import (
    ReduceOnPlateau,
    Schedule,
    constant,
    cosine,
    linear,
    multi_step,
    one_cycle,
    own_schedule,
    step_falls,
)

LARGEST_HEAD_BATCH = 64
# of forecasts: they learn a direction, and no quantiles
FINANCE_LOSSES = ("directional", "sharpe")
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": make_adamw,
    "sgd": make_sgd,
    "adam": make_adam,
    "nadam": make_nadam,
    "rmsprop": make_rmsprop,
    "adagrad": make_adagrad,
    "lbfgs": make_lbfgs,
    "muon": make_muon,
}
SCHEDULES: dict[str, Callable[..., Any]] = {
    "one_cycle": one_cycle,
    "cosine": cosine,
    "linear": linear,
    "step": step_falls,
    "multi_step": multi_step,
    "constant": constant,
    "plateau": ReduceOnPlateau,
}
# The first of each task is its usual one.
LOSSES: dict[str, dict[str, Callable[..., Tensor]]] = {
    "classification": {"cross_entropy": classification_loss, "focal": focal_loss, "kl_div": kl_loss},
    "multilabel": {"bce_with_logits": multilabel_loss, "focal": multilabel_focal_loss},
    "regression": {
        "mse": regression_loss,
        "l1": l1_loss,
        "smooth_l1": smooth_l1_loss,
        "huber": huber_loss,
        "quantile": quantile_loss,
    },
    "forecast": {
        "mse": forecast_mse_loss,
        "l1": forecast_l1_loss,
        "huber": forecast_huber_loss,
        "quantile": forecast_quantile_loss,
        "directional": forecast_directional_loss,
        "sharpe": forecast_sharpe_loss,
    },
    "language": {"cross_entropy": token_loss},
    "chat": {"cross_entropy": token_loss},
}


def head_batch_size(optimizer: str | None, batch_size: int | None) -> int:
    """Samples a step while a new head learns alone on features: small batches, but all that LBFGS has of the model's.

    Args:
        optimizer: its name.
        batch_size: of the training of the whole model.
    """
    whole = batch_size or LARGEST_HEAD_BATCH
    return whole if optimizer == "lbfgs" else min(LARGEST_HEAD_BATCH, whole)


def optimizer_rule(
    name: str,
    *,
    momentum: float = 0.9,
    beta2: float = 0.999,
    nesterov: bool = True,
    eps: float | None = None,
    precision: str = "fp32",
) -> partial[Optimizer]:
    """What makes the optimizer of that name from groups and device (and "hidden" names, for Muon).

    Args:
        name: one of `OPTIMIZERS`.
        momentum: of SGD, RMSprop and Muon; beta1 of the Adams.
        beta2: of the Adams; alpha of RMSprop.
        nesterov: of SGD and Muon.
        eps: the optimizer's own where None.
        precision: of the training, for Muon's products.
    """
    adam = {"beta1": momentum, "beta2": beta2}
    known: dict[str, dict[str, Any]] = {
        "adamw": adam,
        "adam": adam,
        "nadam": adam,
        "sgd": {"momentum": momentum, "nesterov": nesterov},
        "rmsprop": {"momentum": momentum, "alpha": beta2},
        "adagrad": {},
        "lbfgs": {},
        "muon": {"momentum": momentum, "nesterov": nesterov, "beta2": beta2, "precision": precision},
    }
    arguments = known[name]
    if eps is not None and name not in ("sgd", "lbfgs"):
        arguments = {**arguments, "eps": eps}
    return partial(OPTIMIZERS[name], **arguments)


def make_optimizer_of(
    rule: Callable[..., Optimizer], model: nn.Module, groups: list[ParameterGroup], device: torch.device
) -> Optimizer:
    """The optimizer of a rule from `optimizer_rule` over the groups of a model."""
    if getattr(rule, "func", rule) is make_muon:
        # a model whose first layer is an embedding knows its hidden matrices best
        own = getattr(model, "hidden_names", None)
        return rule(groups, hidden=hidden_weights(model) if own is None else own(), device=device)
    return rule(groups, device=device)


def schedule_curve(
    name: str,
    *,
    epochs: int,
    warmup: float = 0.15,
    end: float = 0.0,
    step_size: int = 10,
    milestones: Sequence[int] = (),
    gamma: float = 0.1,
    patience: int = 5,
) -> Schedule:
    """The schedule of that name: a `partial`, or a fresh `ReduceOnPlateau`, which no two trainings may share.

    Args:
        name: one of `SCHEDULES`.
        epochs: of the run, of which `step_size` and `milestones` become shares.
        warmup, end, step_size, milestones, gamma, patience: as in the recipe's section training.schedule.
    """
    if name == "plateau":
        return ReduceOnPlateau(warmup=warmup, gamma=gamma, patience=patience)
    known: dict[str, dict[str, Any]] = {
        "cosine": {"end": end},
        "linear": {"end": end},
        "step": {"step_size": step_size / epochs, "gamma": gamma},
        "multi_step": {"milestones": [milestone / epochs for milestone in milestones], "gamma": gamma},
    }
    return partial(SCHEDULES[name], warmup=warmup, **known.get(name, {}))


def own_curve(function: Callable[[float], float]) -> Schedule:
    """A person's own function of the share that is done."""
    return partial(own_schedule, function=function)


def loss_function(
    task: str,
    name: str,
    *,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    gamma: float = 2.0,
    delta: float = 1.0,
    quantile: float = 0.5,
    quantiles: Sequence[float] = (),
) -> Loss:
    """The loss of that name for that task, with what it knows of these options.

    Args:
        task, name: of `LOSSES`.
        label_smoothing, class_weights: of classification.
        gamma: of focal.
        delta: of huber, and of smooth_l1 as its beta.
        quantile: of quantile.
        quantiles: that are forecast beside the mean.
    """
    known: dict[str, dict[str, Any]] = {
        "focal": {"gamma": gamma},
        "smooth_l1": {"beta": delta},
        "huber": {"delta": delta},
        "quantile": {"quantile": quantile},
    }
    arguments = known.get(name, {})
    if task == "classification":
        if label_smoothing:
            arguments = {**arguments, "label_smoothing": label_smoothing}
        if class_weights is not None:
            arguments = {**arguments, "class_weights": class_weights}
    if task == "forecast" and quantiles and name not in FINANCE_LOSSES:
        arguments = {**arguments, "quantiles": tuple(quantiles)}
    function = LOSSES[task][name]
    return partial(function, **arguments) if arguments else function


def own_loss_function(function: Loss) -> Loss:
    """A person's own loss in a recipe, where outputs of three dimensions are those of members; see `own_loss`."""
    return partial(own_loss, function=function, members=True)
