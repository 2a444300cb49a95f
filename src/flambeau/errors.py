"""What flambeau says when something is wrong: one tree of errors, each a small lesson.

    FlambeauError
    ├── UsageError     a command, option or argument that cannot be meant
    ├── RecipeError    an option of the recipe: unknown, of the wrong type, out of range
    ├── DataError      the data: missing, unreadable, of a shape that cannot be trained on
    ├── ModelError     a model: unknown, a module that does not fit the data, weights that do not match
    ├── DeviceError    a device that is absent or full
    └── RunError       a run's folder: absent, damaged, finished, or made from other data

The core of the package (what `eject` copies out) raises built-in exceptions; the rooms above it translate
them into these. The command line prints them without a traceback and leaves with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NEAR_STEM = 0.7


class FlambeauError(Exception):
    """An error that tells what, where, what was there, what was expected and what to type next.

    Args:
        what: one sentence, without a full stop at its end.
        where: the file, the folder, the key or the line that it is about.
        got: what was found there.
        expected: what would have been right.
        hint: a further sentence, such as the outcome of `did_you_mean`.
        command: the next command to type.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        got: object = None,
        expected: object = None,
        hint: str = "",
        command: str = "",
    ) -> None:
        self.what = what
        self.where = where
        self.got = got
        self.expected = expected
        self.hint = hint
        self.command = command
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        for label, value in (
            ("where", self.where),
            ("got", self.got),
            ("expected", self.expected),
            ("hint", self.hint),
            ("next", self.command),
        ):
            if value is not None and value != "":
                lines.append(f"  {label + ':':<10}{value}")
        return "\n".join(lines)


class UsageError(FlambeauError):
    """A command, option or argument that cannot be meant."""

    exit_code = 2


class RecipeError(FlambeauError):
    """An option of the recipe that is unknown, of the wrong type or out of range."""

    exit_code = 2


class DataError(FlambeauError):
    """Data that is missing, unreadable or of a shape that cannot be trained on."""


class ModelError(FlambeauError):
    """A model that is unknown, or that does not fit the data or the weights."""


class DeviceError(FlambeauError):
    """A device that is absent or full."""


class RunError(FlambeauError):
    """A run's folder that is absent, damaged, finished or made from other data."""


def nearest_file(name: str, beside: Iterable[str]) -> str:
    """Name the file that was probably meant; nothing where only the suffix is alike.

    >>> nearest_file("hauses.csv", ["houses.csv", "one.csv"]), nearest_file("nowhere.csv", ["one.csv"])
    ("did you mean 'houses.csv'?", '')
    """
    stem = name.partition(".")[0].lower()
    near = [
        one
        for one in beside
        if difflib.SequenceMatcher(None, stem, one.partition(".")[0].lower()).ratio() >= NEAR_STEM
    ]
    meant = did_you_mean(name, near)
    return meant if meant.startswith("did") else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Name the closest of the known words, or list them when few and none is close.

    >>> did_you_mean("prize", ["price", "area"])
    "did you mean 'price'?"
    """
    candidates = sorted({str(name) for name in known})
    by_lower = {name.lower(): name for name in candidates}
    close = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    if close:
        return f"did you mean '{by_lower[close[0]]}'?"
    if candidates and len(candidates) <= 12:
        return "known are: " + ", ".join(candidates)
    return ""
