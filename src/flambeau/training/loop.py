"""The training loop, on one page: a generator that yields plain records, while the caller logs, saves and stops.

It knows no kind of data, model or task. Every technique comes in as a value or a function.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import DROPOUT_STREAM, Inputs, mix_seed
from flambeau.training.average import update_average
from flambeau.training.losses import Loss
from flambeau.training.precision import autocast_to
from flambeau.training.schedules import Schedule


class EpochBatches(Protocol):
    """What the loop asks of batches: how many steps an epoch has, and the batches from a step on."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Inputs, Tensor]]: ...


@dataclass
class Position:
    """Where training stands: all that the loop needs, beside weights and optimizer, to go on exactly."""

    epoch: int = 0
    step: int = 0
    samples: int = 0
    loss_total: float | Tensor = 0.0


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step. `loss` is a tensor, so that reading it is the caller's choice: a GPU is waited for.

    `gradient_norm` is None on steps on which it was not measured (without clipping, all but an epoch's last).
    """

    epoch: int
    step: int
    steps: int
    samples: int
    lr: float
    loss: Tensor
    gradient_norm: Tensor | None


@dataclass(frozen=True)
class EpochRecord:
    """The end of an epoch: the mean training loss over its samples."""

    epoch: int
    samples: int
    lr: float
    loss: float
    gradient_norm: float


@dataclass(frozen=True)
class Technique:
    """How a step is done.

    Args:
        epochs: passes over the data; the schedule spans them.
        schedule: share of the run that is done → share of each group's peak rate.
        seed: of dropout and other randomness inside the model.
        rate_scale: a further factor on every rate (halved after a rollback).
        average_decay: of the moving average of the weights.
        clip_norm: largest norm of the gradient; 0 for no clipping.
        micro_batch: samples that go through the model at once; 0 for the whole batch.
        precision: "fp32" or "bf16".
    """

    epochs: int
    schedule: Schedule
    seed: int = 0
    rate_scale: float = 1.0
    average_decay: float = 0.0
    clip_norm: float = 0.0
    micro_batch: int = 0
    precision: str = "fp32"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def accumulate_gradients(
    model: nn.Module, loss: Loss, inputs: Inputs, targets: Tensor, technique: Technique
) -> Tensor:
    """Gradients of the mean loss over the batch, computed in parts of `micro_batch` samples; returns the loss."""
    count = len(targets)
    size = technique.micro_batch or count
    if size >= count:
        with autocast_to(technique.precision, technique.device):
            value = loss(model(*inputs), targets)
        value.backward()
        return value.detach()
    total = torch.zeros((), device=targets.device)
    # parts of equal size, give or take one: a part of one sample would have no batch statistics
    parts = math.ceil(count / size)
    for *part, aims in zip(*(tensor.tensor_split(parts) for tensor in (*inputs, targets)), strict=True):
        with autocast_to(technique.precision, technique.device):
            value = loss(model(*part), aims)
        value = value * (len(aims) / count)
        value.backward()
        total += value.detach()
    return total


def seed_device(seed: int, device: torch.device) -> None:
    """Seed what dropout draws from. `torch.manual_seed` does the same at seventy times the price."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def clip_gradients(parameters: list[Tensor], limit: float, *, measure: bool) -> Tensor | None:
    """Clip to the norm `limit` (0: no clipping) and return the norm before it; None where nobody asked for it."""
    if limit > 0:
        return nn.utils.clip_grad_norm_(parameters, limit)
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]) if measure else None


def train(
    model: nn.Module,
    batches: EpochBatches,
    optimizer: Optimizer,
    loss: Loss,
    technique: Technique,
    *,
    average: nn.Module | None = None,
    position: Position | None = None,
) -> Iterator[StepRecord | EpochRecord]:
    """Train from `position` to the last epoch, yielding a record a step and a record an epoch.

    The records come after the weights are updated, so that a caller who saves on a record saves a state from which
    training goes on bit for bit. `position` is updated in place before each record.

    Args:
        model: called as model(*inputs); left in training mode.
        batches: a function of (epoch, step) alone.
        optimizer: its groups carry their largest rate under "peak_lr".
        loss: (outputs, targets) → mean over samples.
        technique: how a step is done.
        average: a copy of the model that holds the moving average of its weights.
        position: where to begin; the start if None.
    """
    position = position or Position()
    steps = len(batches)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    # a step that failed half-way, out of memory, may have left some
    optimizer.zero_grad(set_to_none=True)
    while position.epoch < technique.epochs:
        model.train()
        loss_total = torch.tensor(float(position.loss_total), device=technique.device)
        norm: Tensor | None = None
        lr = 0.0
        for inputs, targets in batches.epoch(position.epoch, position.step):
            number = position.epoch * steps + position.step
            share = technique.schedule(number / (technique.epochs * steps)) * technique.rate_scale
            for group in optimizer.param_groups:
                group["lr"] = lr = group["peak_lr"] * share
            seed_device(mix_seed(technique.seed, DROPOUT_STREAM, number), technique.device)
            value = accumulate_gradients(model, loss, inputs, targets, technique)
            norm = clip_gradients(parameters, technique.clip_norm, measure=position.step + 1 == steps)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if average is not None:
                update_average(average, model, decay=technique.average_decay, step=number)
            loss_total += value * len(targets)
            position.step += 1
            position.samples += len(targets)
            position.loss_total = loss_total
            yield StepRecord(position.epoch, position.step, steps, position.samples, lr, value, norm)
        mean_loss = loss_total.item() / max(1, position.samples)
        last_norm = math.nan if norm is None else norm.item()
        record = EpochRecord(position.epoch, position.samples, lr, mean_loss, last_norm)
        position.epoch, position.step, position.samples, position.loss_total = position.epoch + 1, 0, 0, 0.0
        yield record
