"""Columns of a table to the two arrays that a model takes: scaled numbers and category indices.

Everything that is learned from data (fill values, scales, vocabularies) is fitted once, on training rows only, and
kept as plain values that survive JSON unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flambeau.transforms.scaling import SCALINGS, NumberFeature, fit_number_column, number_part

UNKNOWN = 0
MISSING = 1
MOST_RAW_CODES = 255


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


@dataclass(frozen=True)
class TablePreparation:
    """What was learned from the training rows of a table.

    Args:
        numbers: the features of the first array, in order.
        categories: the columns of the second array, in order.
    """

    numbers: tuple[NumberFeature, ...]
    categories: tuple[CategoryFeature, ...]

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """The number of indices of each category column."""
        return tuple(feature.cardinality for feature in self.categories)

    @property
    def number_names(self) -> tuple[str, ...]:
        """A name for each number feature, such as "age" or "sold (month)"."""
        return tuple(f.column if f.part == "value" else f"{f.column} ({f.part})" for f in self.numbers)

    @property
    def category_names(self) -> tuple[str, ...]:
        """The column of each category feature."""
        return tuple(feature.column for feature in self.categories)

    def transform(self, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Prepare rows, of training or not, one by one: no row depends on another.

        Args:
            columns: name → (rows,) array, as given to `fit_table`; columns that were not fitted are ignored.

        Returns:
            numbers (rows, number_features) float32, all finite; categories (rows, category_columns) int64.

        Raises:
            ValueError: a column is absent, or lengths differ.
        """
        rows = _count_rows(columns, [f.column for f in self.numbers] + [f.column for f in self.categories])
        numbers = np.empty((rows, len(self.numbers)), dtype=np.float32)
        for position, feature in enumerate(self.numbers):
            numbers[:, position] = feature.scale(number_part(columns[feature.column], feature.part))
        categories = np.empty((rows, len(self.categories)), dtype=np.int64)
        for position, category in enumerate(self.categories):
            categories[:, position] = category.encode(columns[category.column])
        return numbers, categories

    def one_hot(self, numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """One array for models that take one: the numbers, then 0/1 for each known category.

        A rare or unknown value is a block of zeros.

        Returns:
            (rows, number_features + sum of (cardinality - 1)) float32.
        """
        blocks = [np.asarray(numbers, dtype=np.float32)]
        for position, feature in enumerate(self.categories):
            known = np.arange(1, feature.cardinality)
            blocks.append((categories[:, position, None] == known).astype(np.float32))
        return np.concatenate(blocks, axis=1)

    def raw_features(self, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[int]]:
        """Unscaled features for tree models: numbers with NaN, then one ordinal code a category column.

        Rare and unknown categories share code 0, as do the rarest of a long vocabulary, because histogram trees take
        at most 255 codes a column; a missing value is NaN.

        Returns:
            (rows, features) float64, and the positions of the category columns in it.

        Raises:
            ValueError: a column is absent, or lengths differ.
        """
        used = [feature for feature in self.numbers if feature.part != "missing"]
        _count_rows(columns, [f.column for f in used] + [f.column for f in self.categories])
        arrays = []
        for feature in used:
            values = number_part(columns[feature.column], feature.part)
            arrays.append(np.where(np.isfinite(values), values, np.nan))
        for category in self.categories:
            codes = category.encode(columns[category.column]).astype(np.float64)
            codes[codes >= MOST_RAW_CODES] = UNKNOWN
            codes[codes == MISSING] = np.nan
            arrays.append(codes)
        positions = list(range(len(used), len(arrays)))
        return np.stack(arrays, axis=1), positions

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists; floats survive `json.dumps` exactly."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TablePreparation:
        """The inverse of `to_json`. Raises ValueError for a dictionary that is not a preparation."""
        try:
            numbers = tuple(
                NumberFeature(**{**item, "quantiles": tuple(item["quantiles"])}) for item in data["numbers"]
            )
            categories = tuple(
                CategoryFeature(**{**item, "values": tuple(item["values"])}) for item in data["categories"]
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a preparation of a table: {error!r}") from error
        return cls(numbers, categories)


@dataclass(frozen=True)
class TargetScaler:
    """Targets of a regression at mean 0 and standard deviation 1 while a model trains."""

    mean: float
    std: float

    def scale(self, targets: np.ndarray) -> np.ndarray:
        """Own units → scaled float32, same shape."""
        return ((np.asarray(targets, dtype=np.float64) - self.mean) / self.std).astype(np.float32)

    def restore(self, outputs: np.ndarray) -> np.ndarray:
        """Scaled → own units, float64, same shape."""
        return np.asarray(outputs, dtype=np.float64) * self.std + self.mean


def fit_target(targets: np.ndarray) -> TargetScaler:
    """The scaler of these training targets, (rows,) finite numbers. Constant targets keep their unit."""
    values = np.asarray(targets, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(
            f"targets must be finite numbers, got {values.size} values, some missing or infinite"
        )
    std = float(values.std())
    return TargetScaler(float(values.mean()), std if np.isfinite(std) and std > 0 else 1.0)


def fit_table(
    columns: Mapping[str, np.ndarray], kinds: Mapping[str, str], *, scaling: str = "quantile", rare: int = 3
) -> TablePreparation:
    """Learn scales, fill values and vocabularies from training rows.

    Args:
        columns: name → (rows,): float64 with NaN (number, boolean), object of str or None (category),
            datetime64[s] with NaT (date). Infinities count as missing.
        kinds: name → "number", "boolean", "category" or "date", for the columns to use, in order.
        scaling: "quantile" (to a normal distribution), "robust" (median and quartiles, then a smooth clip at 3) or
            "standard" (mean and deviation). Booleans are always standardised.
        rare: categories with fewer training rows than this share index 0 with unknown ones.

    Raises:
        ValueError: no rows, an absent column, an unknown kind or scaling.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}, got '{scaling}'")
    if _count_rows(columns, list(kinds)) == 0:
        raise ValueError("a table's preparation needs at least one training row, got none")
    numbers: list[NumberFeature] = []
    categories: list[CategoryFeature] = []
    for name, kind in kinds.items():
        if kind == "category":
            categories.append(_fit_category(name, columns[name], rare))
        elif kind in ("number", "boolean", "date"):
            numbers.extend(fit_number_column(name, kind, columns[name], scaling))
        else:
            raise ValueError(f"column '{name}' has kind '{kind}', expected number, boolean, category or date")
    return TablePreparation(tuple(numbers), tuple(categories))


def _fit_category(name: str, values: np.ndarray, rare: int) -> CategoryFeature:
    counts = Counter(values.tolist())
    missing = counts.pop(None, 0) > 0
    ranked = sorted(((-count, value) for value, count in counts.items() if count >= rare))
    return CategoryFeature(name, tuple(value for _, value in ranked), missing)


def _count_rows(columns: Mapping[str, np.ndarray], names: list[str]) -> int:
    absent = [name for name in dict.fromkeys(names) if name not in columns]
    if absent:
        raise ValueError(f"the table lacks {', '.join(absent)}; got the columns {', '.join(columns)}")
    lengths = {name: len(columns[name]) for name in names}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns must have one length, got {lengths}")
    return next(iter(lengths.values()), 0)
