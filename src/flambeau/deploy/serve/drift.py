"""What is strange about an input, of which kind, so that it can be counted: drift shows as a rise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flambeau.deploy.familiar.strange import FAR, KINDS, StrangeKind, Strangeness, is_missing
from flambeau.schema import Schema
from flambeau.transforms.table import TablePreparation

__all__ = ["FAR", "KINDS", "Strange", "StrangeKind", "TableWatch"]

Strange = list[tuple[StrangeKind, str]]


class TableWatch:
    """Compares rows with what the schema and the preparation know of the training rows.

    Args:
        schema: with the range of each number and the known values of each category.
        preparation: its vocabularies tell which categories the model knows.
    """

    def __init__(self, schema: Schema, preparation: TablePreparation) -> None:
        unread = ("category", "image", "text")
        self._read = [column.name for column in schema.used_columns if column.kind not in unread]
        self._strangeness = Strangeness(schema.columns, preparation)

    def look(
        self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, np.ndarray], found: list[Strange]
    ) -> None:
        """Add to `found`, one list a row, what is strange about the rows and their arrays."""
        unread = {}
        for name in self._read:
            values = columns[name]
            nothing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
            for row in np.flatnonzero(nothing).tolist():
                nothing[row] = not is_missing(rows[row].get(name))
            unread[name] = nothing
        for oddity in self._strangeness.find(columns, unread):
            found[oddity.row].append((oddity.kind, oddity.sentence))
