"""Models that are asked for something instead of being shown samples: what a request may say, and its way to an answer.

A request is cut into steps, each short enough for the one model thread that all requests share: a question, a block of
a prompt, sixteen tokens of a text, a block of pictures. Between two of those that take longer than a question others
have their turn, and a text whose client has left is not written on.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, create_model
from pydantic import Field as Described

from flambeau.deploy.serve.drift import Strange
from flambeau.deploy.serve.limits import TEXT_LETTERS, RefusalError
from flambeau.errors import did_you_mean

FREE: Strange = []
LARGEST_SEED = 2**53 - 1  # every program's JSON has integers up to here
_KINDS = {"text": "a text", "whole": "a whole number", "number": "a number", "yes": "true or false"}


@dataclass(frozen=True)
class Field:
    """One field of a request.

    Args:
        name: as it stands in the JSON.
        kind: of its value.
        meaning: in words.
        default: what stands for an absent one or null; None where it must be there.
        low, high: of a number; of a text, `high` is the most characters.
    """

    name: str
    kind: Literal["text", "whole", "number", "yes"]
    meaning: str
    default: str | float | bool | None = None
    low: float = 0
    high: float = math.inf

    def read(self, value: Any, where: str) -> Any:
        """The value as it is meant. Raises RefusalError: 413 for a text that is too long, else 422."""
        if value is None and self.default is not None:
            return self.default
        types = {"text": str, "whole": int, "number": (int, float), "yes": bool}[self.kind]
        if not isinstance(value, types) or (isinstance(value, bool) and self.kind != "yes"):  # type: ignore[arg-type]
            what = "is missing" if value is None else f"is not {_KINDS[self.kind]}"
            raise RefusalError(
                422,
                f"'{self.name}' {what}",
                where=where,
                got=None if value is None else type(value).__name__,
                expected=_KINDS[self.kind],
            )
        if self.kind == "text":
            if len(value) > self.high:
                raise RefusalError(
                    413,
                    "a text is too long",
                    where=f"{where}, '{self.name}'",
                    got=f"{len(value):,} characters",
                    expected=f"at most {self.high:,.0f}",
                )
        elif self.kind != "yes" and not self.low <= value <= self.high:
            raise RefusalError(
                422,
                f"'{self.name}' is out of range",
                where=where,
                got=f"{value:g}" if abs(value) < 1e15 else "a number far beyond",
                expected=f"{self.low:,g} to {self.high:,.15g}",
            )
        return value

    def described(self) -> tuple[Any, Any]:
        """Its type and its description, for OpenAPI."""
        kind: Any = {"text": str, "whole": int, "number": float, "yes": bool}[self.kind]
        limits: dict[str, Any] = {}
        if self.kind == "text":
            limits = {"max_length": int(self.high)}
        elif self.kind != "yes":
            limits = {"ge": self.low, "le": self.high}
        told = Described(default=... if self.default is None else self.default, description=self.meaning)
        return Annotated[kind, Described(**limits)], told


class Asked(ABC):
    """How one kind of model is asked.

    Attributes:
        fields: of a request.
        rows: requests in one body.
    """

    fields: tuple[Field, ...]
    rows: int

    @property
    @abstractmethod
    def example(self) -> dict[str, Any]:
        """A request that can be answered."""

    @abstractmethod
    def answer_fields(self) -> dict[str, Any]:
        """Name → (type, description) of an answer, for OpenAPI."""

    @abstractmethod
    def steps(self, row: Mapping[str, Any]) -> list[Any]:
        """The steps of one request, as `answer` takes them, at least one."""

    @abstractmethod
    def alone(self, step: Any) -> bool:
        """Whether this step is long enough for a batch of its own, behind which others have their turn."""

    @abstractmethod
    def progress(self, results: Sequence[Any], steps: Sequence[Any]) -> str:
        """What is made so far, in words, where some steps of a body have results; "" where nothing is.

        Where there is no more time, the client is told this, since another try would end in the same way.
        """

    @abstractmethod
    def answer(self, steps: Sequence[Any]) -> tuple[list[Any], np.ndarray, list[Strange]]:
        """Do some steps, in the model's thread.

        Returns:
            A result for each step; what is counted of each: tokens, pictures, or whether there was an answer; and
            what is strange about the request that it is of.
        """

    @abstractmethod
    def finish(self, results: Sequence[Any]) -> dict[str, Any]:
        """The answer to one request, from the results of its steps."""

    def read(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Requests with every field, absent ones by their defaults. Raises RefusalError 413 or 422."""
        known = [field.name for field in self.fields]
        for number, row in enumerate(rows, start=1):
            for name in row:
                if name not in known:
                    raise RefusalError(
                        422,
                        "this model is not asked so",
                        where=f"row {number}",
                        got=f"'{name[:60]}'",
                        expected=", ".join(known),
                        hint=did_you_mean(name[:60], known),
                    )
        read = [
            {field.name: field.read(row.get(field.name), f"row {number}") for field in self.fields}
            for number, row in enumerate(rows, start=1)
        ]
        self.check(read)
        return read

    @abstractmethod
    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise RefusalError where all requests of one body together ask for too much."""

    def parts(self, number: int) -> tuple[type[BaseModel], type[BaseModel]]:
        """The request and the answer in OpenAPI; `number` tells models apart."""
        fields: dict[str, Any] = {field.name: field.described() for field in self.fields}
        row: type[BaseModel] = create_model(f"Row{number}", __config__=ConfigDict(extra="forbid"), **fields)
        return row, create_model(f"Answer{number}", **self.answer_fields())

    def describe(self) -> list[dict[str, Any]]:
        """The fields as plain values."""
        return [
            {
                "name": field.name,
                "kind": _KINDS[field.kind],
                "meaning": field.meaning,
                "default": field.default,
            }
            for field in self.fields
        ]


def seed_field(what: str) -> Field:
    """The seed of whatever is drawn."""
    return Field("seed", "whole", f"Equal seeds make equal {what}.", 0, 0, LARGEST_SEED)


def too_much(what: str, got: str, expected: str, hint: str) -> RefusalError:
    """413: the requests of one body together ask for more than it may."""
    return RefusalError(413, what, got=got, expected=expected, hint=hint)


def takes_too_long(made: str, seconds: float) -> RefusalError:
    """413 without a time for another try, which would do the same work: what is asked for cannot be made in time."""
    return too_much(
        "the answer takes too long",
        f"{made} in {seconds:g} seconds",
        "what can be made in that time",
        "ask for less at once, or again when the server has less to do",
    )


QUESTION = Field("question", "text", "What is asked.", None, high=TEXT_LETTERS)
