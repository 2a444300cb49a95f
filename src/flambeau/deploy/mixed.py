"""Rows with pictures in some of their columns: from files, bytes or pixels to what the model takes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flambeau.data.pictures.load import fit_pixels, load_picture
from flambeau.data.pictures.paths import PictureFile
from flambeau.errors import DataError
from flambeau.transforms.mixed import PictureColumn, prepare_mixed
from flambeau.transforms.table import TablePreparation

MAX_PIXELS = 100_000_000

Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


def decode_pictures(
    preparation: TablePreparation,
    columns: Mapping[str, np.ndarray],
    *,
    max_pixels: int = MAX_PIXELS,
    pool: Executor | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, dict[int, str]]]:
    """The columns with decoded pictures, as the preparation takes them.

    Args:
        preparation: of the model.
        columns: name → (rows,); those of pictures hold files, bytes of a file, pixels (height, width, channels), or
            None.
        max_pixels: pictures with more are refused before they are unpacked.
        pool: of threads that decode; one after the other where None.

    Returns:
        The columns, and column → row → why its picture cannot be read. Such a row has no picture there.
    """
    found = dict(columns)
    problems: dict[str, dict[int, str]] = {}
    mapper: Mapper = map if pool is None else pool.map
    for column in preparation.pictures:
        if column.column not in columns:
            continue
        values = columns[column.column]

        def load(value: Any, column: PictureColumn = column) -> np.ndarray | str | None:
            return load_value(column, value, max_pixels)

        decoded = np.empty(len(values), dtype=object)
        for row, value in enumerate(mapper(load, values)):
            if isinstance(value, str):
                problems.setdefault(column.column, {})[row] = value
            else:
                decoded[row] = value
        found[column.column] = decoded
    return found, problems


def with_unpacked(
    preparation: TablePreparation,
    columns: Mapping[str, np.ndarray],
    *,
    max_pixels: int = MAX_PIXELS,
    pool: Executor | None = None,
) -> dict[str, np.ndarray]:
    """The columns with their pictures as pixels. Raises DataError for one that cannot be read."""
    found, problems = decode_pictures(preparation, columns, max_pixels=max_pixels, pool=pool)
    for name, reasons in problems.items():
        row, reason = next(iter(reasons.items()))
        raise DataError("a picture cannot be read", where=f"'{name}' of row {row + 1}", got=reason)
    return found


def load_value(column: PictureColumn, value: Any, max_pixels: int = MAX_PIXELS) -> np.ndarray | str | None:
    """One picture as the preparation takes it, None where there is none, or why it cannot be read."""
    if value is None:
        return None
    options = column.pictures.load_options
    name = str(value) if isinstance(value, PictureFile | Path) else f"the picture of '{column.column}'"
    source = value.path if isinstance(value, PictureFile) else value
    try:
        if isinstance(value, np.ndarray):
            return fit_pixels(value if value.flags.writeable else value.copy(), **options)
        if isinstance(value, bytes):
            source = io.BytesIO(value)
        return load_picture(source, **options, max_pixels=max_pixels)
    except (ValueError, OSError) as error:
        return str(error).replace(str(source), name)


def row_inputs(
    preparation: TablePreparation,
    columns: Mapping[str, np.ndarray],
    device: torch.device,
    *,
    max_pixels: int = MAX_PIXELS,
    pool: Executor | None = None,
    on_problem: Callable[[str, int, str], None] | None = None,
) -> tuple[torch.Tensor, ...]:
    """What the model takes for rows of raw columns, those of pictures as `decode_pictures` takes them.

    Args:
        preparation, columns, max_pixels, pool: see `decode_pictures`.
        device: of the model.
        on_problem: told the column, the row and the reason of each picture that cannot be read; its row has none.

    Raises:
        DataError: a picture cannot be read, and nobody is told.
    """
    if preparation.pictures:
        if on_problem is None:
            columns = with_unpacked(preparation, columns, max_pixels=max_pixels, pool=pool)
        else:
            columns, problems = decode_pictures(preparation, columns, max_pixels=max_pixels, pool=pool)
            for name, found in problems.items():
                for row, reason in found.items():
                    on_problem(name, row, reason)
    arrays = preparation.transform(columns)
    return on_device(preparation, arrays, device)


def on_device(
    preparation: TablePreparation, arrays: tuple[np.ndarray, ...], device: torch.device
) -> tuple[torch.Tensor, ...]:
    """What the model takes, from what `TablePreparation.transform` gives."""
    tensors = tuple(torch.from_numpy(array).to(device) for array in arrays)
    return prepare_mixed(tensors, preparation.pictures) if preparation.pictures else tensors
