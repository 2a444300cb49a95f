"""A server and a batch tell the same of the same rows, in one wording."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flambeau.data.tables.rows import rows_as_columns
from flambeau.deploy.batch.strange import tell_rows
from flambeau.deploy.familiar.strange import Strangeness
from flambeau.deploy.serve.drift import Strange, TableWatch
from flambeau.schema import Column, Schema
from flambeau.transforms.table import TablePreparation, fit_table

KNOWN = ("red", "blue")
SCHEMA = Schema(
    "table",
    "regression",
    "price",
    columns=(
        Column("a", "number", low=0.0, high=10.0),
        Column("often", "number", low=0.0, high=10.0),
        Column("sold", "date", low=0.0, high=10.0),
        Column("colour", "category", values=KNOWN),
    ),
)


@pytest.fixture(scope="module")
def preparation() -> TablePreparation:
    columns = {
        "a": np.linspace(0, 10, 20),
        "often": np.where(np.arange(20) % 4 == 0, np.nan, 5.0),
        "sold": np.datetime64("2001-01-01", "s") + np.arange(20),
        "colour": np.array([*KNOWN] * 10, dtype=object),
    }
    return fit_table(columns, {column.name: column.kind for column in SCHEMA.columns})


PLAIN = {"a": 1, "often": 2, "sold": "2001-01-01", "colour": "red"}


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({}, []),
        ({"a": None}, ["missing"]),
        ({"a": "NA", "often": None}, ["missing"]),
        ({"a": "many"}, ["unreadable"]),
        ({"a": 11, "colour": "mauve"}, ["range", "category"]),
        ({"colour": None, "sold": "soon"}, ["unreadable", "missing"]),
    ],
)
def test_both_rooms_tell_the_same(
    preparation: TablePreparation, change: dict[str, Any], kinds: list[str]
) -> None:
    rows = [PLAIN, {**PLAIN, **change}]
    columns = rows_as_columns(rows, SCHEMA)
    served: list[Strange] = [[], []]
    TableWatch(SCHEMA, preparation).look(rows, columns, served)
    assert served[0] == [] and [kind for kind, _ in served[1]] == kinds
    unread = {
        name: np.array([False, change.get(name) in ("many", "soon")]) for name in ("a", "often", "sold")
    }
    _, codes = preparation.transform(columns)
    found = Strangeness(SCHEMA.columns, preparation).find(columns, unread, codes)
    assert tell_rows(found, 2) == [None, "; ".join(sentence for _, sentence in served[1]) or None]
