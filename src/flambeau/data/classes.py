"""Classes and labels: their order, their encoding as numbers, and names that are spelled otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flambeau.data.tables.table import column_values
from flambeau.errors import DataError, did_you_mean
from flambeau.schema import Finding, Task

LABEL_SEPARATOR = "|"


def natural_key(text: str) -> tuple[Any, ...]:
    """Sort key under which numbers sort by value and "item 2" stands before "item 10"."""
    try:
        return (0, float(text), text)
    except ValueError:
        pieces = re.split(r"(\d+)", text)
        return (1, [(0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in pieces if p], text)


def split_labels(text: str) -> list[str]:
    """The labels of one sample, as in "red|round"."""
    return [part.strip() for part in text.split(LABEL_SEPARATOR) if part.strip()]


def encode_classes(
    words: Sequence[Sequence[str]], known: np.ndarray, classes: Sequence[str], task: Task
) -> np.ndarray:
    """Classes as indices, (n,) int64, or labels as 0 and 1, (n, labels) float32; zero where not known."""
    place = {name: index for index, name in enumerate(classes)}
    if task == "classification":
        values = np.zeros(len(known), dtype=np.int64)
        values[known] = [place[row[0]] for row in words]
        return values
    flags = np.zeros((len(known), len(classes)), dtype=np.float32)
    for position, row in zip(np.flatnonzero(known), words, strict=True):
        flags[position, [place[word] for word in row]] = 1
    return flags


def encode_flags(columns: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Columns of 0 and 1 (or words for them) as (n, labels) float32, and which rows are complete."""
    flags = []
    for name, column in columns.items():
        values = column_values(column, "boolean")
        strange = np.isnan(values) & np.array(
            [text is not None for text in column_values(column, "category")]
        )
        if strange.any():
            raise DataError(
                f"the column '{name}' is one of several targets, so it must hold 0 and 1",
                got=column_values(column, "category")[strange][0],
                expected="0 and 1, yes and no, or true and false",
            )
        flags.append(values)
    table = np.stack(flags, axis=1)
    known = ~np.isnan(table).any(axis=1)
    return np.nan_to_num(table).astype(np.float32), known


def match_names(
    words: set[str], classes: Sequence[str], target: str
) -> tuple[dict[str, str], tuple[Finding, ...]]:
    """Each word's class: equal, or equal but for case, or for a full stop at the end."""
    by_spelling = (
        {_loose(name): name for name in classes} if len({_loose(n) for n in classes}) == len(classes) else {}
    )
    names = {word: word if word in classes else by_spelling.get(_loose(word), "") for word in words}
    unknown = sorted((word for word, name in names.items() if not name), key=natural_key)
    if unknown:
        raise DataError(
            f"'{unknown[0]}' is not a class of this model"
            + (f", nor are {len(unknown) - 1} more" * (len(unknown) > 1)),
            where=target,
            expected=", ".join(classes[:20]),
            hint=did_you_mean(unknown[0], classes),
        )
    differing = sorted(f"'{word}' as '{name}'" for word, name in names.items() if word != name)
    if not differing:
        return names, ()
    return names, (
        Finding("warning", "class-spelling", "classes spelled otherwise were read " + ", ".join(differing)),
    )


def _loose(name: str) -> str:
    return name.strip().rstrip(".").strip().lower()
