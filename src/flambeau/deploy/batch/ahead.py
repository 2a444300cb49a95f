"""An iterator that runs in a thread of its own, a few values ahead of who takes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, Self, TypeVar

Value = TypeVar("Value")
_TRIES_EVERY_SECONDS = 0.1


class Ahead(Generic[Value]):
    """Takes values from an iterator in a thread. Leaving the block ends the thread and closes the iterator.

    Args:
        values: taken from in the thread only.
        depth: how many values wait at most.
    """

    def __init__(self, values: Iterator[Value], depth: int = 1) -> None:
        self._values = values
        self._waiting: queue.Queue[tuple[Value | None, BaseException | None]] = queue.Queue(depth)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Value]:
        while True:
            value, error = self._waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield value  # type: ignore[misc]  # a value that came without an error is one of the iterator's

    def _run(self) -> None:
        error: BaseException = StopIteration()
        try:
            for value in self._values:
                if not self._put((value, None)):
                    break
        except BaseException as raised:  # it is raised again where the values are taken
            error = raised
        finally:
            close = getattr(self._values, "close", None)
            if close is not None:
                close()
        self._put((None, error))

    def _put(self, item: tuple[Value | None, BaseException | None]) -> bool:
        """Wait for room; False once nobody takes values any more."""
        while not self._left.is_set():
            try:
                self._waiting.put(item, timeout=_TRIES_EVERY_SECONDS)
            except queue.Full:
                continue
            return True
        return False
