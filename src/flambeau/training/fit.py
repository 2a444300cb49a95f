"""The engine alone, on a person's own module, batches, loss, optimizer and schedule."""

from __future__ import annotations

import copy
import inspect
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from flambeau.training.clipping import clip_gradients, no_clipping
from flambeau.training.fit_loss import mean_loss, one_number
from flambeau.training.fit_options import (
    check_folder,
    check_name,
    check_numbers,
    try_first_batch,
    usable_device,
)
from flambeau.training.loop import Technique, loss_of_terms
from flambeau.training.names import (
    OPTIMIZERS,
    SCHEDULES,
    make_optimizer_of,
    optimizer_rule,
    own_curve,
    schedule_curve,
)
from flambeau.training.optimizers import make_own_optimizer, parameter_groups
from flambeau.training.own_batches import OwnBatches
from flambeau.training.precision import PRECISIONS
from flambeau.training.schedules import ReduceOnPlateau, Schedule
from flambeau.training.session import Listener, Session, run_session
from flambeau.training.steps import step_once, step_with_closure

USUAL_DECAY = 0.01
# What may differ when a training goes on: where it runs, and what is not a value.
NOT_COMPARED = ("module", "train_batches", "valid_batches", "device", "checkpoints", "on_record")
# What to ask for in the place of one of torch's schedulers, whose steps a resumed run would have to replay.
INSTEAD_OF_SCHEDULERS = {
    "OneCycleLR": "schedule='one_cycle'",
    "CosineAnnealingLR": "schedule='cosine'",
    "LinearLR": "schedule='linear'",
    "StepLR": "schedule='step', step_size=…",
    "MultiStepLR": "schedule='multi_step', milestones=[…]",
    "ConstantLR": "schedule='constant'",
    "ReduceLROnPlateau": "schedule='plateau', plateau_patience=…",
}


@dataclass(frozen=True)
class Fitted:
    """What `fit` gives back.

    Args:
        module: with its best weights, in evaluation mode.
        best_epoch: from which they are, from 1.
        epochs: one record an epoch of this call: those before a kill are not among them.
    """

    module: nn.Module
    best_epoch: int
    epochs: list[dict[str, Any]]


def fit(
    module: nn.Module,
    train_batches: Iterable[Any],
    valid_batches: Iterable[Any] | None = None,
    *,
    loss: Callable[[Any, Tensor], Tensor],
    epochs: int = 10,
    optimizer: str | Optimizer | Callable[..., Optimizer] = "adamw",
    lr: float = 1e-3,
    weight_decay: float | None = None,
    momentum: float = 0.9,
    beta2: float = 0.999,
    nesterov: bool = True,
    eps: float | None = None,
    schedule: str | Schedule = "one_cycle",
    warmup: float = 0.15,
    end: float = 0.0,
    step_size: int = 10,
    milestones: Sequence[int] = (),
    gamma: float = 0.1,
    plateau_patience: int = 5,
    ema: float = 0.0,
    clip_norm: float = 0.0,
    clip_value: float = 0.0,
    micro_batch: int = 0,
    weight_of: Callable[[Tensor], int] = len,
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    patience: int = 0,
    seed: int = 0,
    device: str | torch.device = "cpu",
    checkpoints: str | Path | None = None,
    on_record: Listener = lambda record: None,
) -> Fitted:
    """Train a module on batches of (inputs, targets) with flambeau's loop and its promises.

    With `checkpoints` naming a folder, the same call after a kill goes on where it was and ends in equal weights.
    For that, the random generators of torch, numpy and Python are seeded as the training goes.

    Args:
        module: called as module(inputs), or module(*inputs) where inputs is a tuple; trained in place.
        train_batches: walked once an epoch; a DataLoader, a list, or anything else that can be walked again.
        valid_batches: the epoch with the least mean loss on these is kept; without them, the last epoch.
        loss: (outputs, targets) → mean over the samples, one number.
        optimizer: a name of the recipe's training.optimizer; or an object, whose groups and rates are then kept; or
            a class, called as optimizer(groups, lr=lr).
        lr: the largest learning rate.
        weight_decay: of matrices and filters; 0.01 if None, and 0 for lbfgs, which knows none.
        momentum, beta2, nesterov, eps: as in the recipe's training.optimizer.
        schedule: a name of the recipe's training.schedule, or a function: share of the run that is done → share of
            the rate.
        warmup, end, step_size, milestones, gamma, plateau_patience: of schedules by name, in the recipe's terms.
        ema: decay of a moving average of the weights, which is then what is kept.
        clip_norm, clip_value: largest norm of the gradient, largest size of its entries; 0 for no clipping.
        micro_batch: samples that go through the module at once; 0 for whole batches.
        weight_of: targets → over how many terms the loss is a mean of them, if not over the samples: such as
            lambda targets: int((targets != -100).sum()) for the tokens that cross_entropy does not ignore. Parts of
            a batch, and batches of a validation, are weighed by it.
        precision: of the forward and backward pass; weights stay in fp32. fp16 is for GPUs.
        patience: epochs without a smaller loss on valid_batches before stopping; 0 to never stop early.
        seed: of what is random in module and batches.
        checkpoints: a folder, which belongs to one set of arguments.
        on_record: receives a dictionary a step (a few a second) and one an epoch.

    Raises:
        ValueError: an unknown name, a number out of range, no trainable parameter, no batch, a batch that is no pair
            (inputs, targets), an optimizer of another module, a loss that is not one number, a folder with
            checkpoints of other arguments.
        ArithmeticError: the loss did not stay finite.
    """
    arguments = {name: value for name, value in locals().items() if name not in NOT_COMPARED}
    check_numbers(arguments, judged=valid_batches is not None)
    check_name("precision", precision, PRECISIONS)
    target = usable_device(device)
    module.to(target)
    batches = _own_batches(train_batches, target, seed, "train_batches")
    options = {"momentum": momentum, "beta2": beta2, "nesterov": nesterov, "eps": eps, "precision": precision}
    rule = _make_optimizer(module, optimizer, lr, weight_decay, target, options)
    falls = {"step_size": step_size, "milestones": milestones, "gamma": gamma, "patience": plateau_patience}
    curve = _make_schedule(schedule, epochs=epochs, warmup=warmup, end=end, **falls)
    clips = clip_norm > 0 or clip_value > 0
    technique = Technique(
        epochs,
        curve,
        seed,
        average_decay=ema,
        clip=partial(clip_gradients, norm=clip_norm, value=clip_value) if clips else no_clipping,
        micro_batch=micro_batch,
        precision=precision,
        device=target,
        step=step_with_closure if _asks_again(rule) else step_once,
        weight_of=weight_of,
    )
    judged = None if valid_batches is None else _own_batches(valid_batches, target, seed, "valid_batches")
    if checkpoints is not None:
        check_folder(Path(checkpoints), {**arguments, "batches": len(batches)})
    return _run(module, batches, judged, rule, loss, technique, patience, checkpoints, on_record)


def _run(
    module: nn.Module,
    batches: OwnBatches,
    judged: OwnBatches | None,
    optimizer: Optimizer,
    loss: Callable[[Any, Tensor], Tensor],
    technique: Technique,
    patience: int,
    checkpoints: str | Path | None,
    on_record: Listener,
) -> Fitted:
    if isinstance(loss, nn.Module):
        loss.to(technique.device)
    function = partial(one_number, function=loss)
    terms = partial(loss_of_terms, loss=function, weight_of=technique.weight_of)
    try_first_batch(
        module,
        batches,
        terms,
        precision=technique.precision,
        most=technique.micro_batch,
        seed=technique.seed,
    )
    judge = None
    if judged is not None:
        judge = partial(mean_loss, batches=judged, loss=function, weight_of=technique.weight_of)
    epochs: list[dict[str, Any]] = []

    def listen(record: dict[str, Any]) -> None:
        if record["kind"] == "epoch":
            epochs.append(record)
        on_record(record)

    with tempfile.TemporaryDirectory() as scratch:
        session = Session(
            Path(checkpoints or scratch),
            validate=judge,
            patience=patience,
            listen=listen,
            writes=checkpoints is not None,
        )
        state = run_session(module, batches, optimizer, function, technique, session)
    module.load_state_dict(state.evaluated.state_dict())
    return Fitted(module.eval(), state.best.epoch, epochs)


def _own_batches(batches: Iterable[Any], device: torch.device, seed: int, name: str) -> OwnBatches:
    own = OwnBatches(batches, device, seed=seed, name=name)
    if len(own) == 0:
        raise ValueError(f"{name} is empty: got no batch, expected at least one (inputs, targets)")
    return own


def _asks_again(optimizer: Optimizer) -> bool:
    """Whether an optimizer's step cannot do without a function that computes the gradients."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def _make_schedule(schedule: str | Schedule, **options: Any) -> Schedule:
    if isinstance(schedule, str):
        check_name("schedule", schedule, SCHEDULES)
        return schedule_curve(schedule, **options)
    if isinstance(schedule, LRScheduler):
        name = type(schedule).__name__
        raise ValueError(
            f"schedule: got torch's {name}, whose state is not a function of the step; expected "
            + INSTEAD_OF_SCHEDULERS.get(name, "a name, or a function of the share of the run that is done")
        )
    # no two trainings share a memory
    return copy.deepcopy(schedule) if isinstance(schedule, ReduceOnPlateau) else own_curve(schedule)


def _make_optimizer(
    module: nn.Module,
    optimizer: str | Optimizer | Callable[..., Optimizer],
    lr: float,
    weight_decay: float | None,
    device: torch.device,
    options: dict[str, Any],
) -> Optimizer:
    if isinstance(optimizer, Optimizer):
        own = {id(parameter) for parameter in module.parameters()}
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        foreign = sum(id(parameter) not in own for parameter in held)
        if foreign:
            raise ValueError(
                f"optimizer: got one with {foreign} of its {len(held)} parameters from elsewhere, expected "
                "parameters of the module: make it from module.parameters()"
            )
        for group in optimizer.param_groups:
            group.setdefault("peak_lr", group["lr"])
        return optimizer
    usual = 0.0 if optimizer == "lbfgs" else USUAL_DECAY
    groups = parameter_groups(module, lr=lr, weight_decay=usual if weight_decay is None else weight_decay)
    if not isinstance(optimizer, str):
        return make_own_optimizer(optimizer, groups, lr, {})
    check_name("optimizer", optimizer, OPTIMIZERS)
    return make_optimizer_of(optimizer_rule(optimizer, **options), module, groups, device)
