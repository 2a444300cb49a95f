"""Wall time around a training: how fast it goes, how long it will take, and when a checkpoint is due.

Nothing here decides what the weights become.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import torch

from flambeau.evaluation.validation import Validation
from flambeau.training.loop import EpochRecord, StepRecord
from flambeau.training.memory import peak_of_device

SECONDS_BETWEEN_STEP_RECORDS = 0.25
SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 3.0
# Writing an epoch's checkpoint takes processor time from the training; so much longer is trained in between
# (after Mohan et al. 2021, "CheckFreq").
TRAINING_TO_WRITING = 10.0

Listener = Callable[[dict[str, Any]], None]
NOTHING_MORE: Mapping[str, Any] = MappingProxyType({})


class Place(Protocol):
    """Where a training stands."""

    @property
    def epoch(self) -> int: ...

    @property
    def step(self) -> int: ...

    @property
    def samples(self) -> int: ...


class Length(Protocol):
    """How long a training is, and where it runs."""

    @property
    def epochs(self) -> int: ...

    @property
    def device(self) -> torch.device: ...


class Timed(Protocol):
    """A training's state, as far as a clock looks at it."""

    @property
    def position(self) -> Place: ...

    @property
    def technique(self) -> Length: ...


class TrainingClock:
    """Tells steps and epochs, and knows when a checkpoint is due.

    Args:
        state: of the training.
        steps: an epoch has.
        stage, metric, listen: as in `Session`.
        checkpoint_seconds: longest time between checkpoints inside an epoch.
    """

    def __init__(
        self,
        state: Timed,
        steps: int,
        *,
        stage: str,
        metric: str,
        listen: Listener,
        checkpoint_seconds: float,
    ) -> None:
        self.state, self.steps = state, steps
        self.stage, self.metric, self.listen = stage, metric, listen
        self.checkpoint_seconds = checkpoint_seconds
        self.checkpointed = time.monotonic()
        self.begin()

    def begin(self) -> None:
        """Training begins here, or goes on from here after a rollback."""
        position = self.state.position
        self.started = self.epoch_started = time.monotonic()
        self.told = 0.0
        self.first_step = position.epoch * self.steps + position.step
        self.samples = position.samples

    def is_middle_due(self) -> bool:
        """Whether a checkpoint inside an epoch is due."""
        return time.monotonic() - self.checkpointed > self.checkpoint_seconds

    def is_epoch_due(self, writing_seconds: float) -> bool:
        """Whether a checkpoint at an epoch's end is due, where the one before took so long to write."""
        longest = max(SECONDS_BETWEEN_EPOCH_CHECKPOINTS, self.checkpoint_seconds)
        pause = min(longest, max(SECONDS_BETWEEN_EPOCH_CHECKPOINTS, TRAINING_TO_WRITING * writing_seconds))
        return time.monotonic() - self.checkpointed > pause

    def note_checkpoint(self) -> None:
        """A checkpoint is on its way."""
        self.checkpointed = time.monotonic()

    def tell_step(self, record: StepRecord) -> None:
        """Tell a step, a few times a second."""
        now = time.monotonic()
        if now - self.told < SECONDS_BETWEEN_STEP_RECORDS:
            return
        self.told = now
        self._tell(
            {
                "kind": "step",
                "stage": self.stage,
                "epoch": record.epoch + 1,
                "epochs": self.state.technique.epochs,
                "step": record.step,
                "steps": record.steps,
                "loss": record.loss.item(),
                "lr": record.lr,
                "gradient_norm": None if record.gradient_norm is None else record.gradient_norm.item(),
                "samples_per_second": (record.samples - self.samples) / max(1e-9, now - self.epoch_started),
                "seconds_left": self._seconds_left(record.epoch, record.step),
            }
        )

    def tell_epoch(
        self,
        record: EpochRecord,
        validation: Validation | None,
        improved: bool,
        more: Mapping[str, Any] = NOTHING_MORE,
    ) -> None:
        """Tell the end of an epoch, with what else is known of it in `more`."""
        now = time.monotonic()
        seconds = now - self.epoch_started
        self._tell(
            {
                "kind": "epoch",
                "stage": self.stage,
                "epoch": record.epoch + 1,
                "epochs": self.state.technique.epochs,
                "loss": record.loss,
                "valid_loss": validation.loss if validation else None,
                "score": validation.score if validation else None,
                "metric": self.metric,
                "lr": record.lr,
                "gradient_norm": _finite_or_none(record.gradient_norm),
                "update_ratio": _finite_or_none(record.update_ratio),
                "seconds": seconds,
                "samples_per_second": (record.samples - self.samples) / max(1e-9, seconds),
                "best": improved,
                "seconds_left": self._seconds_left(record.epoch + 1, 0),
                **more,
            }
        )
        self.epoch_started, self.samples = now, 0

    def _tell(self, record: dict[str, Any]) -> None:
        peak = peak_of_device(self.state.technique.device)
        self.listen(record if peak is None else {**record, "memory_gb": round(peak, 2)})

    def _seconds_left(self, epoch: int, step: int) -> float:
        done = epoch * self.steps + step
        pace = (time.monotonic() - self.started) / max(1, done - self.first_step)
        return pace * (self.state.technique.epochs * self.steps - done)


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
