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

from flambeau.data.tables.spelling import spell_value

_MOST_UNPACKED_BYTES = 8 * 2**30
_FEW_BROKEN = 3
_BROKEN_SHARE = 0.01


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
        except pyarrow.ArrowInvalid as error:
            # what is broken rather than mixed is told below, line by line
            # a line longer than a block of arrow's is read below, too, and is no fault
            mixed = "JSON parse error" not in str(error) and "straddl" not in str(error)
            if mixed or "changed from" in str(error):
                on_note("json-types", f"{path.name} mixes types in a column; it was read value by value")
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = json.loads(text) if text.lstrip().startswith("[") else _json_lines(path, text, on_note)
    except (ValueError, RecursionError) as error:
        told = str(error)
        raise ValueError(
            told if told.startswith(str(path)) else f"{path}: cannot be read as JSON: {told}"
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f'{path}: expected a list of objects, or one object a line, such as {{"price": 1}}')
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pyarrow.table({name: _json_column([row.get(name) for row in rows]) for name in names})


def _json_lines(path: Path, text: str, on_note: Callable[[str, str], None]) -> list[Any]:
    """The values of the lines; a few lines that are no JSON are told and left out, more of them are a ValueError."""
    rows, broken = [], []
    # not splitlines: U+2028 may stand inside a JSON text
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    for number, line in lines:
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            broken.append((number, str(error).partition(": line 1 ")[0]))
    if not broken:
        return rows
    number, reason = broken[0]
    if len(broken) > max(_FEW_BROKEN, _BROKEN_SHARE * len(lines)) or 10 * len(broken) > len(lines):
        try:
            kind = type(json.loads(text)).__name__
        except (ValueError, RecursionError):
            raise ValueError(
                f"{path}: cannot be read as JSON: {len(broken):,} of {len(lines):,} lines are broken, "
                f"the first is line {number}: {reason}"
            ) from None
        raise ValueError(
            f"{path}: it holds one JSON value ({kind}) and no rows; expected a list of objects, or one object a line"
        )
    where = ", ".join(str(place) for place, _ in broken[:5]) + (", ..." if len(broken) > 5 else "")
    on_note(
        "broken-lines",
        f"{path.name}: left out, as they are no JSON: {len(broken):,} of {len(lines):,} lines (line {where}: {reason})",
    )
    return rows


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
