"""The quick way of rows to arrays gives exactly what the usual way gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flambeau.data.tables.rows import rows_as_columns
from flambeau.data.tables.spelling import MISSING_SPELLINGS
from flambeau.deploy.serve.rows import quick_columns
from flambeau.errors import DataError
from flambeau.schema import Column, Schema

KINDS = ("number", "boolean", "category", "date")
SCHEMA = Schema("table", "regression", "y", (), tuple(Column(kind, kind) for kind in KINDS))  # type: ignore[arg-type]

SPELLINGS = st.sampled_from(
    [
        *MISSING_SPELLINGS,
        *("yes", "No", "TRUE", "01.50", "1e3", "-0.0", "1,000", "+7", " red ", "red\u2003", "\x1cred"),
        *("2020-02-03", "2020-02-03T10:00:00Z", "\u200bred", "rot\u00a0", "9" * 400, "Ünïcode", "日本"),
    ]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**320), 10**320),
    st.floats(),
    SPELLINGS,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
ROWS = st.lists(st.fixed_dictionaries(dict.fromkeys(KINDS, VALUES)), min_size=1, max_size=4)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype == object:
        return one.tolist() == other.tolist()
    return one.tobytes() == other.tobytes() or bool(np.array_equal(one, other, equal_nan=True))


@settings(max_examples=300, deadline=None)
@given(rows=ROWS)
@example(rows=[dict.fromkeys(KINDS, value) for value in (1, 1.0, True, "1", -0.0)])
@example(rows=[dict.fromkeys(KINDS, value) for value in (float("inf"), float("nan"), 5e-324, 10**400)])
def test_arrays_are_the_same(rows: list[dict[str, Any]]) -> None:
    usual, quick = rows_as_columns(rows, SCHEMA), quick_columns(rows, SCHEMA)
    assert list(usual) == list(quick)
    assert [name for name in usual if not same(usual[name], quick[name])] == []


def test_columns_that_no_row_has_are_told() -> None:
    with pytest.raises(DataError, match="1 more column"):
        quick_columns([{"number": 1, "boolean": 1, "date": None}], SCHEMA)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        quick_columns([{**dict.fromkeys(KINDS), "category": "\ud800"}], SCHEMA)
