"""What options are made of: sections, values that flambeau may choose, names that may also be a person's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


def auto_is_none(value: Any) -> Any:
    """The word "auto" leaves a choice to flambeau, as leaving it out does."""
    return None if value == "auto" else value


T = TypeVar("T")
Auto = Annotated[T | None, BeforeValidator(auto_is_none)]


@dataclass(frozen=True)
class OneOf:
    """One of some names, or a part of a person's own, such as "file.py:Class".

    Args:
        names: what flambeau brings.
        own: what stands for a person's own in messages; "" where there is no such thing.
    """

    names: tuple[str, ...]
    own: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def check(self, name: str) -> str:
        """The name, where it is one. Raises ValueError for another."""
        if name not in self.names and not (self.own and is_own(name)):
            raise ValueError(f"expected {self.words()}, got {name!r}")
        return name

    def words(self) -> str:
        """All of them, for messages."""
        known = [*self.names, *([self.own] if self.own else [])]
        return ", ".join(known[:-1]) + " or " + known[-1]


def is_own(name: str) -> bool:
    """Whether a name means a part in a person's own file: "file.py:Name"."""
    file, colon, part = name.rpartition(":")
    return bool(colon) and file.endswith(".py") and part.isidentifier()


class Section(BaseModel):
    """A group of options. Unknown keys and values of another type are refused, never converted."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        validate_assignment=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
