"""Columns of a table to the arrays that a model takes: scaled numbers, category indices, and tokens of texts.

Everything that is learned from data (fill values, scales, vocabularies) is fitted once, on training rows only, and
kept as plain values that survive JSON unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flambeau.transforms.categories import MISSING, UNKNOWN, CategoryFeature, fit_category
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.mixed import PictureColumn
from flambeau.transforms.scaling import SCALINGS, NumberFeature, fit_number_column, number_part
from flambeau.transforms.text import TextPreparation

MOST_RAW_CODES = 255


@dataclass(frozen=True)
class TablePreparation:
    """What was learned from the training rows of a table.

    Args:
        numbers: the features of the first array, in order.
        categories: the columns of the second array, in order.
        text: of all text columns together; None for a table without texts.
        pictures: of each column of pictures, in order.
    """

    numbers: tuple[NumberFeature, ...]
    categories: tuple[CategoryFeature, ...]
    text: TextPreparation | None = None
    pictures: tuple[PictureColumn, ...] = ()

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """The number of indices of each category column."""
        return tuple(feature.cardinality for feature in self.categories)

    @property
    def category_names(self) -> tuple[str, ...]:
        """The column of each category feature."""
        return tuple(feature.column for feature in self.categories)

    @property
    def has_cells(self) -> bool:
        """Whether there are arrays of numbers and categories: always, unless there are only texts or pictures."""
        return bool(self.numbers or self.categories or (self.text is None and not self.pictures))

    def transform(self, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Prepare rows, of training or not, one by one: no row depends on another.

        Args:
            columns: name → (rows,) array, as given to `fit_table`; columns that were not fitted are ignored. Those of
                pictures hold decoded pictures (height, width, channels) uint8 of the prepared size, or None.

        Returns:
            What `transform_values` gives, then for each column of pictures pixels (rows, height, width, channels)
            uint8 and present (rows,) float32; see `PictureColumn.encode`.

        Raises:
            ValueError: a column is absent, or lengths differ.
        """
        _count_rows(columns, [picture.column for picture in self.pictures])
        arrays = self.transform_values(columns)
        return (*arrays, *(part for one in self.pictures for part in one.encode(columns[one.column])))

    def transform_values(self, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """The same without pictures.

        Args:
            columns: name → (rows,) array, as given to `fit_table`; columns that were not fitted are ignored.

        Returns:
            numbers (rows, number_features) float32, all finite, and categories (rows, category_columns) int64, unless
            there are only texts or pictures; then, if there are texts, tokens (rows, longest) int32, 0 for padding.

        Raises:
            ValueError: a column is absent, or lengths differ.
        """
        texts = () if self.text is None else self.text.columns
        cells = [f.column for f in self.numbers] + [f.column for f in self.categories]
        rows = _count_rows(columns, [*cells, *texts])
        found = self._transform_cells(columns, rows) if self.has_cells else ()
        return found if self.text is None else (*found, self.text.encode(self.text.join(columns)))

    def _transform_cells(self, columns: Mapping[str, np.ndarray], rows: int) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.empty((rows, len(self.numbers)), dtype=np.float32)
        for position, feature in enumerate(self.numbers):
            numbers[:, position] = feature.scale(number_part(columns[feature.column], feature.part))
        categories = np.empty((rows, len(self.categories)), dtype=np.int64)
        for position, category in enumerate(self.categories):
            categories[:, position] = category.encode(columns[category.column])
        return numbers, categories

    def one_hot(self, numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """One array for models that take one: numbers, then 0/1 for each known category, 0 for rare and unknown ones.

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
        values = [number_part(columns[feature.column], feature.part) for feature in used]
        arrays = [np.where(np.isfinite(part), part, np.nan) for part in values]
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
                NumberFeature(**{**n, "quantiles": tuple(n["quantiles"])}) for n in data["numbers"]
            )
            categories = tuple(
                CategoryFeature(**{**c, "values": tuple(c["values"])}) for c in data["categories"]
            )
            text = TextPreparation.from_json(data["text"]) if data.get("text") else None
            pictures = tuple(
                PictureColumn(item["column"], PicturePreparation.from_json(item["pictures"]))
                for item in data.get("pictures", ())
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a preparation of a table: {error!r}") from error
        return cls(numbers, categories, text, pictures)


@dataclass(frozen=True)
class TargetScaler:
    """Targets of a regression at mean 0 and standard deviation 1 while a model trains.

    Args:
        mean, std: of the targets, or of their logarithms.
        log: whether logarithms are learnt, of targets above 0.
    """

    mean: float
    std: float
    log: bool = False

    def scale(self, targets: np.ndarray) -> np.ndarray:
        """Own units → scaled float32, same shape."""
        values = np.asarray(targets, dtype=np.float64)
        if self.log:
            values = np.log(values)
        return ((values - self.mean) / self.std).astype(np.float32)

    def restore(self, outputs: np.ndarray) -> np.ndarray:
        """Scaled → own units, float64, same shape."""
        values = np.asarray(outputs, dtype=np.float64) * self.std + self.mean
        return np.exp(values) if self.log else values


def fit_target(targets: np.ndarray, *, log: bool = False) -> TargetScaler:
    """The scaler of these training targets, (rows,) finite numbers. Constant targets keep their unit.

    Args:
        targets: of the training rows.
        log: whether logarithms are learnt; then all targets are above 0.

    Raises:
        ValueError: missing or infinite targets, or targets without a logarithm.
    """
    values = np.asarray(targets, dtype=np.float64)
    if log and values.size and not values.min() > 0:
        raise ValueError(f"only targets above 0 have a logarithm, got {values.min():g}")
    if log:
        values = np.log(values)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(
            f"targets must be finite numbers, got {values.size} values, some missing or infinite"
        )
    std = float(values.std())
    return TargetScaler(float(values.mean()), std if np.isfinite(std) and std > 0 else 1.0, log)


def fit_table(
    columns: Mapping[str, np.ndarray],
    kinds: Mapping[str, str],
    *,
    scaling: str = "quantile",
    rare: int = 3,
    text: TextPreparation | None = None,
) -> TablePreparation:
    """Learn scales, fill values and vocabularies from training rows.

    Args:
        columns: name → (rows,): float64 with NaN (number, boolean), object of str or None (category),
            datetime64[s] with NaT (date). Infinities count as missing.
        kinds: name → "number", "boolean", "category" or "date", for the columns to use, in order.
        scaling: "quantile" (to a normal distribution), "robust" (median and quartiles, then a smooth clip at 3) or
            "standard" (mean and deviation). Booleans are always standardised.
        rare: categories with fewer training rows than this share index 0 with unknown ones.
        text: of the text columns, fitted before; columns of kind "text" are those that it names.

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
            categories.append(fit_category(name, columns[name], rare))
        elif kind in ("number", "boolean", "date"):
            numbers.extend(fit_number_column(name, kind, columns[name], scaling))
        elif kind != "text" or text is None or name not in text.columns:
            raise ValueError(f"column '{name}' has kind '{kind}', expected number, boolean, category or date")
    return TablePreparation(tuple(numbers), tuple(categories), text)


def _count_rows(columns: Mapping[str, np.ndarray], names: list[str]) -> int:
    absent = [name for name in dict.fromkeys(names) if name not in columns]
    if absent:
        raise ValueError(f"the table lacks {', '.join(absent)}; got the columns {', '.join(columns)}")
    lengths = {name: len(columns[name]) for name in names}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns must have one length, got {lengths}")
    return next(iter(lengths.values()), 0)
