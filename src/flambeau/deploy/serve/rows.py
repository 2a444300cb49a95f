"""Rows that came as JSON to the arrays that preparation takes: the same arrays as `rows_as_columns`, sooner.

Arrow costs some 60 µs a column whatever its length, which is most of the time of a request with one row. Plain
numbers and plain words need none of it; every other value goes through `column_values` as everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from flambeau.data.pictures.paths import picture_values
from flambeau.data.tables.rows import require_inputs
from flambeau.data.tables.spelling import MISSING_SPELLINGS, spell_category, spell_value
from flambeau.data.tables.table import column_values
from flambeau.schema import Column, Schema

LONGEST_PLAIN_TEXT = 200
_NUMBERS = {int, float, type(None)}
_PLAIN = {*_NUMBERS, bool, str}
_MISSING = frozenset(MISSING_SPELLINGS)


def quick_columns(rows: Sequence[Mapping[str, Any]], schema: Schema) -> dict[str, np.ndarray]:
    """Rows as the arrays of every used column: exactly those of `flambeau.data.tables.rows.rows_as_columns`.

    Raises:
        DataError: no row has a value for a column that the model needs.
        UnicodeEncodeError: a text holds half of a surrogate pair.
    """
    require_inputs(schema, list(dict.fromkeys(name for row in rows for name in row)))
    return {
        column.name: _values([row.get(column.name) for row in rows], column) for column in schema.used_columns
    }


def _values(values: list[Any], column: Column) -> np.ndarray:
    if column.kind == "image":
        return picture_values(values, column.name)
    types = set(map(type, values))
    found: np.ndarray | None = None
    if column.kind == "number" and types <= _NUMBERS:
        found = _numbers(values)
    elif column.kind == "boolean" and types <= {*_NUMBERS, bool}:
        found = np.array([1.0 if value == 1 else 0.0 if value == 0 else np.nan for value in values])
    elif column.kind == "category" and types <= _PLAIN:
        found = _categories(values)
    return column_values(values, column.kind, column.date_format) if found is None else found


def _numbers(values: list[Any]) -> np.ndarray | None:
    try:
        numbers = np.array(values, dtype=np.float64)  # None becomes NaN
    except OverflowError:  # an integer beyond all floats
        return None
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _categories(values: list[Any]) -> np.ndarray | None:
    spelled = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        text = value if type(value) is str else spell_value(value)
        if text is None:
            continue
        if not _is_plain(text):
            return None
        spelled[place] = _spelled(text)
    return spelled


def _is_plain(text: str) -> bool:
    """Whether arrow and Python agree on where its white space is: at its ends there is none."""
    return len(text) <= LONGEST_PLAIN_TEXT and text.isprintable() and text[:1] != " " and text[-1:] != " "


@lru_cache(maxsize=4096)
def _spelled(text: str) -> str | None:
    return None if text in _MISSING else spell_category(text)
