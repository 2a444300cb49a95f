"""The recipe of one run while it is being resolved: what the person gave, what flambeau chose, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flambeau.recipe.options import Recipe

NO_EFFECT = "no effect"


class Choices:
    """A recipe whose open values are filled in one by one, each with its reason.

    Args:
        recipe: as the person gave it; copied.
        on_choice: called with (key, value, reason) for each value that flambeau chose.
    """

    def __init__(self, recipe: Recipe, on_choice: Callable[[str, Any, str], None] | None = None) -> None:
        self.recipe = recipe.model_copy(deep=True)
        self.reasons: dict[str, str] = {}
        self._on_choice = on_choice
        self._idle: tuple[tuple[str, str], ...] = ()

    def get(self, key: str) -> Any:
        """The value in force for a dotted key such as "training.optimizer.lr"."""
        value: Any = self.recipe
        for part in key.split("."):
            value = getattr(value, part)
        return value

    def choose(self, key: str, value: Any, reason: str) -> Any:
        """Fill in an open value and tell why; one that is there stays. Returns the value in force."""
        current = self.get(key)
        if current is not None:
            return current
        reason = next((f"{NO_EFFECT} {why}" for start, why in self._idle if key.startswith(start)), reason)
        return self.fix(key, value, reason)

    def idle(self, start: str, why: str) -> None:
        """Options whose keys begin so and that are open still do nothing in this run: "without steps"."""
        self._idle = (*self._idle, (start, why))

    @contextmanager
    def told_later(self) -> Iterator[None]:
        """What is chosen in this block is told at its end, behind what is read in it, and not where that fails."""
        tell = self._on_choice
        held: list[tuple[str, Any, str]] = []
        self._on_choice = lambda key, value, reason: held.append((key, value, reason))
        try:
            yield
        finally:
            self._on_choice = tell
        for one in held:
            if tell is not None:
                tell(*one)

    def fix(self, key: str, value: Any, reason: str) -> Any:
        """Set a value that only flambeau can know, such as epochs measured from `minutes`."""
        *path, last = key.split(".")
        section: Any = self.recipe
        for part in path:
            section = getattr(section, part)
        before = getattr(section, last)
        setattr(section, last, value)
        value = getattr(section, last)
        if key in self.reasons and before != value:
            # told once already, so it is said that this takes its place
            reason = f"instead of {before}: {reason}"
        self.reasons[key] = reason
        if self._on_choice is not None:
            self._on_choice(key, value, reason)
        return value
