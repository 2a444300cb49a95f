"""The pictures of a table's column, decoded at once: what an ejected script reads them with."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.pictures.load import load_picture


def load_column(paths: Sequence[Path | None], **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Decode the pictures that rows name.

    Args:
        paths: one a row; None where there is none.
        options: see `load_picture`.

    Returns:
        pixels (pictures, height, width, channels), those that can be read; and places (rows,) int64: the position of
        each row's picture in them, -1 where there is none or it cannot be read.

    Raises:
        ValueError: none of them can be read.
    """

    def load(path: Path | None) -> np.ndarray | None:
        if path is None:
            return None
        try:
            return load_picture(path, **options)
        except (ValueError, OSError):
            return None

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(load, paths))
    there = np.array([pixels is not None for pixels in found])
    if not there.any():
        raise ValueError(
            f"none of {len(found)} pictures can be read; the first is {next(filter(None, paths), None)}"
        )
    places = np.where(there, np.cumsum(there) - 1, -1).astype(np.int64)
    return np.stack([pixels for pixels in found if pixels is not None]), places
