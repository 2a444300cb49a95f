"""Progress of the training: one line that moves on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from flambeau.cli.moving import BAR_WIDTH, MovingLine, bar
from flambeau.cli.words import clock, counted, duration, number
from flambeau.evaluation.wording import metric_name

PLAIN_SECONDS = 2.0


class Progress:
    """What is known of the training that goes on, from its `epoch` and `step` records.

    Args:
        console: where to print.
        moving: whether a line may be drawn over itself.
        now: a clock in seconds.
    """

    def __init__(self, console: Console, moving: bool, now: Callable[[], float] = time.monotonic) -> None:
        self._moving_line = MovingLine(console)
        self._moving = moving
        self._now = now
        self._facts: dict[str, Any] = {}
        self._best: dict[str, Any] = {}
        self._last_epoch: dict[str, Any] = {}
        self._seconds = 0.0
        self._printed = 0.0

    def step(self, record: Mapping[str, Any]) -> None:
        """Take in a `step` record."""
        self._begin(record)
        self._facts.update(record)
        self._draw()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Take in an `epoch` record."""
        self._begin(record)
        self._facts.update(record, step=record.get("steps", 1), steps=record.get("steps", 1))
        self._last_epoch = dict(record)
        self._seconds += record.get("seconds") or 0.0
        if record.get("best"):
            self._best = dict(record)
        if self._moving:
            self._draw()
            return
        if self._now() - self._printed >= PLAIN_SECONDS:
            self._printed = self._now()
            self._moving_line.print_above("  ".join(self._plain_parts(record)))

    def end(self) -> None:
        """Take the moving line away and leave one line that sums up the epochs, if there were any."""
        self.clear()
        if self._last_epoch:
            self._moving_line.print_above(self._summary())
        self._facts, self._best, self._last_epoch, self._seconds = {}, {}, {}, 0.0

    def clear(self) -> None:
        """Take the moving line away and give the cursor back."""
        self._moving_line.clear()

    def _begin(self, record: Mapping[str, Any]) -> None:
        if self._facts and self._facts.get("stage") != record.get("stage"):
            self.end()
        if not self._facts:
            # A training that is over before the first line is due needs no line but its summary.
            self._printed = self._now()

    def _draw(self) -> None:
        if self._moving:
            self._moving_line.draw(self._line(self._moving_line.width))

    def _line(self, width: int) -> Text:
        """The moving line; what matters least is left out where it does not fit."""
        facts = self._facts
        epoch, epochs = facts.get("epoch", 0), max(facts.get("epochs", 1), 1)
        part = facts.get("step", 0) / max(facts.get("steps") or 1, 1)
        done = min((max(epoch - 1, 0) + part) / epochs, 1.0)
        essential = [facts["stage"]] if facts.get("stage") else []
        essential.append(f"epoch {epoch}/{epochs}")
        essential += self._measures(facts, ("loss",)) + self._score(facts)
        optional = []
        if facts.get("seconds_left") is not None:
            optional.append(f"{clock(facts['seconds_left'])} left")
        optional += self._speed(facts)
        shown = essential
        for wanted in optional:
            if cell_len("  ".join([*shown, wanted])) + 2 <= width:
                shown = [*shown, wanted]
        text = Text("  ")
        if cell_len("  ".join(shown)) + BAR_WIDTH + 4 <= width:
            text.append_text(bar(done))
        text.append("  ".join(shown))
        text.truncate(width)
        return text

    def _plain_parts(self, record: Mapping[str, Any]) -> list[str]:
        epochs = str(record.get("epochs", ""))
        parts = [str(record.get("stage", "")), f"epoch {record.get('epoch', 0):>{len(epochs)}}/{epochs}"]
        losses = ("loss",) if record.get("valid_loss") == record.get("score") else ("loss", "valid_loss")
        parts += self._measures(record, losses) + self._score(record) + self._speed(record)
        if record.get("seconds_left") is not None:
            parts.append(f"{clock(record['seconds_left'])} left")
        return [part for part in parts if part]

    def _summary(self) -> str:
        last = self._last_epoch
        text = f"{counted(last.get('epoch', 0), 'epoch')} in {duration(self._seconds)}"
        if last.get("stage"):
            text = f"{last['stage']}  {text}"
        if self._best.get("score") is not None:
            text += f"; best {self._score(self._best)[0]} at epoch {self._best['epoch']}"
        return text

    @staticmethod
    def _measures(record: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
        return [
            f"{name.replace('_', ' ')} {number(record[name])}"
            for name in names
            if record.get(name) is not None
        ]

    @staticmethod
    def _score(record: Mapping[str, Any]) -> list[str]:
        if record.get("score") is None:
            return []
        return [f"{metric_name(record.get('metric') or 'score')} {number(record['score'])}"]

    @staticmethod
    def _speed(record: Mapping[str, Any]) -> list[str]:
        parts = []
        if record.get("samples_per_second"):
            parts.append(f"{record['samples_per_second']:,.0f} samples/s")
        if record.get("memory_gb"):
            parts.append(f"{record['memory_gb']:.1f} GB")
        return parts
