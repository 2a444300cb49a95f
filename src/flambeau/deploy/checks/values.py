"""Whether the arguments of a model's description are of the types and sizes that its constructor means.

In Python 12.0 == 12 and True == 1, and a net with -2 heads can be made: what is wrong would show in the first answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flambeau.models.spec import ModelSpec

# Argument → the least it may be; the second row is of configurations of the library `transformers`.
LEAST = {
    "width": 1,
    "heads": 1,
    "depth": 0,
    "embedding_width": 1,
    "picture_width": 0,
    "bins": 0,
    "longest": 1,
    "hidden_size": 1,
    "num_attention_heads": 1,
    "num_hidden_layers": 0,
    "intermediate_size": 1,
    "dim": 1,
    "n_heads": 1,
    "n_layers": 0,
    "hidden_dim": 1,
    "max_position_embeddings": 1,
    "vocab_size": 1,
}
WIDTHS_OF_HEADS = {"heads": "width", "num_attention_heads": "hidden_size", "n_heads": "dim"}


def same_value(one: Any, other: Any) -> bool:
    """Whether two plain values are equal, their types too; a list equals a tuple."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)


def argument_faults(member: ModelSpec) -> dict[str, bool]:
    """Sentence → whether it is true, of the sizes of a model and of the nets in it; a person's own class has others."""
    groups = [] if member.name == "own" else list(_groups(member.arguments))
    few = [
        (key, group[key])
        for group in groups
        for key, least in LEAST.items()
        if group.get(key) is not None and not (type(group[key]) is int and group[key] >= least)
    ]
    told = f"{few[0][0]} {few[0][1]!r}"[:60] if few else ""
    return {
        f"a net of no size: {told}": bool(few),
        "heads that do not divide the width": not few
        and any(
            group.get(heads) and group.get(width) and group[width] % group[heads]
            for group in groups
            for heads, width in WIDTHS_OF_HEADS.items()
        ),
    }


def _groups(arguments: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The arguments of a model and of the nets inside it."""
    yield arguments
    for key in ("writer", "config"):
        if isinstance(inner := arguments.get(key), Mapping):
            yield inner
    for key in ("picture", "text"):
        inner = arguments.get(key)
        if isinstance(inner, Mapping) and isinstance(below := inner.get("arguments"), Mapping):
            yield from _groups(below)
