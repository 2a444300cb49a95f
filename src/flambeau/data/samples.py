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
