"""What stands around the loop: the best epoch, early stopping, checkpoints, resuming, rollback, memory step-down.

Everything that decides is a function of the data and the seed. Wall time decides only when a checkpoint is
written, and a run resumed from any checkpoint ends in the same weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from flambeau.evaluation.validation import Validation
from flambeau.training.checkpoint import newest_checkpoint, remove_older, write_checkpoint
from flambeau.training.loop import EpochBatches, EpochRecord, StepRecord, Technique, train
from flambeau.training.losses import Loss
from flambeau.training.memory import is_out_of_memory
from flambeau.training.state import Captured, TrainingState

MAX_ROLLBACKS = 3
SECONDS_BETWEEN_STEP_RECORDS = 0.25
SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 3.0
STEPS_BETWEEN_LOSS_CHECKS_ON_A_DEVICE = 25

Listener = Callable[[dict[str, Any]], None]


class Interrupted(KeyboardInterrupt):
    """The person asked to stop; the state is saved."""


@dataclass(frozen=True)
class Session:
    """How a training is watched over.

    Args:
        folder: of the checkpoints.
        validate: the model that would be kept (the averaged one, if any) → its scores; None to keep the last epoch.
        metric: name of the score.
        higher_is_better: of the score.
        tolerance: standard errors that a later epoch may be behind the best one and still be kept.
        patience: epochs without a better score before stopping; 0 to never stop early.
        checkpoint_seconds: longest time between checkpoints inside an epoch.
        stage: name of this training in the records.
        listen: receives records.
        should_stop: asked after each step.
    """

    folder: Path
    validate: Callable[[nn.Module], Validation] | None = None
    metric: str = "loss"
    higher_is_better: bool = False
    tolerance: float = 0.0
    patience: int = 0
    checkpoint_seconds: float = 30.0
    stage: str = "training"
    listen: Listener = field(default=lambda record: None)
    should_stop: Callable[[], bool] = field(default=lambda: False)


class _DivergedError(ArithmeticError):
    """The loss became NaN or infinite."""


def run_session(
    model: nn.Module,
    batches: EpochBatches,
    optimizer: Optimizer,
    loss: Loss,
    technique: Technique,
    session: Session,
) -> TrainingState:
    """Train to the end, from the newest checkpoint if there is one, and leave the best weights in the state.

    Args:
        model, batches, optimizer, loss, technique: as for `flambeau.training.loop.train`.
        session: how it is watched over.

    Returns:
        The state; its `evaluated` module holds the weights of the best epoch.

    Raises:
        Interrupted: `should_stop` said so; a checkpoint was written.
        ArithmeticError: the loss was not finite after `MAX_ROLLBACKS` rollbacks.
        MemoryError: one sample at a time does not fit.
        CheckpointError: a checkpoint could not be written; the ones before it stay.
    """
    state = TrainingState.start(model, optimizer, technique)
    resume(state, session)
    while not (state.finished or state.stopped(session.patience)):
        diverged = ""
        try:
            _run_epochs(state, batches, loss, session)
            continue
        except _DivergedError as error:
            diverged = str(error)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # outside the handlers, because a traceback keeps the failed step's tensors alive
        if diverged:
            _roll_back(state, session, diverged)
        else:
            _step_down(state, session, len(next(batches.epoch(0))[1]), len(batches))
    state.restore_best()
    return state


def resume(state: TrainingState, session: Session) -> None:
    """Load the newest undamaged checkpoint of the session's folder, if there is one."""
    last, damaged = newest_checkpoint(session.folder, "last")
    middle, damaged_middle = newest_checkpoint(session.folder, "middle")
    for sentence in damaged + damaged_middle:
        session.listen({"kind": "note", "text": f"{sentence}; the checkpoint before it is used"})
    if last is None:
        state.capture()
        return
    state.restore(Captured(last.tensors, last.values))
    state.boundary = Captured(last.tensors, last.values)
    # a state inside an epoch is of use only with the start of that epoch, to which a rollback would go
    if middle is not None and middle.values["epoch"] == state.position.epoch:
        state.restore(Captured(middle.tensors, middle.values))


def _run_epochs(state: TrainingState, batches: EpochBatches, loss: Loss, session: Session) -> None:
    """Train epoch by epoch, keeping the best and writing checkpoints, until the end or early stopping."""
    clock = _Clock(session, state, len(batches))
    on_device = state.technique.device.type != "cpu"
    records: Iterator[StepRecord | EpochRecord] = train(
        state.model,
        batches,
        state.optimizer,
        loss,
        state.technique,
        average=state.average,
        position=state.position,
    )
    for record in records:
        if isinstance(record, StepRecord):
            checked = not on_device or record.step % STEPS_BETWEEN_LOSS_CHECKS_ON_A_DEVICE == 0
            if checked and not math.isfinite(record.loss.item()):
                raise _DivergedError(
                    f"the loss became {record.loss.item()} at epoch {record.epoch + 1}, step {record.step}"
                )
            clock.tell_step(record)
            middle_due = clock.since_checkpoint() > session.checkpoint_seconds
            if record.step == record.steps:
                continue
            if middle_due or session.should_stop():
                clock.write("last", state.boundary)
                clock.write("middle", state.capture())
        else:
            if not math.isfinite(record.loss):
                raise _DivergedError(f"the mean loss of epoch {record.epoch + 1} is {record.loss}")
            if not state.is_finite():
                raise _DivergedError(f"the weights are not finite after epoch {record.epoch + 1}")
            validation = session.validate(state.evaluated) if session.validate else None
            if validation is not None and not math.isfinite(validation.loss):
                raise _DivergedError(f"the validation loss of epoch {record.epoch + 1} is {validation.loss}")
            improved = state.note_epoch(
                record,
                validation,
                higher_is_better=session.higher_is_better,
                tolerance=session.tolerance,
            )
            clock.tell_epoch(record, validation, improved)
            boundary = state.capture()
            finished = state.finished or state.stopped(session.patience)
            if (
                finished
                or session.should_stop()
                or clock.since_checkpoint() > SECONDS_BETWEEN_EPOCH_CHECKPOINTS
            ):
                clock.write("last", boundary)
            if finished:
                return
        if session.should_stop():
            raise Interrupted


def _roll_back(state: TrainingState, session: Session, reason: str) -> None:
    """Go back to the start of the epoch at half the rate; told, counted, and part of every later checkpoint."""
    if state.rollbacks >= MAX_ROLLBACKS:
        raise ArithmeticError(
            f"{reason}; {MAX_ROLLBACKS} times half the learning rate did not help: "
            "look for infinite or huge values in the data, or set a smaller training.optimizer.lr"
        )
    rollbacks = state.rollbacks + 1
    state.restore_boundary()
    state.rollbacks = rollbacks
    state.change(rate_scale=0.5**rollbacks)
    text = f"{reason}; back to the start of the epoch at {state.technique.rate_scale:g} of the learning rate"
    session.listen({"kind": "note", "text": text, "rate_scale": state.technique.rate_scale})


def _step_down(state: TrainingState, session: Session, batch_size: int, steps: int) -> None:
    """Halve the samples that go through the model at once, from the start of the epoch."""
    size = (state.technique.micro_batch or batch_size) // 2
    if size < 1:
        raise MemoryError(
            "the device's memory does not hold one sample at a time: use a smaller model or picture size"
        )
    state.restore_boundary()
    state.change(micro_batch=size)
    changed = state.capture()
    # written at once: a kill after it must not forget it
    write_checkpoint(session.folder, "last", _steps_done(changed, steps), changed.tensors, changed.values)
    if state.technique.device.type == "cuda":
        torch.cuda.empty_cache()
    text = f"out of memory: {size} samples at once now, gradients accumulated to the same batch"
    session.listen({"kind": "note", "text": text, "micro_batch": size})


def _steps_done(captured: Captured, steps: int) -> int:
    return int(captured.values["epoch"] * steps + captured.values["step"])


class _Clock:
    """Wall time: when checkpoints are due, how fast it goes, how long it will take."""

    def __init__(self, session: Session, state: TrainingState, steps: int) -> None:
        self.session, self.state, self.steps = session, state, steps
        self.started = self.checkpointed = self.epoch_started = time.monotonic()
        self.told = 0.0
        self.first_step = state.position.epoch * steps + state.position.step
        self.written: dict[str, int] = {}
        self.samples = state.position.samples

    def since_checkpoint(self) -> float:
        return time.monotonic() - self.checkpointed

    def write(self, kind: str, captured: Captured | None) -> None:
        """Write a checkpoint unless this very state was written before; keep the newest two of its kind."""
        if captured is None:
            return
        number = _steps_done(captured, self.steps)
        if self.written.get(kind) == number:
            return
        write_checkpoint(self.session.folder, kind, number, captured.tensors, captured.values)
        remove_older(self.session.folder, kind, keep=2)
        self.checkpointed, self.written[kind] = time.monotonic(), number

    def seconds_left(self, epoch: int, step: int) -> float:
        done = epoch * self.steps + step
        pace = (time.monotonic() - self.started) / max(1, done - self.first_step)
        return pace * (self.state.technique.epochs * self.steps - done)

    def tell_step(self, record: StepRecord) -> None:
        now = time.monotonic()
        if now - self.told < SECONDS_BETWEEN_STEP_RECORDS:
            return
        self.told = now
        self.session.listen(
            {
                "kind": "step",
                "stage": self.session.stage,
                "epoch": record.epoch + 1,
                "epochs": self.state.technique.epochs,
                "step": record.step,
                "steps": record.steps,
                "loss": record.loss.item(),
                "lr": record.lr,
                "gradient_norm": None if record.gradient_norm is None else record.gradient_norm.item(),
                "samples_per_second": (record.samples - self.samples) / max(1e-9, now - self.epoch_started),
                "seconds_left": self.seconds_left(record.epoch, record.step),
            }
        )

    def tell_epoch(self, record: EpochRecord, validation: Validation | None, improved: bool) -> None:
        now = time.monotonic()
        seconds = now - self.epoch_started
        self.session.listen(
            {
                "kind": "epoch",
                "stage": self.session.stage,
                "epoch": record.epoch + 1,
                "epochs": self.state.technique.epochs,
                "loss": record.loss,
                "valid_loss": validation.loss if validation else None,
                "score": validation.score if validation else None,
                "metric": self.session.metric,
                "lr": record.lr,
                "gradient_norm": record.gradient_norm if math.isfinite(record.gradient_norm) else None,
                "seconds": seconds,
                "samples_per_second": (record.samples - self.samples) / max(1e-9, seconds),
                "best": improved,
                "seconds_left": self.seconds_left(record.epoch + 1, 0),
            }
        )
        self.epoch_started, self.samples = now, 0
