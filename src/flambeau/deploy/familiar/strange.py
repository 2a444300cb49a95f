"""What in a row is unlike the training rows, in one wording for a server and for a batch of predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flambeau.data.tables.spelling import MISSING_SPELLINGS
from flambeau.schema import Column
from flambeau.transforms.table import UNKNOWN, TablePreparation

StrangeKind = Literal["range", "category", "unreadable", "missing", "far"]
KINDS: tuple[StrangeKind, ...] = ("range", "category", "unreadable", "missing", "far")
FAR = "it is unlike the data that the model was trained on, so the answer may be worth little"

_LONGEST_SHOWN = 60
_WHAT = {"date": "date", "boolean": "yes or no"}


@dataclass(frozen=True)
class Oddity:
    """One strange thing.

    Args:
        row: position of the row.
        kind: of which sort it is, so that it can be counted.
        column: whose value it is.
        sentence: for the user.
    """

    row: int
    kind: StrangeKind
    column: str
    sentence: str


class Strangeness:
    """Finds numbers out of their range, unknown categories, missing and unreadable values.

    Args:
        columns: of the schema, with the range of each number and the known values of each category.
        preparation: fitted on training rows.
    """

    def __init__(self, columns: Sequence[Column], preparation: TablePreparation) -> None:
        self._columns = [column for column in columns if column.used and column.kind not in ("image", "text")]
        self._pictures = [one.column for one in preparation.pictures]
        self._often_missing = {f.column for f in preparation.numbers if f.part == "missing"}
        self._often_missing |= {f.column for f in preparation.categories if f.missing}
        self._features = {feature.column: feature for feature in preparation.categories}
        self._places = {name: place for place, name in enumerate(preparation.category_names)}

    def find(
        self,
        columns: Mapping[str, np.ndarray],
        unread: Mapping[str, np.ndarray],
        codes: np.ndarray | None = None,
    ) -> Iterator[Oddity]:
        """Everything strange, column by column.

        Args:
            columns: name → (rows,) raw values.
            unread: name → (rows,) whether something stands there that is not of the column's kind.
            codes: (rows, category columns) of the preparation; made here if None.
        """
        for name in self._pictures:
            for row in np.flatnonzero(unread.get(name, np.zeros(0, dtype=bool))).tolist():
                yield Oddity(row, "unreadable", name, unread_picture(name))
        for column in self._columns:
            values = columns[column.name]
            if column.kind == "category":
                yield from self._categories(column, values, codes)
                continue
            missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
            not_read = unread.get(column.name, np.zeros(len(values), dtype=bool))
            what = f"'{column.name}' is no {_WHAT.get(column.kind, 'number')} and counts as missing"
            for row in np.flatnonzero(not_read).tolist():
                yield Oddity(row, "unreadable", column.name, what)
            yield from self._range(column, values)
            yield from self._missing(column, missing & ~not_read)

    def _categories(self, column: Column, values: np.ndarray, codes: np.ndarray | None) -> Iterator[Oddity]:
        feature = self._features.get(column.name)
        if feature is None:
            return
        own = feature.encode(values) if codes is None else codes[:, self._places[column.name]]
        known = set(column.values)
        missing = np.zeros(len(values), dtype=bool)
        for row in np.flatnonzero(own == UNKNOWN).tolist():
            value = values[row]
            if value is None:
                missing[row] = True
            elif value not in known:
                sentence = f"'{column.name}' is {shown(value)}, which the model was not trained on"
                yield Oddity(row, "category", column.name, sentence)
        yield from self._missing(column, missing)

    def _missing(self, column: Column, missing: np.ndarray) -> Iterator[Oddity]:
        if column.name in self._often_missing:
            return
        sentence = f"'{column.name}' is missing, which it was not where the model was trained"
        for row in np.flatnonzero(missing).tolist():
            yield Oddity(row, "missing", column.name, sentence)

    @staticmethod
    def _range(column: Column, values: np.ndarray) -> Iterator[Oddity]:
        # dates have no range in numbers
        if column.low is None or column.high is None or values.dtype.kind == "M":
            return
        for row in np.flatnonzero((values < column.low) | (values > column.high)).tolist():
            sentence = (
                f"'{column.name}' is {values[row]:g}, outside of {column.low:g} to {column.high:g} "
                "where the model was trained"
            )
            yield Oddity(row, "range", column.name, sentence)


def unread_picture(name: str) -> str:
    """The sentence about a row whose picture in this column cannot be read."""
    return f"'{name}' is no picture that can be read; the row has none"


def is_missing(value: object) -> bool:
    """Whether a Python value stands for a missing one."""
    return value is None or (isinstance(value, str) and value.strip() in MISSING_SPELLINGS)


def shown(value: object) -> str:
    """A value as it is shown in a sentence, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
