"""The training loop, on one page: a generator that yields plain records, while the caller logs, saves and stops.

It knows no kind of data, model or task. Every technique comes in as a value or a function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from flambeau.data.batches import DROPOUT_STREAM, Batch, Inputs, mix_seed
from flambeau.training.average import pair_tensors, update_average
from flambeau.training.clipping import Clip, MeasuredClip, no_clipping
from flambeau.training.losses import Loss
from flambeau.training.precision import autocast_to
from flambeau.training.schedules import Schedule
from flambeau.training.steps import Step, step_once


class EpochBatches(Protocol):
    """What the loop asks of batches: how many steps an epoch has, and the batches from a step on."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]: ...


@dataclass(slots=True)
class Position:
    """Where training stands: all that the loop needs, beside weights and optimizer, to go on exactly."""

    epoch: int = 0
    step: int = 0
    samples: int = 0
    loss_total: float | Tensor = 0.0


@dataclass(slots=True)
class StepRecord:
    """One optimizer step. `loss` is a tensor, so that reading it is the caller's choice: a GPU is waited for.

    `lr` is the largest of the groups' rates. `gradient_norm` is None on steps on which it was not measured (without
    clipping, all but an epoch's last).
    """

    epoch: int
    step: int
    steps: int
    samples: int
    lr: float
    loss: Tensor
    gradient_norm: Tensor | None


@dataclass(slots=True)
class EpochRecord:
    """The end of an epoch: the mean training loss over its samples, and of its last step the gradient's norm
    before the clipping by norm and the update ratio ‖Δw‖ / ‖w‖. `lr` is the largest of the groups' rates.
    """

    epoch: int
    samples: int
    lr: float
    loss: float
    gradient_norm: float
    update_ratio: float


def nothing_to_begin(model: nn.Module, epoch: int) -> None:
    """The beginning of an epoch at which nothing changes."""


def alone(model: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Gradients of one process, which nobody waits for."""
    return nullcontext()


def same(number: Tensor) -> Tensor:
    """The sum over one process."""
    return number


@dataclass(frozen=True)
class Technique:
    """How a step is done.

    Args:
        epochs: passes over the data; the schedule spans them.
        schedule: share of the run that is done → share of each group's peak rate.
        seed: of dropout and other randomness inside the model.
        rate_scale: a further factor on every rate (halved after a rollback).
        average_decay: of the moving average of the weights.
        clip: parameters whose gradients it limits → their norm before, where it is known.
        micro_batch: samples that go through the model at once; 0 for the whole batch.
        precision: "fp32", "bf16" or "fp16".
        step: how the optimizer makes its step.
        begin_epoch: (model, epoch), called after the model was put into training mode.
        together: (model, whether this is the batch's last part) → context around a part's forward and backward
            pass, in which several processes add their gradients up at the last part only.
        total: a number of this process → its sum over all processes.
        processes: how many share the samples of a step; each cuts its share into as many parts as the others.
        weight_of: targets → over how many terms the loss is a mean of them, 0 for none: their samples, or such as
            the tokens of texts that are not padding.
    """

    epochs: int
    schedule: Schedule
    seed: int = 0
    rate_scale: float = 1.0
    average_decay: float = 0.0
    clip: Clip = no_clipping
    micro_batch: int = 0
    precision: str = "fp32"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    step: Step = step_once
    begin_epoch: Callable[[nn.Module, int], None] = nothing_to_begin
    together: Callable[[nn.Module, bool], AbstractContextManager[Any]] = alone
    total: Callable[[Tensor], Tensor] = same
    processes: int = 1
    weight_of: Callable[[Tensor], int] = len


def part_gradients(
    model: nn.Module,
    loss: Loss,
    inputs: Inputs,
    targets: Tensor,
    technique: Technique,
    scaler: GradScaler | None,
    count: int,
    last: bool,
) -> Tensor:
    """Add the gradients of a part of a step; returns its share of the loss.

    The part's mean counts as much as it has of the step's `count` samples (or terms), so that neither the size of
    the parts nor the number of processes changes the mean.
    """
    with technique.together(model, last):
        with autocast_to(technique.precision, technique.device):
            value = loss(model(*inputs), targets)
        if technique.weight_of(targets) != count:
            value = value * (technique.weight_of(targets) / count)
        scaled = value if scaler is None else scaler.scale(value)
        scaled.backward()
    return value.detach()


def accumulate_gradients(
    model: nn.Module, loss: Loss, batch: Batch, technique: Technique, scaler: GradScaler | None
) -> Tensor:
    """Gradients of the mean loss over the step, in parts of `micro_batch` samples; returns the loss.

    Raises:
        ValueError: a process has fewer samples of the step than the step has parts.
    """
    inputs, targets, count = batch
    # parts of equal size, give or take one: a part of one sample would have no batch statistics
    parts = math.ceil(count / ((technique.micro_batch or count) * technique.processes))
    if parts > len(targets):
        raise ValueError(
            f"micro_batch: got {technique.micro_batch}, which cuts a step of {count} samples into {parts} parts, where "
            f"a process has {len(targets)} of them; expected {technique.micro_batch + 1} or more"
        )
    if technique.weight_of is not len:
        count = terms_of_step(targets, technique)
        loss = partial(loss_of_terms, loss=loss, weight_of=technique.weight_of)
    if parts <= 1:
        return part_gradients(model, loss, inputs, targets, technique, scaler, count, True)
    values = []
    split = zip(*(tensor.tensor_split(parts) for tensor in (*inputs, targets)), strict=True)
    for number, (*part, aims) in enumerate(split, start=1):
        last = number == parts
        values.append(part_gradients(model, loss, tuple(part), aims, technique, scaler, count, last))
    return torch.stack(values).sum()


def terms_of_step(targets: Tensor, technique: Technique) -> int:
    """Over how many terms the loss of a step is a mean, in all processes together; at least 1."""
    own = torch.tensor(float(technique.weight_of(targets)), dtype=torch.float64, device=technique.device)
    return max(1, int(technique.total(own)))


def loss_of_terms(
    outputs: Tensor, targets: Tensor, *, loss: Loss, weight_of: Callable[[Tensor], int]
) -> Tensor:
    """The loss, and 0 for targets without a term, of which there is no mean."""
    return loss(outputs, targets) if weight_of(targets) else outputs.sum() * 0.0


def seed_device(seed: int, device: torch.device) -> None:
    """Seed what dropout draws from. `torch.manual_seed` does the same at seventy times the price."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def clear_gradients(parameters: list[Tensor]) -> None:
    """What `zero_grad` does, without its bookkeeping, which costs as much as a small layer."""
    for parameter in parameters:
        parameter.grad = None


def train(
    model: nn.Module,
    batches: EpochBatches,
    optimizer: Optimizer,
    loss: Loss,
    technique: Technique,
    *,
    average: nn.Module | None = None,
    scaler: GradScaler | None = None,
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
        scaler: of the loss in fp16, from `make_scaler`; it belongs to the state.
        position: where to begin; the start if None.
    """
    position = position or Position()
    steps = len(batches)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    # the gradients of those that the optimizer does not hold would pile up
    cleared = list({*parameters, *model.parameters()})
    largest_rate = max(group["peak_lr"] for group in optimizer.param_groups)
    averaged = None if average is None else pair_tensors(average, model)

    def gradients() -> Tensor:
        # the step's own randomness, however often it is asked
        seed_device(seed + position.step, technique.device)
        return technique.total(accumulate_gradients(model, loss, batch, technique, scaler))

    def clip() -> Tensor | None:
        return (last if position.step + 1 == steps else technique.clip)(parameters)

    # a step that failed half-way, out of memory, may have left some
    clear_gradients(cleared)
    while position.epoch < technique.epochs:
        model.train()
        technique.begin_epoch(model, position.epoch)
        seed = mix_seed(technique.seed, DROPOUT_STREAM, position.epoch)
        last = MeasuredClip(technique.clip, parameters)
        position.loss_total = loss_total = torch.tensor(float(position.loss_total), device=technique.device)
        lr = 0.0
        for batch in batches.epoch(position.epoch, position.step):
            number = position.epoch * steps + position.step
            share = technique.schedule(number / (technique.epochs * steps)) * technique.rate_scale
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * share
            lr = largest_rate * share
            value, norm = technique.step(optimizer, gradients, clip, scaler)
            clear_gradients(cleared)
            if averaged is not None:
                update_average(averaged, decay=technique.average_decay, step=number)
            loss_total.add_(value, alpha=batch.count)
            position.step += 1
            position.samples += batch.count
            yield StepRecord(position.epoch, position.step, steps, position.samples, lr, value, norm)
        mean_loss = loss_total.item() / max(1, position.samples)
        record = EpochRecord(
            position.epoch, position.samples, lr, mean_loss, last.norm.item(), last.update_ratio()
        )
        position.epoch, position.step, position.samples, position.loss_total = position.epoch + 1, 0, 0, 0.0
        yield record
