"""Where records go: to the listener at once, and to the run's log as soon as the run has a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psutil

from flambeau.records import RunFolder
from flambeau.schema import Finding

Listener = Callable[[dict[str, Any]], None]


class Journal:
    """Hands every record on, with the seconds since the start.

    Args:
        listener: such as the terminal.
        seconds_before: of earlier parts of a run that is resumed.
    """

    def __init__(self, listener: Listener, seconds_before: float = 0.0) -> None:
        self._listener = listener
        self._started = time.monotonic() - seconds_before
        self._run: RunFolder | None = None
        self._waiting: list[dict[str, Any]] = []

    @property
    def seconds(self) -> float:
        """Seconds since the run began, pauses left out."""
        return time.monotonic() - self._started

    def attach(self, run: RunFolder) -> None:
        """From now on, and for all that was told so far, keep a log in the run's folder."""
        self._run = run
        for record in self._waiting:
            run.append(record)
        self._waiting.clear()

    def __call__(self, record: dict[str, Any]) -> None:
        """Tell and log one record."""
        timed = {**record, "time": round(self.seconds, 3)}
        if record["kind"] in ("step", "epoch"):
            timed["memory_gb"] = round(psutil.Process().memory_info().rss / 1e9, 2)
        self._listener(timed)
        if self._run is not None:
            self._run.append(timed)
        else:
            self._waiting.append(timed)

    def stage(self, name: str, text: str) -> None:
        """What is happening now."""
        self({"kind": "stage", "name": name, "text": text})

    def note(self, text: str) -> None:
        """A sentence for the user."""
        self({"kind": "note", "text": text})

    def choice(self, key: str, value: Any, reason: str) -> None:
        """A value that flambeau chose."""
        self({"kind": "choice", "key": key, "value": value, "reason": reason})

    def finding(self, finding: Finding) -> None:
        """Something that the reader or the check noticed."""
        self({"kind": "finding", **finding.to_json()})
