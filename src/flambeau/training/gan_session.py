"""What stands around the loop of a generative adversarial net: scores, checkpoints, resuming, the watch for NaN.

As in `training.session`, wall time decides only when a checkpoint is written, and a run resumed from any checkpoint
ends in the same weights. Losses of two nets that play against each other tell nothing about the pictures, so there is
no early stopping and no way back to a smaller rate: what diverged is told, and ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from flambeau.evaluation.validation import Validation
from flambeau.training.clock import Listener, TrainingClock
from flambeau.training.diverged import DivergedError, LossWatch
from flambeau.training.gan_loop import GanEpoch, train_gan
from flambeau.training.gan_state import GanState
from flambeau.training.loop import EpochBatches, EpochRecord, StepRecord
from flambeau.training.resuming import resume_state
from flambeau.training.session import STEPS_BETWEEN_LOOKS, Interrupted, as_they_are
from flambeau.training.writer import CheckpointWriter, StateKeeper

# The generator after an epoch (counted from 1) → its score, the smaller the better, and what else is told of it.
GanJudge = Callable[[nn.Module, int], tuple[Validation | None, Mapping[str, Any]]]


def judge_nothing(generator: nn.Module, number: int) -> tuple[Validation | None, Mapping[str, Any]]:
    """No score: the last epoch is kept."""
    return None, {}


@dataclass(frozen=True)
class GanSession:
    """How a training is watched over.

    Args:
        folder: of the checkpoints.
        judge: see `GanJudge`.
        metric: name of the score.
        checkpoint_seconds: longest time between checkpoints inside an epoch.
        listen: receives records.
        should_stop: asked after each step.
    """

    folder: Path
    judge: GanJudge = judge_nothing
    metric: str = "frechet_distance"
    checkpoint_seconds: float = 30.0
    listen: Listener = field(default=lambda record: None)
    should_stop: Callable[[], bool] = field(default=lambda: False)


def run_gan_session(state: GanState, batches: EpochBatches, session: GanSession) -> GanState:
    """Train to the end, from the newest checkpoint if there is one, and leave the best generator in the state.

    Args:
        state: at its start.
        batches: as for `train_gan`.
        session: how it is watched over.

    Raises:
        Interrupted: `should_stop` said so; a checkpoint was written.
        DivergedError: a loss or a weight is not finite.
        CheckpointError: a checkpoint could not be written; the ones before it stay.
    """
    with CheckpointWriter(session.folder) as writer:
        clock = TrainingClock(
            state,
            len(batches),
            stage="",
            metric=session.metric,
            listen=session.listen,
            checkpoint_seconds=session.checkpoint_seconds,
        )
        keeper = StateKeeper(state, writer, len(batches))
        if not resume_state(state, session.folder, share=as_they_are, listen=session.listen):
            keeper.capture()
        clock.begin()
        watch = LossWatch(STEPS_BETWEEN_LOOKS if state.technique.device.type != "cpu" else 1)
        records = train_gan(
            state.generator,
            state.discriminator,
            batches,
            state.optimizers,
            state.technique,
            average=state.average,
            position=state.position,
        )
        for record in records:
            if isinstance(record, StepRecord):
                _end_gan_step(state, session, keeper, clock, watch, record)
            else:
                _end_gan_epoch(state, session, keeper, clock, record)
    state.restore_best()
    return state


def _end_gan_step(
    state: GanState,
    session: GanSession,
    keeper: StateKeeper,
    clock: TrainingClock,
    watch: LossWatch,
    record: StepRecord,
) -> None:
    watch.add(record)
    diverged = watch.look() if watch.is_due(record) else None
    if diverged is not None:
        raise diverged
    keeper.reserve()
    clock.tell_step(record)
    if record.step == record.steps:
        return
    asked = session.should_stop()
    if asked or (clock.is_middle_due() and not keeper.busy):
        keeper.write(("last", state.boundary), ("middle", keeper.capture()))
        clock.note_checkpoint()
    if asked:
        raise Interrupted


def _end_gan_epoch(
    state: GanState, session: GanSession, keeper: StateKeeper, clock: TrainingClock, record: GanEpoch
) -> None:
    number = record.epoch + 1
    if not (math.isfinite(record.generator_loss + record.discriminator_loss) and state.is_finite()):
        raise DivergedError(f"a loss or a weight is not finite after epoch {number}", record.epoch, 0)
    validation, told = session.judge(state.evaluated, number)
    improved = state.note_epoch(number, validation, kept=keeper.held())
    more = {
        "generator_loss": record.generator_loss,
        "discriminator_loss": record.discriminator_loss,
        "real": record.real,
        "made": record.made,
        **told,
    }
    loss = record.generator_loss + record.discriminator_loss
    plain = EpochRecord(record.epoch, record.samples, record.lr, loss, math.nan, math.nan)
    clock.tell_epoch(plain, validation, improved, more)
    asked = session.should_stop()
    boundary = keeper.capture()
    if state.finished or asked or (clock.is_epoch_due(keeper.writing_seconds) and not keeper.busy):
        keeper.write(("last", boundary))
        clock.note_checkpoint()
    if asked and not state.finished:
        raise Interrupted
