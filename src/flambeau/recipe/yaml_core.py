"""YAML 1.2 (core schema) on PyYAML: plain values with the line and column of each, within safe limits.

PyYAML follows YAML 1.1, where `1e-3` is text, `no` is false and `1:30` is 90. Here a number is what looks
like one, and only `true` and `false` are booleans.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from flambeau.errors import RecipeError

MAX_DEPTH = 20
MAX_NODES = 100_000

KeyPath = tuple[str | int, ...]
Place = tuple[int, int]


@dataclass
class Document:
    """One YAML document.

    Args:
        value: mappings as dict, sequences as list, scalars as str, int, float, bool or None.
        places: path → (line, column), both from 1, of each value.
        key_places: path → (line, column) of the key of each entry of a mapping.
        duplicates: (path, (line, column)) of each key that stands in its mapping a second time.
    """

    value: Any = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    key_places: dict[KeyPath, Place] = field(default_factory=dict)
    duplicates: list[tuple[KeyPath, Place]] = field(default_factory=list)


class CoreLoader(yaml.SafeLoader):
    """A PyYAML loader with the scalar rules of YAML 1.2's core schema and a limited depth."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own form
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As PyYAML's, which would recurse without end on a file of a million brackets."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"values are nested more than {MAX_DEPTH} deep",
                problem_mark=self.peek_event().start_mark,
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


# The tables of YAML 1.2.2, section 10.3.2. Numbers may have underscores nowhere.
for _tag, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def read_yaml(text: str, where: str) -> Document:
    """Read one YAML document.

    Args:
        text: the YAML.
        where: the file or option that it came from, for messages.

    Raises:
        RecipeError: not YAML, more than one document, nested or expanded beyond all sense, or of a type that
            plain YAML does not have.
    """
    try:
        loader = CoreLoader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise RecipeError(f"{place}: this is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: this is not YAML: {str(error).splitlines()[0]}") from error
    document = Document()
    if node is not None:
        document.value = _Reader(document, where).read(node, ())
    return document


class _Reader:
    """Turns nodes into values. Aliases are followed and counted: nine lines can ask for a billion nodes."""

    def __init__(self, document: Document, where: str) -> None:
        self.document = document
        self.where = where
        self.count = 0

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.count += 1
        if self.count > MAX_NODES or len(path) > MAX_DEPTH:
            raise RecipeError(f"{self.where}:{line}:{column}: aliases make this file too large to read")
        self.document.places.setdefault(path, (line, column))
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
            try:
                return _SCALARS[kind](node.value)
            except ValueError as error:  # `!!int x`, or more digits than Python reads
                raise RecipeError(
                    f"{self.where}:{line}:{column}: this is not a number of YAML: {error}"
                ) from error
        raise RecipeError(f"{self.where}:{line}:{column}: values of type '{node.tag}' are not read")

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            inner = (*path, key)
            place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in result:
                self.document.duplicates.append((inner, place))
                continue
            self.document.key_places.setdefault(inner, place)
            result[key] = self.read(value_node, inner)
        return result


def _integer(text: str) -> int:
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _float(text: str) -> float:
    # Python's float() knows YAML's .inf and .nan without their dot.
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": _float,
    "str": str,
}
