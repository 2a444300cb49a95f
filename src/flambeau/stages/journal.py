"""Where records go: to the listener at once, and to the run's log as soon as the run has a folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from flambeau.records import RunFolder
from flambeau.schema import Finding

if sys.platform == "darwin":
    import resource

Listener = Callable[[dict[str, Any]], None]


def peak_resident_bytes() -> int:
    """The most memory that this process had at once; what it has now, where the system does not keep the most."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # getrusage would count the process from which this one was started
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)


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
        self._followers: list[Listener] = []

    @property
    def seconds(self) -> float:
        """Seconds since the run began, pauses left out."""
        return time.monotonic() - self._started

    def follow(self, follower: Listener) -> None:
        """From now on, hand every record to one more listener."""
        self._followers.append(follower)

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
            # that of the device, where the training told it
            timed.setdefault("memory_gb", round(peak_resident_bytes() / 1e9, 2))
        self._listener(timed)
        for follower in self._followers:
            follower(timed)
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


def go_on(run: RunFolder, listener: Listener, aside: str = "", kind: type[Journal] = Journal) -> Journal:
    """The journal of a run that is resumed: it counts the seconds from where the run was stopped, and logs at once.

    Args:
        run: that was stopped or killed.
        listener: such as the terminal.
        aside: behind the sentence that tells so.
        kind: of journal.
    """
    times = [record["time"] for record in run.read_log() if "time" in record]
    journal = kind(listener, seconds_before=max(times, default=0.0))
    journal.attach(run)
    journal.note(f"going on with {run.path}{aside}")
    return journal
