"""Requests that wait are answered together: one thread takes what is there, up to a batch, and never waits for more.

A lone request therefore costs what it costs without batching, and under load the batches grow by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Protocol

from flambeau.deploy.serve.limits import Limits, RefusalError, busy

logger = logging.getLogger("flambeau.serve")

# How fast the measured time of one input follows a change.
_FOLLOW = 0.2
_SWEEP_SECONDS = 0.25


class Answering(Protocol):
    """What a batcher asks of a model.

    Attributes:
        most: inputs in one batch, where it has a limit of its own; 0 for none.
        alone: whether an input is a batch by itself; None where none is. Asked when its turn comes.
    """

    most: int
    alone: Callable[[Any], bool] | None

    def answer(self, inputs: list[Any]) -> list[Any]:
        """One answer for each input of a batch; an exception for one spoils them all."""


def _never() -> bool:
    return False


@dataclass(eq=False)
class Job:
    """The inputs of one request, on their way to the model.

    Args:
        model: that answers.
        count: how many inputs it brings; fewer may be left once they are decoded.
        gone: tells whether the client has left.
        decode: fills `inputs`; called by the inference thread, where no other threads decode.
        late: why there is no answer in time, where another try would not help; None where it may.

    Attributes:
        places: of the queue that it takes.
        decoded: done when nothing decodes it any more, whether or not anybody still waits; None if nothing ever does.
    """

    model: Answering
    count: int
    gone: Callable[[], bool] = _never
    decode: Callable[[], None] | None = None
    late: Callable[[], RefusalError | None] = lambda: None
    inputs: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    future: asyncio.Future[list[Any]] = field(init=False)
    deadline: float = field(init=False)
    places: int = field(init=False)
    decoded: asyncio.Future[None] | None = field(default=None, init=False)

    def is_over(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.future.done() or self.gone()

    def part(self, room: int) -> int:
        """How many of its inputs a batch with so much room takes now; before they are decoded, at most so many."""
        if self.decode:
            return min(room, self.count)
        begun, alone = len(self.answers), self.model.alone
        rest = self.inputs[begun : begun + room]
        if alone is not None:
            rest = list(takewhile(lambda one: not alone(one), rest)) or rest[:1]
        return len(rest)

    def is_alone(self) -> bool:
        """Whether its next input is a batch by itself."""
        alone = None if self.decode else self.model.alone
        return alone is not None and alone(self.inputs[len(self.answers)])


class Batcher:
    """One queue, one thread.

    Args:
        limits: of the queue, of a batch and of the time that a request may take.
        on_batch: told the model, the size and the seconds of every batch.
    """

    def __init__(
        self, limits: Limits, on_batch: Callable[[Any, int, float], None] = lambda model, size, seconds: None
    ) -> None:
        self.limits = limits
        self.on_batch = on_batch
        self.waiting = 0  # places of the queue that are taken; of the event loop alone
        self.seconds_each: dict[Answering, float] = {}
        self._places: Counter[Answering] = Counter()
        self._admitted: dict[Job, None] = {}
        self._queue: deque[Job] = deque()
        self._wake = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to answer; called on the event loop that the futures belong to."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def stop(self) -> None:
        """Answer what is queued, then end the thread."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._sweeper.cancel()
        if self._thread is not None:
            self._thread.join(self.limits.seconds)

    def expected_wait(self) -> float:
        """Seconds until everything that waits now has had its turn, from how long each model's last batches took."""
        return sum(places * self.seconds_each.get(model, 0.0) for model, places in self._places.items())

    def check_room(self) -> None:
        """Raise RefusalError 503 where the queue is full, or what waits would take longer than a request may."""
        wait = self.expected_wait()
        if self.waiting >= self.limits.queue or wait > self.limits.seconds:
            raise busy("the server has more to do than it can", wait)

    def admit(self, job: Job) -> None:
        """Take places in the queue for a job, before its inputs are decoded.

        A job takes one for each input but at most a batch of them: a larger one gives way after every batch, so that
        nobody waits longer for it.

        Raises:
            RefusalError: 503, as `check_room`.
        """
        self.check_room()
        job.future = self._loop.create_future()
        job.deadline = self._loop.time() + self.limits.seconds
        job.places = min(job.count, self.limits.batch)
        self.waiting += job.places
        self._places[job.model] += job.places
        self._admitted[job] = None
        job.future.add_done_callback(lambda future: self._leave(job))

    def submit(self, job: Job) -> None:
        """Queue an admitted job whose inputs are there. May be called from any thread."""
        with self._wake:
            self._queue.append(job)
            self._wake.notify()

    def fail(self, job: Job, error: Exception) -> None:
        """End a job without an answer. May be called from any thread."""
        self._loop.call_soon_threadsafe(_settle, job, error)

    def end_decoding(self, job: Job) -> None:
        """Tell that nothing decodes a job any more. May be called from any thread."""
        job.decode = None
        if job.decoded is not None:
            self._loop.call_soon_threadsafe(job.decoded.set_result, None)

    def _leave(self, job: Job) -> None:
        self.waiting -= job.places
        self._places[job.model] -= job.places
        if not self._places[job.model]:
            del self._places[job.model]
        self._admitted.pop(job, None)

    def _sweep(self) -> None:
        """End what has waited for too long; all may wait equally long, so the oldest come first."""
        now = self._loop.time()
        for job in list(self._admitted):
            if job.deadline > now:
                break
            _settle(job, job.late() or busy("the answer took too long", self.expected_wait()))
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._stopped:
                    self._wake.wait()
                if not self._queue:
                    return
                taken = self._take()
            # Not under the lock: the event loop waits for it to queue more.
            parts = [
                (job, job.inputs[len(job.answers) :][:part]) for job, part in taken if self._decoded(job)
            ]
            if not parts:
                continue
            began = time.perf_counter()
            answers = self._answer(parts)
            took = time.perf_counter() - began
            size = sum(len(inputs) for _, inputs in parts)
            model = parts[0][0].model
            before = self.seconds_each.get(model, 0.0)
            self.seconds_each[model] = before + _FOLLOW * (took / size - before)
            self.on_batch(model, size, took)
            self._finish(parts, answers)

    def _take(self) -> list[tuple[Job, int]]:
        """Jobs for the model of the oldest one, and how many inputs of each: together at most a batch."""
        taken: list[tuple[Job, int]] = []
        room, others = self.limits.batch, []
        model: Answering | None = None
        while self._queue and room > 0:
            job = self._queue.popleft()
            if job.is_over():
                self.fail(job, RefusalError(499, "the client has left"))
                if job.decode is not None:
                    self.end_decoding(job)
                continue
            if model is None:
                model = job.model
                room = min(room, model.most or room)
            alone = job.is_alone()
            if job.model is not model or (taken and alone):
                others.append(job)
                continue
            part = job.part(room)
            room = 0 if alone else room - part
            taken.append((job, part))
        self._queue.extendleft(reversed(others))
        return taken

    def _decoded(self, job: Job) -> bool:
        """Whether the inputs of a job are there, or could be made now; if not, the job has its error."""
        if job.decode is None:
            return True
        try:
            job.decode()
        except Exception as error:
            self.fail(job, error)
            return False
        finally:
            self.end_decoding(job)
        return True

    def _answer(self, parts: list[tuple[Job, list[Any]]]) -> list[list[Any] | Exception]:
        """The answers of each part; where the whole batch fails, each is tried alone, so that only the guilty fails."""
        model = parts[0][0].model
        try:
            answers = model.answer([one for _, inputs in parts for one in inputs])
        except Exception as error:
            if len(parts) == 1:
                return [error]
            return [self._answer([part])[0] for part in parts]
        found: list[list[Any] | Exception] = []
        start = 0
        for _, inputs in parts:
            found.append(answers[start : start + len(inputs)])
            start += len(inputs)
        return found

    def _finish(self, parts: list[tuple[Job, list[Any]]], answers: list[list[Any] | Exception]) -> None:
        settled: list[tuple[Job, Exception | None]] = []
        unfinished = []
        for (job, _), found in zip(parts, answers, strict=True):
            if isinstance(found, Exception):
                settled.append((job, found))
                continue
            job.answers += found
            if len(job.answers) < len(job.inputs):
                unfinished.append(job)
            else:
                settled.append((job, None))
        with self._wake:
            self._queue.extend(unfinished)
        self._loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(jobs: list[tuple[Job, Exception | None]]) -> None:
    for job, error in jobs:
        _settle(job, error)


def _settle(job: Job, error: Exception | None) -> None:
    """Give a job its error, or without one its answers; a job that has either keeps it."""
    if job.future.done():
        return
    if error is None:
        job.future.set_result(job.answers)
    else:
        job.future.set_exception(error)
