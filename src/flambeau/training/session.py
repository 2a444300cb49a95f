"""What stands around the loop: the best epoch, early stopping, checkpoints, resuming, rollback, memory step-down.

Everything that decides is a function of the data and the seed. Wall time decides only when a checkpoint is
written, and a run resumed from any checkpoint ends in the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.evaluation.validation import Validation
from flambeau.training.clock import Listener, TrainingClock
from flambeau.training.diverged import DivergedError, LossWatch, diverged_elsewhere
from flambeau.training.loop import EpochBatches, EpochRecord, StepRecord, Technique, train
from flambeau.training.losses import Loss
from flambeau.training.memory import is_out_of_memory
from flambeau.training.mending import Mender
from flambeau.training.resuming import resume_state
from flambeau.training.spans import Spans, start_spans
from flambeau.training.state import TrainingState
from flambeau.training.writer import CheckpointWriter, StateKeeper

STEPS_BETWEEN_LOOKS = 25
Tensors = dict[str, Tensor]


class Interrupted(KeyboardInterrupt):
    """The person asked to stop; the state is saved."""


def as_they_are(tensors: Tensors) -> Tensors:
    """The tensors of one process, which nobody shares."""
    return tensors


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
        should_stop: asked after each step; with several processes, after every 25th.
        processes: that train together. Above 1 they look, at the same steps, whether to stop or to go back.
        agree: what one process says → whether any of them says yes; asked by all at the same places.
        writes: whether this process writes checkpoints.
        whole, share: tensors of this process → those for the checkpoint, and back; asked of all processes.
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
    processes: int = 1
    agree: Callable[[bool], bool] = field(default=lambda answer: answer)
    writes: bool = True
    whole: Callable[[Tensors], Tensors] = as_they_are
    share: Callable[[Tensors], Tensors] = as_they_are


@dataclass
class _Run:
    """What a session has at hand while it trains."""

    state: TrainingState
    batches: EpochBatches
    loss: Loss
    session: Session
    keeper: StateKeeper
    mender: Mender
    clock: TrainingClock
    spans: Spans


def run_session(
    model: nn.Module,
    batches: EpochBatches,
    optimizer: Optimizer,
    loss: Loss,
    technique: Technique,
    session: Session,
    *,
    average: nn.Module | None = None,
) -> TrainingState:
    """Train to the end, from the newest checkpoint if there is one, and leave the best weights in the state.

    Checkpoints are written beside the training; whatever ends it, the one under way is waited for.

    Args:
        model, batches, optimizer, loss, technique: as for `flambeau.training.loop.train`.
        session: how it is watched over.
        average: the module for the moving average, if it is not to be made here.

    Returns:
        The state; its `evaluated` module holds the weights of the best epoch.

    Raises:
        Interrupted: `should_stop` said so; a checkpoint was written.
        ArithmeticError: the loss was not finite after three rollbacks.
        MemoryError: one sample at a time does not fit, or the validation does not.
        CheckpointError: a checkpoint could not be written; the ones before it stay.
        ValueError: after the first step, the optimizer's state is such that no checkpoint could hold it.
    """
    state = TrainingState.start(model, optimizer, technique, average)
    with CheckpointWriter(session.folder) as writer:
        clock = TrainingClock(
            state,
            len(batches),
            stage=session.stage,
            metric=session.metric,
            listen=session.listen,
            checkpoint_seconds=session.checkpoint_seconds,
        )
        whole = None if session.whole is as_they_are else session.whole
        keeper = StateKeeper(state, writer, len(batches), writes=session.writes, whole=whole)
        mender = Mender(state, batches, loss, keeper, session.validate, session.listen, session.processes)
        run = _Run(state, batches, loss, session, keeper, mender, clock, start_spans(technique.device))
        resumed = resume_state(state, session.folder, share=session.share, listen=session.listen)
        if not resumed:
            keeper.capture()
        while not (state.finished or state.stopped(session.patience)):
            _train_on(run)
    state.restore_best()
    if run.spans.steps > 0:
        session.listen(run.spans.record(session.stage, resumed=resumed))
    return state


def _train_on(run: _Run) -> None:
    """Train to the end or to early stopping, or until something goes wrong that can be mended, and mend it."""
    diverged: DivergedError | None = None
    try:
        _run_epochs(run)
        return
    except DivergedError as error:
        # without its traceback, which keeps the failed step's tensors alive
        diverged = DivergedError(str(error), error.epoch, error.step)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    if diverged is not None:
        run.mender.go_back(diverged)
    else:
        run.mender.take_less()


def _run_epochs(run: _Run) -> None:
    """Train epoch by epoch, keeping the best and writing checkpoints, until the end or early stopping."""
    state, session = run.state, run.session
    together = session.processes > 1 or state.technique.device.type != "cpu"
    watch = LossWatch(STEPS_BETWEEN_LOOKS if together else 1)
    run.clock.begin()
    records = train(
        state.model,
        run.spans.measure_batches(run.batches),
        state.optimizer,
        run.loss,
        replace(state.technique, step=run.spans.measure_step(state.technique.step)),
        average=state.average,
        scaler=state.scaler,
        position=state.position,
    )
    for record in records:
        if isinstance(record, StepRecord):
            _end_step(run, watch, record)
        elif _end_epoch(run, record):
            return


def _end_step(run: _Run, watch: LossWatch, record: StepRecord) -> None:
    session = run.session
    looks = watch.is_due(record)
    watch.add(record)
    if looks:
        diverged = watch.look()
        if session.agree(diverged is not None):
            raise diverged or diverged_elsewhere(record.epoch, record.step)
    run.keeper.reserve()
    run.clock.tell_step(record)
    if record.step == record.steps or not (looks or session.processes == 1):
        return
    asked = session.should_stop()
    # one that is due while another is under way comes later
    due = run.clock.is_middle_due() and not run.keeper.busy
    if session.agree(asked or due):
        stop = session.agree(asked)
        with run.spans.saving_state():
            run.keeper.write(("last", run.state.boundary), ("middle", run.keeper.capture()))
            run.clock.note_checkpoint()
        if stop:
            raise Interrupted


def _end_epoch(run: _Run, record: EpochRecord) -> bool:
    """Judge the epoch, keep what is to be kept, and tell whether training is over."""
    state, session = run.state, run.session
    validation = _judge(run, record)
    with run.spans.saving_state():
        improved = state.note_epoch(
            record,
            validation,
            higher_is_better=session.higher_is_better,
            tolerance=session.tolerance,
            kept=run.keeper.held(),
        )
    run.clock.tell_epoch(record, validation, improved)
    asked = session.should_stop()
    finished = session.agree(state.finished or state.stopped(session.patience))
    due = run.clock.is_epoch_due(run.keeper.writing_seconds) and not run.keeper.busy
    with run.spans.saving_state():
        boundary = run.keeper.capture()
        if session.agree(finished or asked or due):
            run.keeper.write(("last", boundary))
            run.clock.note_checkpoint()
    if not finished and session.agree(asked):
        raise Interrupted
    return finished


def _judge(run: _Run, record: EpochRecord) -> Validation | None:
    """The scores of the model as it is. Raises DivergedError where something is not finite."""
    state, session, number = run.state, run.session, record.epoch + 1
    diverged, steps = None, len(run.batches)
    if not math.isfinite(record.loss):
        diverged = DivergedError(f"the mean loss of epoch {number} is {record.loss}", record.epoch, steps)
    elif not state.is_finite():
        diverged = DivergedError(
            f"the weights or running statistics are not finite after epoch {number}", record.epoch, steps
        )
    if session.agree(diverged is not None):
        raise diverged or diverged_elsewhere(record.epoch, steps)
    if session.validate is None:
        return None
    with run.spans.validating():
        validation = run.mender.judge(session.validate, number)
    if session.agree(not math.isfinite(validation.loss)):
        raise DivergedError(f"the validation loss of epoch {number} is {validation.loss}", record.epoch, 0)
    return validation
