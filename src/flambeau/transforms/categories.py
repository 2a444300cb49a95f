"""The words of a category column as numbers: a vocabulary fitted on training rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

UNKNOWN = 0
MISSING = 1


@dataclass(frozen=True)
class CategoryFeature:
    """The vocabulary of one category column: index 0 is rare or unknown, 1 is missing, 2 and on are `values`.

    Args:
        column: the column that it comes from.
        values: the known values, most frequent first.
        missing: whether training rows lacked a value; if not, a missing value counts as unknown.
    """

    column: str
    values: tuple[str, ...]
    missing: bool

    @property
    def cardinality(self) -> int:
        """How many indices there are, rare and missing included."""
        return len(self.values) + 2

    @cached_property
    def _index(self) -> dict[str | None, int]:
        index: dict[str | None, int] = {value: i for i, value in enumerate(self.values, start=2)}
        index[None] = MISSING if self.missing else UNKNOWN
        return index

    def encode(self, values: np.ndarray) -> np.ndarray:
        """(rows,) object of str or None → (rows,) int64 indices."""
        codes = (self._index.get(value, UNKNOWN) for value in values.tolist())
        return np.fromiter(codes, dtype=np.int64, count=len(values))


def fit_category(name: str, values: np.ndarray, rare: int) -> CategoryFeature:
    """The vocabulary of (rows,) object of str or None, without values that are seen fewer than `rare` times."""
    counts = Counter(values.tolist())
    missing = counts.pop(None, 0) > 0
    ranked = sorted(((-count, value) for value, count in counts.items() if count >= rare))
    return CategoryFeature(name, tuple(value for _, value in ranked), missing)
