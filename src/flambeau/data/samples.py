"""What reading gives: a schema and samples, in memory for tables, as files or one array for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.schema import Finding, Schema


@dataclass(frozen=True)
class PictureFiles:
    """Pictures that are files, decoded when needed.

    Args:
        root: the folder that `names` are relative to.
        names: one path a sample, with forward slashes.
    """

    root: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> Path:
        """The file of one sample."""
        return self.root / self.names[index]


@dataclass(frozen=True)
class PictureArray:
    """Pictures that came as one array: (count, height, width, channels), uint8 or uint16."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class SeriesValues:
    """Time series, one behind the other, each in the order of time.

    Args:
        values: (rows, channels) float64, targets first; gaps hold the last value before them.
        times: (rows,) int64: seconds since 1970, or the number of the row in its series where rows have no time.
        starts: (series + 1,) int64: the first row of each series, and last the number of rows.
        observed: (rows,) bool: whether all targets of the row were in the data.
        ahead: rows at the end of each series that only hold what is known of the future; used where forecasts are
            made, empty in training.
        begins: (series,) int64: the first row of each series at which all columns have been seen: rows before it hold
            later values, so that no window may begin there. None where windows begin with the series.
    """

    values: np.ndarray
    times: np.ndarray
    starts: np.ndarray
    observed: np.ndarray
    ahead: tuple[np.ndarray, ...] = ()
    begins: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)


def series_numbers(series: SeriesValues, rows: np.ndarray) -> np.ndarray:
    """(n,) int64: of which series these rows are."""
    return np.searchsorted(series.starts, rows, side="right").astype(np.int64) - 1


@dataclass(frozen=True)
class Samples:
    """All samples of one source, with their targets.

    Args:
        schema: what one sample is.
        ids: a name for each sample: a relative path, or "row 17" (first data row is 1).
        targets: (n,) int64 class indices; (n, labels) float32 of 0 and 1; or (n,) float64 numbers.
        pictures: the pictures, or None for a table.
        columns: name → (n,) array for every used input column of a table: float64 with NaN for numbers and
            booleans, object with str or None for categories, datetime64[s] with NaT for dates. None for pictures.
        parts: (n,) of "train", "valid", "test" where the data came split; None otherwise.
        groups: (n,) integers; equal numbers must stay on one side. None where nothing groups the samples.
        digests: a content digest a sample, equal exactly for equal content (raw bytes of a file, values of a
            row without the target).
        findings: what the reader noticed (skipped rows, converted values, unused columns).
        series: of time series, whose samples are rows, each the last known one of a window; None for all else.
    """

    schema: Schema
    ids: tuple[str, ...]
    targets: np.ndarray
    pictures: PictureFiles | PictureArray | None = None
    columns: dict[str, np.ndarray] | None = None
    parts: np.ndarray | None = None
    groups: np.ndarray | None = None
    digests: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    series: SeriesValues | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Sequence[int] | np.ndarray) -> Samples:
        """The samples at these positions, in this order."""
        chosen = np.asarray(indices, dtype=np.int64)
        pictures: PictureFiles | PictureArray | None = None
        if isinstance(self.pictures, PictureFiles):
            pictures = PictureFiles(self.pictures.root, tuple(self.pictures.names[i] for i in chosen))
        elif isinstance(self.pictures, PictureArray):
            pictures = PictureArray(self.pictures.pixels[chosen])
        return replace(
            self,
            ids=tuple(self.ids[i] for i in chosen),
            targets=self.targets[chosen],
            pictures=pictures,
            columns=None if self.columns is None else {k: v[chosen] for k, v in self.columns.items()},
            parts=_take(self.parts, chosen),
            groups=_take(self.groups, chosen),
            digests=tuple(self.digests[i] for i in chosen) if self.digests else (),
        )


def _take(array: np.ndarray | None, indices: np.ndarray) -> Any:
    return None if array is None else array[indices]
