"""Tidy tables and targets in a few lines: what an ejected script reads with, where it gives the same values.

`read_table` and `column_values` understand files as people write them. Most files are tidier than that, and for those
a hand-written script would be as short as this. Nothing here is used before its result was found equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow
from PIL import Image, ImageOps
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from flambeau.data.tables.table import column_values, read_table


def read_tidy_csv(
    path: Path,
    *,
    numbers: Sequence[str] = (),
    words: Sequence[str] = (),
    flags: Sequence[str] = (),
    dates: Sequence[str] = (),
    delimiter: str = ",",
    missing: Sequence[str] = ("",),
    true_words: Sequence[str] = ("true", "True", "TRUE", "1"),
    false_words: Sequence[str] = ("false", "False", "FALSE", "0"),
    date_format: str = "",
) -> dict[str, np.ndarray]:
    """The columns of a delimited UTF-8 file with a header; see `tidy_columns`.

    Args:
        path: the file.
        numbers, words, flags, dates: names of the columns of each kind.
        delimiter: between two values.
        missing: spellings of missing values.
        true_words, false_words: spellings of flags.
        date_format: as for strptime; empty for ISO 8601.

    Raises:
        pyarrow.ArrowInvalid: a value is not of its column's kind.
    """
    types = {name: pyarrow.float64() for name in numbers} | {name: pyarrow.string() for name in words}
    types |= {name: pyarrow.bool_() for name in flags} | {name: pyarrow.timestamp("s") for name in dates}
    table = arrow_csv.read_csv(
        path,
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=list(types),
            column_types=types,
            null_values=list(missing),
            true_values=list(true_words),
            false_values=list(false_words),
            strings_can_be_null=True,
            timestamp_parsers=[date_format] if date_format else None,
        ),
    )
    return tidy_columns(table, numbers=numbers, words=words, flags=flags, dates=dates)


def read_tidy_parquet(
    path: Path,
    *,
    numbers: Sequence[str] = (),
    words: Sequence[str] = (),
    flags: Sequence[str] = (),
    dates: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """The columns of a Parquet file whose types are those of their kinds; see `tidy_columns`."""
    table = parquet.read_table(path, columns=[*numbers, *words, *flags, *dates])
    return tidy_columns(table, numbers=numbers, words=words, flags=flags, dates=dates)


def tidy_columns(
    table: pyarrow.Table,
    *,
    numbers: Sequence[str] = (),
    words: Sequence[str] = (),
    flags: Sequence[str] = (),
    dates: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Name → (rows,) array: float64 with NaN for numbers and flags, texts with None, datetime64[s] with NaT."""
    columns = {name: table[name].cast(pyarrow.float64()).to_numpy() for name in numbers}
    columns |= {name: np.array(table[name].to_pylist(), dtype=object) for name in words}
    columns |= {name: table[name].cast(pyarrow.uint8()).cast(pyarrow.float64()).to_numpy() for name in flags}
    columns |= {name: table[name].cast(pyarrow.timestamp("s")).to_numpy() for name in dates}
    return columns


def decode_tidy(path: Path, *, channels: int, size: tuple[int, int]) -> np.ndarray:
    """Pixels (height, width, channels) uint8 of an ordinary picture: opaque, of 8 bits a channel.

    Args:
        path: the file.
        channels: 1 for grey, 3 for colour.
        size: the height and width that will be needed; a JPEG of at least twice that is decoded at a part of its size.
    """
    with Image.open(path) as image:
        image.draft(None, (size[1], size[0]))
        pixels = np.array(ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def class_indices(words: Sequence[str] | np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """(n,) int64: the position of each word among the classes. Raises KeyError for a word that is none of them."""
    place = {name: position for position, name in enumerate(classes)}
    return np.array([place[word] for word in words], dtype=np.int64)


def label_flags(words: Sequence[str] | np.ndarray, labels: Sequence[str], separator: str = "|") -> np.ndarray:
    """(n, labels) float32 of 0 and 1 from texts that list labels, such as "red|round"."""
    listed = [{part.strip() for part in text.split(separator)} for text in words]
    return np.array([[name in row for name in labels] for row in listed], dtype=np.float32)


def read_columns(path: Path, kinds: Mapping[str, tuple[str, str]]) -> dict[str, np.ndarray]:
    """The columns of any table file, as carefully as flambeau reads it: name → kind and date format."""
    table = read_table(path)
    return {name: column_values(table[name], *kind) for name, kind in kinds.items()}
