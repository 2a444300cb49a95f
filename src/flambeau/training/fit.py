"""The engine alone, on a person's own module, batches and loss."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import Inputs
from flambeau.evaluation.validation import Validation
from flambeau.training.loop import Technique
from flambeau.training.losses import Loss
from flambeau.training.optimizers import make_adamw, make_sgd, parameter_groups
from flambeau.training.schedules import Schedule, constant, cosine, one_cycle
from flambeau.training.session import Listener, Session, run_session

SCHEDULES: dict[str, Callable[..., float]] = {"one_cycle": one_cycle, "cosine": cosine, "constant": constant}


@dataclass(frozen=True)
class OwnBatches:
    """Batches that a person brings: any iterable of (inputs, targets) that can be walked again each epoch.

    A resumed run walks past the batches that were done, so it is exact if the iterable is a function of the epoch;
    an iterable with `set_epoch(epoch)` is told the epoch first, as torch's DistributedSampler is.
    """

    batches: Iterable[Any]
    device: torch.device

    def __len__(self) -> int:
        """Steps an epoch, counted by walking through where the iterable does not know."""
        length = getattr(self.batches, "__len__", None)
        return length() if length is not None else sum(1 for _ in self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """The batches of one epoch from step `start` on, moved to the device."""
        set_epoch = getattr(self.batches, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)
        for step, (inputs, targets) in enumerate(self.batches):
            if step >= start:
                parts = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
                yield tuple(part.to(self.device) for part in parts), targets.to(self.device)


@dataclass(frozen=True)
class Fitted:
    """What `fit` gives back: the module with its best weights, and one record an epoch."""

    module: nn.Module
    best_epoch: int
    epochs: list[dict[str, Any]]


def mean_loss(module: nn.Module, batches: OwnBatches, loss: Loss) -> Validation:
    """The mean loss over batches, in fp32, weighted by their samples."""
    module.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for inputs, targets in batches.epoch(0):
            total += float(loss(module(*inputs), targets)) * len(targets)
            count += len(targets)
    value = total / max(1, count)
    return Validation(loss=value, score=value)


def fit(
    module: nn.Module,
    train_batches: Iterable[Any],
    valid_batches: Iterable[Any] | None = None,
    *,
    loss: Loss,
    epochs: int = 10,
    optimizer: Literal["adamw", "sgd"] | Optimizer = "adamw",
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    momentum: float = 0.9,
    beta2: float = 0.999,
    schedule: Literal["one_cycle", "cosine", "constant"] | Schedule = "one_cycle",
    warmup: float = 0.15,
    ema: float = 0.0,
    clip_norm: float = 0.0,
    micro_batch: int = 0,
    precision: Literal["fp32", "bf16"] = "fp32",
    patience: int = 0,
    seed: int = 0,
    device: str | torch.device = "cpu",
    checkpoints: str | Path | None = None,
    on_record: Listener = lambda record: None,
) -> Fitted:
    """Train a module on batches of (inputs, targets) with flambeau's loop and its promises.

    With `checkpoints` naming a folder, the same call after a kill goes on where it was and ends in equal weights.

    Args:
        module: called as module(inputs), or module(*inputs) where inputs is a tuple; trained in place.
        train_batches: walked once an epoch; a DataLoader, a list, or anything else that can be walked again.
        valid_batches: the epoch with the least mean loss on these is kept; without them, the last epoch.
        loss: (outputs, targets) → mean over the samples.
        optimizer: by name, or one of your own whose groups it then keeps.
        schedule: by name, or a function of the share of the run that is done.
        ema: decay of a moving average of the weights, which is then what is kept.
        micro_batch: samples that go through the module at once; 0 for whole batches.
        precision: of the forward and backward pass; weights stay in fp32.
        on_record: receives a dictionary a step (a few a second) and one an epoch.

    Raises:
        ValueError: no trainable parameter, no batch, or an unknown precision.
        ArithmeticError: the loss did not stay finite.
    """
    target = torch.device(device)
    module.to(target)
    batches = OwnBatches(train_batches, target)
    if len(batches) == 0:
        raise ValueError("train_batches is empty: got no batch, expected at least one (inputs, targets)")
    rule = _optimizer(module, optimizer, lr, weight_decay, momentum, beta2, target)
    curve = partial(SCHEDULES[schedule], warmup=warmup) if isinstance(schedule, str) else schedule
    technique = Technique(epochs, curve, seed, 1.0, ema, clip_norm, micro_batch, precision, target)
    judge = None
    if valid_batches is not None:
        judge = partial(mean_loss, batches=OwnBatches(valid_batches, target), loss=loss)
    recorder = _Recorder(on_record)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(checkpoints or scratch)
        session = Session(folder=folder, validate=judge, patience=patience, listen=recorder)
        state = run_session(module, batches, rule, loss, technique, session)
    module.load_state_dict(state.evaluated.state_dict())
    return Fitted(module.eval(), state.best.epoch, recorder.epochs)


class _Recorder:
    """Hands records on and keeps those of the epochs."""

    def __init__(self, on_record: Listener) -> None:
        self.on_record = on_record
        self.epochs: list[dict[str, Any]] = []

    def __call__(self, record: dict[str, Any]) -> None:
        if record["kind"] == "epoch":
            self.epochs.append(record)
        self.on_record(record)


def _optimizer(
    module: nn.Module,
    optimizer: str | Optimizer,
    lr: float,
    weight_decay: float,
    momentum: float,
    beta2: float,
    device: torch.device,
) -> Optimizer:
    if isinstance(optimizer, Optimizer):
        for group in optimizer.param_groups:
            group.setdefault("peak_lr", group["lr"])
        return optimizer
    groups = parameter_groups(module, lr=lr, weight_decay=weight_decay)
    if optimizer == "adamw":
        return make_adamw(groups, beta1=momentum, beta2=beta2, device=device)
    if optimizer == "sgd":
        return make_sgd(groups, momentum=momentum, device=device)
    raise ValueError(f"optimizer: got {optimizer!r}, expected 'adamw', 'sgd' or a torch optimizer")
