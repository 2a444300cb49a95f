"""What bounds a training: how long it waited for data, computed, stepped, validated and saved.

Batches and the step are wrapped from outside, so that the loop has no timing in it. On a GPU, whose work goes on while
the CPU is ahead, events on the device are recorded at every 16th step; nothing ever waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from flambeau.data.batches import Batch
from flambeau.training.loop import EpochBatches
from flambeau.training.steps import Step

STEPS_BETWEEN_EVENTS = 16
MOST_WAITING_EVENTS = 64

SPAN_WORDS = {
    "data": "waiting for data",
    "compute": "computing",
    "optimizer": "the optimizer",
    "validation": "validating",
    "saving": "saving",
    "other": "everything else",
}


class DeviceEvent(Protocol):
    """A moment on a device, as torch.cuda.Event."""

    def record(self) -> Any: ...
    def query(self) -> bool: ...
    def synchronize(self) -> None: ...
    def elapsed_time(self, other: Any) -> float: ...


@dataclass
class StepTimes:
    """Seconds of some steps: waiting for data, in gradients, and in the whole step; how many steps were measured."""

    data: float = 0.0
    compute: float = 0.0
    step: float = 0.0
    steps: int = 0
    measured: int = 0

    @property
    def scale(self) -> float:
        """What the measured seconds are multiplied by to stand for all steps."""
        return self.steps / max(1, self.measured)


@dataclass
class Spans:
    """The spans of one training, from its making on.

    Args:
        make_event: of the device whose work is measured; None to measure by the clock, where work is done at once.
        now: a clock in seconds.
    """

    make_event: Callable[[], DeviceEvent] | None = None
    now: Callable[[], float] = time.perf_counter
    first: StepTimes = field(default_factory=StepTimes)
    later: StepTimes = field(default_factory=StepTimes)
    validation: float = 0.0
    saving: float = 0.0
    began: float = 0.0
    first_ended: float | None = None
    epochs: int = 0
    _current: StepTimes = field(default_factory=StepTimes)
    _events: list[DeviceEvent] = field(default_factory=list)
    _waiting: list[tuple[StepTimes, list[DeviceEvent]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.now()
        self._current = self.first

    @property
    def steps(self) -> int:
        """Optimizer steps so far."""
        return self.first.steps + self.later.steps

    def measure_batches(self, batches: EpochBatches) -> EpochBatches:
        """The same batches, with the time that is spent on getting them noted."""
        return _MeasuredBatches(batches, self)

    def measure_step(self, step: Step) -> Step:
        """The same step, with the time of its gradients and of the rest of it noted."""
        return self._by_clock(step) if self.make_event is None else self._by_events(step)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """What is done inside counts as validation."""
        began = self.now()
        try:
            yield
        finally:
            self.validation += self.now() - began

    @contextmanager
    def saving_state(self) -> Iterator[None]:
        """What is done inside counts as saving."""
        began = self.now()
        try:
            yield
        finally:
            self.saving += self.now() - began

    def end_epoch(self) -> None:
        """What follows belongs to another epoch."""
        self.epochs += 1
        if self.first_ended is None:
            self.first_ended, self._current = self.now(), self.later

    def begin_waiting(self) -> None:
        """On a device, record where the sampled step begins to ask for its batch."""
        if self.make_event is not None:
            sampled = self._current.steps % STEPS_BETWEEN_EVENTS == 0
            self._events = [self._moment()] if sampled else []

    def record(self, stage: str, *, resumed: bool) -> dict[str, Any]:
        """The record of kind "spans": seconds and shares that add up, and a sentence."""
        if self.make_event is not None:
            self._collect(wait=True)
        ended = self.now()
        total = max(1e-9, ended - self.began)
        spans = {
            "data": sum(part.data * part.scale for part in (self.first, self.later)),
            "compute": sum(part.compute * part.scale for part in (self.first, self.later)),
            "optimizer": sum((part.step - part.compute) * part.scale for part in (self.first, self.later)),
            "validation": self.validation,
            "saving": self.saving,
        }
        known = sum(spans.values())
        if known > total:  # estimates from sampled steps
            spans = {name: seconds * total / known for name, seconds in spans.items()}
        spans["other"] = max(0.0, total - sum(spans.values()))
        shares = {name: seconds / total for name, seconds in spans.items()}
        bound_by = max(shares, key=lambda name: shares[name])
        first_ended = ended if self.first_ended is None else self.first_ended
        later = None
        if self.epochs > 1:
            later = min(1.0, self.later.data * self.later.scale / max(1e-9, ended - first_ended))
        first = min(1.0, self.first.data * self.first.scale / max(1e-9, first_ended - self.began))
        waiting = (
            f"{first:.1%} waiting for data"
            if later is None
            else f"{later:.1%} waiting for data after the first epoch"
        )
        sentence = f"bound by {SPAN_WORDS[bound_by]}: {shares[bound_by]:.0%} of {total:.3g} s; {waiting}"
        by_events = f"device events every {STEPS_BETWEEN_EVENTS}th step"
        return {
            "kind": "spans",
            "stage": stage,
            "seconds": total,
            "steps": self.steps,
            "bound_by": bound_by,
            "spans": spans,
            "shares": shares,
            "first_epoch_data_share": first,
            "later_data_share": later,
            "measured": "clock" if self.make_event is None else by_events,
            "resumed": resumed,
            "text": sentence.replace("%", " %"),
        }

    def _by_clock(self, step: Step) -> Step:
        now = self.now

        def measured(
            optimizer: Optimizer,
            gradients: Callable[[], Tensor],
            clip: Callable[[], Tensor | None],
            scaler: GradScaler | None,
        ) -> tuple[Tensor, Tensor | None]:
            times = self._current

            def measured_gradients() -> Tensor:
                began_gradients = now()
                value = gradients()
                times.compute += now() - began_gradients
                return value

            began = now()
            result = step(optimizer, measured_gradients, clip, scaler)
            times.step += now() - began
            times.steps += 1
            times.measured += 1
            return result

        return measured

    def _by_events(self, step: Step) -> Step:
        def measured(
            optimizer: Optimizer,
            gradients: Callable[[], Tensor],
            clip: Callable[[], Tensor | None],
            scaler: GradScaler | None,
        ) -> tuple[Tensor, Tensor | None]:
            self._current.steps += 1
            if not self._events:
                return step(optimizer, gradients, clip, scaler)
            events, self._events = [*self._events, self._moment()], []

            def marked_gradients() -> Tensor:
                value = gradients()
                events.append(self._moment())
                return value

            result = step(optimizer, marked_gradients, clip, scaler)
            events.append(self._moment())
            self._waiting.append((self._current, events))
            if len(self._waiting) >= MOST_WAITING_EVENTS:
                self._collect(wait=False)
            return result

        return measured

    def _moment(self) -> DeviceEvent:
        assert self.make_event is not None
        event = self.make_event()
        event.record()
        return event

    def _collect(self, *, wait: bool) -> None:
        """Add up the sampled steps whose events have happened."""
        left = []
        for times, events in self._waiting:
            if wait:
                events[-1].synchronize()
            elif not events[-1].query():
                left.append((times, events))
                continue
            asked, began, *computed, ended = events
            times.data += asked.elapsed_time(began) / 1000
            # of several evaluations in one step, such as LBFGS makes, all but the last update belong to computing
            times.compute += began.elapsed_time(computed[-1]) / 1000
            times.step += began.elapsed_time(ended) / 1000
            times.measured += 1
        self._waiting = left


class _MeasuredBatches:
    """Batches whose waiting time is noted."""

    def __init__(self, batches: EpochBatches, spans: Spans) -> None:
        self._batches, self._spans = batches, spans

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step `start` on."""
        spans = self._spans
        by_clock, now, times = spans.make_event is None, spans.now, spans._current
        began = now()
        spans.begin_waiting()
        for batch in self._batches.epoch(epoch, start):
            if by_clock:
                times.data += now() - began
            yield batch
            began = now()
            spans.begin_waiting()
        if by_clock:
            times.data += now() - began
        spans.end_epoch()


def start_spans(device: torch.device) -> Spans:
    """Spans of a training on this device, measured by its events where it is a CUDA device."""
    if device.type != "cuda":
        return Spans()
    return Spans(make_event=lambda: torch.cuda.Event(enable_timing=True))
