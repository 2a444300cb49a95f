"""Progress of a batch of predictions: one line that moves on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from flambeau.cli.moving import BAR_WIDTH, MovingLine, bar
from flambeau.cli.words import clock, counted

PLAIN_SECONDS = 10.0
MOVING_SECONDS = 0.1
RATE_SECONDS = 20.0


class PredictProgress:
    """What is known of the predictions that go on, from their `look`, `rows` and `join` records.

    Args:
        console: where to print.
        moving: whether a line may be drawn over itself.
        now: a clock in seconds.
    """

    def __init__(self, console: Console, moving: bool, now: Callable[[], float] = time.monotonic) -> None:
        self._line = MovingLine(console)
        self._moving = moving
        self._now = now
        self._kind = ""
        self._drawn = now()
        self._seen: deque[tuple[float, int]] = deque()

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Take in a record."""
        now = self._now()
        if record["kind"] != self._kind:
            self._kind = record["kind"]
            self._seen.clear()
            if self._kind == "rows" and record["done"]:
                self._line.print_above(
                    f"going on after {counted(record['done'], 'input')} of {record['total']:,}"
                )
        if self._kind == "rows":
            self._seen.append((now, record["done"]))
            while len(self._seen) > 2 and now - self._seen[0][0] > RATE_SECONDS:
                self._seen.popleft()
        if now - self._drawn < (MOVING_SECONDS if self._moving else PLAIN_SECONDS):
            return
        self._drawn = now
        if self._moving:
            self._draw(record)
        else:
            self._line.print_above("  ".join(self._parts(record)))

    def clear(self) -> None:
        """Take the moving line away and give the cursor back."""
        self._line.clear()

    def _draw(self, record: Mapping[str, Any]) -> None:
        text, words = Text("  "), "  ".join(self._parts(record))
        if record.get("total") and cell_len(words) + BAR_WIDTH + 4 <= self._line.width:
            text.append_text(bar(record["done"] / record["total"]))
        text.append(words)
        text.truncate(self._line.width)
        self._line.draw(text)

    def _parts(self, record: Mapping[str, Any]) -> list[str]:
        if record["kind"] == "look":
            found = f"{record['count']:,} found" if record["count"] else ""
            return [part for part in (f"looking through {record['name']}", found) if part]
        parts = [f"{record['done']:,} of {record['total']:,}"]
        if record["kind"] == "join":
            return [*parts, "written"]
        rate = self._rate()
        if rate:
            parts.append(f"{rate:,.0f} a second" if rate >= 10 else f"{rate:.1f} a second")
            parts.append(f"{clock((record['total'] - record['done']) / rate)} left")
        return parts

    def _rate(self) -> float:
        """Inputs a second over the last while; 0 where that is not known yet."""
        if len(self._seen) < 2:
            return 0.0
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began) if ended > began else 0.0
