"""Tables: CSV, TSV, Parquet, JSON lines and Excel as one kind of arrow table, and its columns as arrays.

`column_values` serves training and prediction alike, so that a value means the same wherever it comes from:
an arrow column, or a list of Python values that came as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as pc

from flambeau.data.tables.delimited import read_delimited
from flambeau.data.tables.files import read_excel, read_json_rows, read_parquet
from flambeau.data.tables.spelling import (
    FALSE_WORDS,
    MISSING_SPELLINGS,
    NUMBER_PATTERN,
    TRUE_WORDS,
    spell_category,
    spell_value,
)

DELIMITED_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data")
TABLE_SUFFIXES = (
    *DELIMITED_SUFFIXES,
    ".parquet",
    ".pq",
    ".jsonl",
    ".ndjson",
    ".json",
    ".xlsx",
    ".xls",
    ".xlsb",
    ".ods",
)

ISO_FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
THOUSANDS_PATTERN = r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$"
ZONE_PATTERN = r"(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?\s*(?:Z|UTC|[+-]\d\d:?\d\d)?$"


def read_table(
    path: Path,
    *,
    max_rows: int = 50_000_000,
    on_note: Callable[[str, str], None] = lambda code, message: None,
) -> pyarrow.Table:
    """A table file as an arrow table: distinct stripped names, stripped texts, missing spellings as nulls.

    Args:
        path: .csv .tsv .txt .parquet .jsonl .json (a list of objects) .xlsx .xls .ods, by its suffix.
        max_rows: larger tables are refused.
        on_note: called with a short code and a sentence for each thing that was changed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no table, has no rows or too many; names the file.
    """
    suffix = path.suffix.lower()
    if suffix in DELIMITED_SUFFIXES:
        table = read_delimited(path, on_note=on_note)
    elif suffix in (".parquet", ".pq"):
        table = read_parquet(path, max_rows)
    elif suffix in (".jsonl", ".ndjson", ".json"):
        table = read_json_rows(path, on_note)
    elif suffix in TABLE_SUFFIXES:
        table = read_excel(path)
    else:
        raise ValueError(
            f"{path}: not a table; its name ends in '{suffix}', known are {', '.join(TABLE_SUFFIXES)}"
        )
    if table.num_rows == 0 or table.num_columns == 0:
        raise ValueError(f"{path}: the table has {table.num_columns} columns and no rows")
    if table.num_rows > max_rows:
        raise ValueError(
            f"{path}: {table.num_rows:,} rows, more than the limit of {max_rows:,} (data.max_rows)"
        )
    return clean_table(table, on_note=on_note)


def clean_table(
    table: pyarrow.Table, *, on_note: Callable[[str, str], None] = lambda code, message: None
) -> pyarrow.Table:
    """The same table with distinct stripped names and stripped texts, where missing spellings are nulls."""
    names: list[str] = []
    renamed: list[str] = []
    for place, raw in enumerate(table.column_names, start=1):
        name = raw.strip() or f"column_{place}"
        if name in names:
            number = next(n for n in range(2, len(names) + 3) if f"{name}_{n}" not in names)
            renamed.append(f"{name} → {name}_{number}")
            name = f"{name}_{number}"
        names.append(name)
    if renamed:
        on_note("duplicated-names", "columns with the same name were renamed: " + ", ".join(renamed))
    return pyarrow.table([_clean_column(column) for column in table.columns], names=names)


def _clean_column(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if (
        pyarrow.types.is_string(kind)
        or pyarrow.types.is_large_string(kind)
        or pyarrow.types.is_string_view(kind)
    ):
        return _clean_text(column.cast(pyarrow.large_string()))
    if pyarrow.types.is_decimal(kind) or pyarrow.types.is_float16(kind):
        return column.cast(pyarrow.float64())
    return column


def _clean_text(texts: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    stripped = pc.utf8_trim_whitespace(texts)
    missing = pc.is_in(stripped, value_set=pyarrow.array(MISSING_SPELLINGS, stripped.type))
    return pc.if_else(missing, pyarrow.scalar(None, stripped.type), stripped)


def column_values(values: Any, kind: str, date_format: str = "") -> np.ndarray:
    """A column as the array that preparation takes.

    Args:
        values: an arrow array or chunked array (as `read_table` gives it), a numpy array, or a sequence of
            Python values.
        kind: "number" or "boolean" → float64 with NaN; "category" → objects, each a string or None, with
            one spelling a value (1, 1.0 and "1" are all "1"); "text" → the same as written; "date" →
            datetime64[s] with NaT, as written, without regard to time zones.
        date_format: how dates are written, as for strptime; empty for ISO 8601. A part that is not written
            (such as the time) is zero.

    Values that are not of the kind become missing.

    Raises:
        ValueError: there is no such kind.
    """
    column = as_arrow(values)
    converters: dict[str, Callable[[pyarrow.ChunkedArray], np.ndarray]] = {
        "number": _number_values,
        "boolean": _boolean_values,
        "category": _category_values,
        "text": _text_values,
        "date": lambda texts: _date_values(texts, date_format),
    }
    if kind not in converters:
        raise ValueError(
            f"a column of kind '{kind}' has no values for a model; known are {', '.join(converters)}"
        )
    return converters[kind](column)


def as_arrow(values: Any) -> pyarrow.ChunkedArray:
    """Any column as an arrow chunked array; Python values by their spelling, missing ones as nulls."""
    if isinstance(values, pyarrow.ChunkedArray):
        return values
    if isinstance(values, np.ndarray) and values.dtype != object:
        values = pyarrow.array(values, from_pandas=True)
    if isinstance(values, pyarrow.Array):
        return _clean_column(pyarrow.chunked_array([values]))
    spelled = [spell_value(value) for value in values]
    return _clean_text(pyarrow.chunked_array([pyarrow.array(spelled, pyarrow.large_string())]))


def _is_text(column: pyarrow.ChunkedArray) -> bool:
    return pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)


def _number_values(column: pyarrow.ChunkedArray) -> np.ndarray:
    if _is_text(column):
        thousands = pc.match_substring_regex(column, THOUSANDS_PATTERN)
        column = pc.if_else(thousands, pc.replace_substring(column, ",", ""), column)
        plain = pc.match_substring_regex(column, NUMBER_PATTERN)
        column = pc.if_else(plain, column, pyarrow.scalar(None, column.type))
        column = pc.replace_substring_regex(column, r"^\+", "")
    if pyarrow.types.is_duration(column.type):
        column = column.cast(pyarrow.int64())
    elif pyarrow.types.is_boolean(column.type):
        column = column.cast(pyarrow.uint8())
    elif not (
        _is_text(column) or pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type)
    ):
        return np.full(len(column), np.nan)
    numbers = np.array(column.cast(pyarrow.float64(), safe=False).to_numpy(), dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _boolean_values(column: pyarrow.ChunkedArray) -> np.ndarray:
    if not _is_text(column):
        numbers = _number_values(column)
        return np.where((numbers == 0) | (numbers == 1), numbers, np.nan)
    codes, words = _encode(column)
    by_word = [
        1.0 if (w := spell_category(word).lower()) in TRUE_WORDS else 0.0 if w in FALSE_WORDS else np.nan
        for word in words
    ]
    return np.array([*by_word, np.nan])[codes]


def _category_values(column: pyarrow.ChunkedArray) -> np.ndarray:
    codes, words = _encode(column)
    spelled = np.empty(len(words) + 1, dtype=object)
    spelled[: len(words)] = [spell_category(word) for word in words]
    return spelled[codes]


def _text_values(column: pyarrow.ChunkedArray) -> np.ndarray:
    if not _is_text(column):
        return _category_values(column)
    texts = np.empty(len(column), dtype=object)
    texts[:] = column.to_pylist()
    return texts


def _date_values(column: pyarrow.ChunkedArray, date_format: str) -> np.ndarray:
    if _is_text(column):
        column = parse_dates(column, date_format)
    if not (pyarrow.types.is_date(column.type) or pyarrow.types.is_timestamp(column.type)):
        return np.full(len(column), np.datetime64("NaT"), dtype="datetime64[s]")
    return np.array(column.cast(pyarrow.timestamp("s"), safe=False).to_numpy().astype("datetime64[s]"))


def parse_dates(texts: pyarrow.ChunkedArray, date_format: str = "") -> pyarrow.ChunkedArray:
    """Texts as timestamps in seconds; what is not written in that format (empty: ISO 8601) becomes null."""
    texts = pc.replace_substring_regex(texts, ZONE_PATTERN, r"\1")
    formats = (date_format,) if date_format else ISO_FORMATS
    if not date_format:
        texts = pc.replace_substring_regex(texts, r"^(\d{4}-\d\d-\d\d) +", r"\1T")
    parsed = [pc.strptime(texts, format=one, unit="s", error_is_null=True) for one in formats]
    return pc.coalesce(*parsed)


def _encode(column: pyarrow.ChunkedArray) -> tuple[np.ndarray, Sequence[str]]:
    """Positions of each value among the distinct ones, as texts; -1 for missing."""
    if pyarrow.types.is_nested(column.type):  # arrow finds no distinct lists or objects
        column = as_arrow(column.to_pylist())
    encoded = (
        column.combine_chunks().dictionary_encode()
        if len(column)
        else pyarrow.array([], pyarrow.string()).dictionary_encode()
    )
    codes = pc.fill_null(encoded.indices, -1).to_numpy()
    values = encoded.dictionary
    if not _is_text(values):
        values = values.cast(pyarrow.large_string())
    return codes, [str(value) for value in values.to_pylist()]
