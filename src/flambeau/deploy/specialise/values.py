"""What is known of a value before a script runs: a constant, anything but None, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Value:
    """A point of the lattice nothing yet < constant < not None < unknown."""

    level: int
    constant: Any = None

    @property
    def is_constant(self) -> bool:
        """Whether it is one known value."""
        return self.level == 1

    @property
    def is_some(self) -> bool:
        """Whether it is surely not None."""
        return self.level == 2 or (self.level == 1 and self.constant is not None)

    def same(self, other: Value) -> bool:
        """Equal in type too: 0, 0.0 and False differ."""
        return self.level == other.level and describe(self.constant) == describe(other.constant)

    def join(self, other: Value) -> Value:
        """What holds if the value is one or the other."""
        if self.level == 0 or self.same(other):
            return other
        if other.level == 0:
            return self
        return SOME if self.is_some and other.is_some else UNKNOWN


@dataclass(frozen=True)
class Device:
    """A torch.device of a known type."""

    type: str


NOTHING = Value(0)
SOME = Value(2)
UNKNOWN = Value(3)


def constant(value: Any) -> Value:
    """A known value."""
    return Value(1, value)


def describe(value: Any) -> str:
    """A text that differs for values of different types."""
    if isinstance(value, tuple):
        return f"({', '.join(describe(part) for part in value)})"
    return f"{type(value).__name__} {value!r}"


def truth_of(value: Value) -> bool | None:
    """Whether it counts as true; None if that is not known."""
    return bool(value.constant) if value.is_constant and not isinstance(value.constant, Device) else None
