"""What is strange about an input, in sentences, and of which kind, so that it can be counted: drift shows as a rise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from flambeau.data.spelling import MISSING_SPELLINGS
from flambeau.schema import Column, Schema
from flambeau.transforms.table import UNKNOWN, TablePreparation

StrangeKind = Literal["range", "category", "unreadable", "far"]
KINDS: tuple[StrangeKind, ...] = ("range", "category", "unreadable", "far")
Strange = list[tuple[StrangeKind, str]]
FAR = "it is unlike the data that the model was trained on, so the answer may be worth little"
_LONGEST_SHOWN = 60


class TableWatch:
    """Compares rows with what the schema and the preparation know of the training rows.

    Args:
        schema: with the range of each number and the known values of each category.
        preparation: its vocabularies tell which categories the model knows.
    """

    def __init__(self, schema: Schema, preparation: TablePreparation) -> None:
        self.columns = schema.used_columns
        self.vocabularies = {feature.column: feature for feature in preparation.categories}

    def look(
        self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, np.ndarray], found: list[Strange]
    ) -> None:
        """Add to `found`, one list a row, what is strange about the rows and their arrays."""
        for column in self.columns:
            values = columns[column.name]
            if column.kind == "category":
                self._categories(column, values, found)
                continue
            missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
            for row in np.flatnonzero(missing).tolist():
                if not _is_missing(given := rows[row].get(column.name)):
                    what = {"date": "date", "boolean": "yes or no"}.get(column.kind, "number")
                    sentence = f"'{column.name}' is {_shown(given)}, which is no {what} and counts as missing"
                    found[row].append(("unreadable", sentence))
            if column.low is not None and column.high is not None:
                for row in np.flatnonzero((values < column.low) | (values > column.high)).tolist():
                    sentence = (
                        f"'{column.name}' is {values[row]:g}, outside of {column.low:g} to {column.high:g} "
                        "where the model was trained"
                    )
                    found[row].append(("range", sentence))

    def _categories(self, column: Column, values: np.ndarray, found: list[Strange]) -> None:
        vocabulary = self.vocabularies.get(column.name)
        if vocabulary is None:
            return
        for row in np.flatnonzero(vocabulary.encode(values) == UNKNOWN).tolist():
            if values[row] is not None and values[row] not in column.values:
                sentence = f"'{column.name}' is {_shown(values[row])}, which the model was not trained on"
                found[row].append(("category", sentence))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in MISSING_SPELLINGS)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
