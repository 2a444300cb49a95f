"""Checkpoints written beside the training: a thread serialises, hashes, flushes and renames."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from torch import Tensor

from flambeau.training.checkpoint import check_storable, remove_from, remove_older, write_checkpoint
from flambeau.training.clock import Place
from flambeau.training.snapshot import Captured, SnapshotBuffers

KEPT_OF_A_KIND = 2


@dataclass(frozen=True)
class WriteOrder:
    """One checkpoint to write.

    Args:
        kind, number: as for `write_checkpoint`.
        captured: the state; its memory stays untouched until it is written.
        tensors: those to write, if not the captured ones.
    """

    kind: str
    number: int
    captured: Captured
    tensors: dict[str, Tensor] | None = None


class CheckpointWriter:
    """Writes checkpoints one behind the other in a thread of its own; never are two orders under way.

    Used as a context, it waits at the end for what is under way, whatever ended the training. What went wrong in
    the thread is raised by the next call of `write` or `wait`, and at the end of the context; another error than an
    interrupt that ended it is not replaced, but told of this in a note.

    Args:
        folder: of the checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._under_way: Future[None] | None = None
        self._held: list[Captured] = []
        self.seconds = 0.0

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self._under_way is not None and not self._under_way.done()

    def held(self) -> set[int]:
        """The ids of the copies, of states and of best weights, that are still being read."""
        if not self.busy:
            self._held = []
        return {id(copy) for one in self._held for copy in (one.state, one.best)}

    def write(self, orders: Sequence[WriteOrder]) -> None:
        """Begin to write checkpoints in this order; each keeps the newest two of its kind.

        Raises:
            CheckpointError: what was under way before could not be written.
        """
        self.run(self._write, list(orders))
        self._held = [order.captured for order in orders]

    def run(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do something else in the thread, after waiting for what is under way."""
        self.wait()
        self._under_way = self._thread.submit(work, *arguments)

    def wait(self) -> None:
        """Wait for what is under way.

        Raises:
            CheckpointError: it could not be written.
        """
        if self._under_way is None:
            return
        under_way = self._under_way
        # kept until it is done, so that an interrupt while waiting loses nothing
        under_way.exception()
        self._under_way, self._held = None, []
        under_way.result()

    def remove_from(self, kind: str, number: int) -> None:
        """Remove checkpoints of a kind from a number on. Raises CheckpointError where one cannot be."""
        self.wait()
        remove_from(self._folder, kind, number)

    def _write(self, orders: list[WriteOrder]) -> None:
        began = time.perf_counter()
        for order in orders:
            order.captured.wait()
            tensors = order.captured.tensors if order.tensors is None else order.tensors
            write_checkpoint(self._folder, order.kind, order.number, tensors, order.captured.values)
            remove_older(self._folder, order.kind, keep=KEPT_OF_A_KIND)
        self.seconds = time.perf_counter() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except Exception as failure:
            # an interrupt says that the state is saved, which then is not true
            if error is None or isinstance(error, KeyboardInterrupt):
                raise
            error.add_note(f"besides, a checkpoint could not be written: {failure}")
        finally:
            self._thread.shutdown(wait=True)


class Capturable(Protocol):
    """A training's state, as far as its checkpoints are concerned."""

    @property
    def copies(self) -> SnapshotBuffers: ...

    @property
    def position(self) -> Place: ...

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]: ...

    def can_capture(self, kept: Collection[int]) -> bool: ...

    def capture(self, kept: Collection[int] = ()) -> Captured: ...


class StateKeeper:
    """Captures the state of a training and hands it to the writer, each state once.

    Args:
        state: of the training.
        writer: of its checkpoints.
        steps: an epoch has.
        writes: whether this process writes.
        whole: tensors of this process → those for the checkpoint, where several processes share them.
    """

    def __init__(
        self,
        state: Capturable,
        writer: CheckpointWriter,
        steps: int,
        *,
        writes: bool = True,
        whole: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    ) -> None:
        self.state, self.writer, self.steps = state, writer, steps
        self.writes, self.whole = writes, whole
        self.held = writer.held
        self._reserved = self._reserving = False
        self._written: dict[str, int] = {}

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is under way."""
        return self.writer.busy

    @property
    def writing_seconds(self) -> float:
        """How long the checkpoint before took to write."""
        return self.writer.seconds

    def reserve(self) -> None:
        """At the first step, when the optimizer's state is there: see that it can be kept, and set memory aside.

        Raises:
            ValueError: the model or the optimizer has something that a checkpoint cannot hold.
        """
        if self._reserved:
            return
        self._reserved = self._reserving = True
        tensors, _ = self.state.parts()
        for name, tensor in tensors.items():
            check_storable(name, tensor)
        self.writer.run(self.state.copies.reserve, tensors, 2 if self.writes else 1)

    def capture(self) -> Captured:
        """A copy of the state; waits for the writer where it still reads both of the two copies there are."""
        if self._reserving or not self.state.can_capture(self.held()):
            # memory that is being set aside is not yet for use
            self.writer.wait()
            self._reserving = False
        return self.state.capture(self.held())

    def write(self, *captures: tuple[str, Captured | None]) -> None:
        """Hand states of these kinds to the writer, but those that were written before."""
        orders = []
        for kind, captured in captures:
            if captured is None:
                continue
            number = captured.values["epoch"] * self.steps + captured.values["step"]
            if self._written.get(kind) != number:
                self._written[kind] = number
                tensors = None if self.whole is None else self.whole(captured.tensors)
                orders.append(WriteOrder(kind, number, captured, tensors))
        if orders and self.writes:
            self.writer.write(orders)

    def drop_epoch(self, kind: str) -> None:
        """Remove checkpoints of a kind from the epoch that the state is in on; what is under way is waited for.

        Raises:
            CheckpointError: one could not be written before, or not be removed.
        """
        self.writer.wait()
        self._written.pop(kind, None)
        if self.writes:
            self.writer.remove_from(kind, self.state.position.epoch * self.steps)

    def write_now(self, kind: str, captured: Captured) -> None:
        """Write a state and wait until it is on the disk, also in the place of one that was written before."""
        self._written.pop(kind, None)
        self.write((kind, captured))
        self.writer.wait()
