"""Tables that are not delimited text: Parquet, JSON and spreadsheets, as arrow tables."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastexcel
import pyarrow
from pyarrow import json as arrow_json
from pyarrow import parquet

from flambeau.data.spelling import spell_value

_MOST_UNPACKED_BYTES = 8 * 2**30


def read_parquet(path: Path, max_rows: int) -> pyarrow.Table:
    """A Parquet file; ValueError if it is damaged or has more than `max_rows` rows, before they are read."""
    try:
        with parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > max_rows:
                raise ValueError(
                    f"{path}: {file.metadata.num_rows:,} rows, more than {max_rows:,} (data.max_rows)"
                )
            return file.read()
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path}: cannot be read as Parquet: {error}") from error


def read_json_rows(path: Path, on_note: Callable[[str, str], None]) -> pyarrow.Table:
    """One JSON object a line, or a list of objects. Mixed types in a column are told and become texts."""
    if path.suffix.lower() != ".json":
        try:
            return arrow_json.read_json(path)
        except pyarrow.ArrowInvalid:
            on_note("json-types", f"{path.name} mixes types in a column; it was read value by value")
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = (
            json.loads(text)
            if text.lstrip().startswith("[")
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f'{path}: expected a list of objects, or one object a line, such as {{"price": 1}}')
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pyarrow.table({name: _json_column([row.get(name) for row in rows]) for name in names})


def _json_column(values: list[Any]) -> pyarrow.Array:
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= {bool, str}):
        try:
            return pyarrow.array(values, pyarrow.float64() if kinds == {int, float} else None)
        except (pyarrow.ArrowInvalid, OverflowError):
            return pyarrow.array([None if value is None else float(value) for value in values])
    return pyarrow.array([spell_value(value) for value in values], pyarrow.large_string())


def read_excel(path: Path) -> pyarrow.Table:
    """The first sheet of a spreadsheet, its first row as names; ValueError if damaged or too large."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                unpacked = sum(item.file_size for item in packed.infolist())
            if unpacked > _MOST_UNPACKED_BYTES:
                raise ValueError(f"it unpacks to {unpacked:,} bytes; the limit is {_MOST_UNPACKED_BYTES:,}")
        sheet = fastexcel.read_excel(path).load_sheet(0, schema_sample_rows=None)
    except FileNotFoundError:
        raise
    except (fastexcel.FastExcelError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as a spreadsheet: {error}") from error
    return pyarrow.table(sheet.to_arrow())
