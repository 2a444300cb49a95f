"""What in a row is unlike the training rows: numbers out of their range, unknown categories, missing or unreadable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from flambeau.schema import Column
from flambeau.transforms.table import UNKNOWN, TablePreparation

FAR = "farther from the training data than nearly all of it"

_MOST_TOLD = 5


class Strangeness:
    """Finds what is strange in rows, with what training rows were like.

    Args:
        columns: of the schema.
        preparation: fitted on training rows.
    """

    def __init__(self, columns: Sequence[Column], preparation: TablePreparation) -> None:
        self._columns = [column for column in columns if column.used and column.kind != "image"]
        self._often_missing = {f.column for f in preparation.numbers if f.part == "missing"}
        self._often_missing |= {f.column for f in preparation.categories if f.missing}
        self._places = {name: place for place, name in enumerate(preparation.category_names)}

    def tell(
        self, columns: Mapping[str, np.ndarray], unread: Mapping[str, np.ndarray], codes: np.ndarray
    ) -> list[str | None]:
        """One text a row that says what is strange about it; None for a row like the training rows.

        Args:
            columns: name → (rows,) raw values.
            unread: name → (rows,) whether a value there is not of the column's kind.
            codes: (rows, category columns) of the preparation.
        """
        told: dict[int, list[str]] = defaultdict(list)
        for column in self._columns:
            values = columns[column.name]
            if column.kind == "category":
                known = set(column.values)
                place = self._places.get(column.name)
                strange = np.flatnonzero(codes[:, place] == UNKNOWN) if place is not None else ()
                missing = np.zeros(len(values), dtype=bool)
                for row in strange:
                    value = values[row]
                    if value is None:
                        missing[row] = True
                    elif value not in known:
                        told[int(row)].append(f"{column.name}: unknown '{value[:40]}'")
            else:
                missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
                not_read = unread[column.name]
                for row in np.flatnonzero(not_read):
                    told[int(row)].append(f"{column.name}: not readable")
                missing = missing & ~not_read
                self._tell_range(column, values, told)
            if column.name not in self._often_missing:
                for row in np.flatnonzero(missing):
                    told[int(row)].append(f"{column.name}: missing")
        return [join_reasons(told[row]) if row in told else None for row in range(len(codes))]

    @staticmethod
    def _tell_range(column: Column, values: np.ndarray, told: dict[int, list[str]]) -> None:
        if column.low is None or column.high is None or values.dtype.kind == "M":
            return
        for row in np.flatnonzero(values < column.low):
            told[int(row)].append(f"{column.name}: {values[row]:g} below {column.low:g}")
        for row in np.flatnonzero(values > column.high):
            told[int(row)].append(f"{column.name}: {values[row]:g} above {column.high:g}")


def join_reasons(reasons: Sequence[str]) -> str:
    """Reasons as one text; where they are many, the first of them.

    >>> join_reasons(["area: 900 above 240", "colour: missing"])
    'area: 900 above 240; colour: missing'
    """
    more = len(reasons) - _MOST_TOLD
    return "; ".join(reasons[:_MOST_TOLD]) + (f"; {more} more" if more > 0 else "")
