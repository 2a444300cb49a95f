"""All parts into one file, part after part: Parquet, CSV or JSON lines. The file is equal however it was cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from flambeau.deploy.batch.keep import as_text
from flambeau.records.files import atomic_file, to_json

ROW_GROUP_ROWS = 65_536
_JSON_ROWS = 4096


@dataclass
class Tally:
    """What the predictions hold.

    Attributes:
        rows: inputs.
        errors: of them, those that could not be read.
        strange: of them, those that are unlike the training data.
        unread: column → values that are not of its kind.
    """

    rows: int = 0
    errors: int = 0
    strange: int = 0
    unread: Counter[str] = field(default_factory=Counter)


def join_parts(
    parts: Iterable[tuple[pyarrow.Table, dict[str, int]]],
    target: Path,
    schema: pyarrow.Schema,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Tally:
    """Write one file from all parts, atomically.

    Args:
        parts: with what was counted in each.
        target: its suffix tells the format.
        schema: of all parts.
        on_rows: told how many rows are written.

    Raises:
        RunError: the disk is full, or the folder cannot be written to.
    """
    tally = Tally()

    def counted() -> Iterator[pyarrow.Table]:
        for table, unread in parts:
            tally.rows += table.num_rows
            tally.errors += table.num_rows - table["error"].null_count
            tally.strange += table.num_rows - table["strange"].null_count
            tally.unread.update(unread)
            yield table
            on_rows(tally.rows)

    write = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_json}[target.suffix.lower()]
    with atomic_file(target) as temporary, temporary.open("wb") as file:
        write(file, counted(), schema)
    return tally


def _write_parquet(file: BinaryIO, tables: Iterator[pyarrow.Table], schema: pyarrow.Schema) -> None:
    with parquet.ParquetWriter(file, schema) as writer:
        held: list[pyarrow.Table] = []
        for table in tables:
            held.append(table)
            while sum(one.num_rows for one in held) >= ROW_GROUP_ROWS:
                together = pyarrow.concat_tables(held)
                writer.write_table(together.slice(0, ROW_GROUP_ROWS), row_group_size=ROW_GROUP_ROWS)
                held = [together.slice(ROW_GROUP_ROWS)]
        if held:
            writer.write_table(pyarrow.concat_tables(held).combine_chunks(), row_group_size=ROW_GROUP_ROWS)


def _write_csv(file: BinaryIO, tables: Iterator[pyarrow.Table], schema: pyarrow.Schema) -> None:
    flat = pyarrow.schema([_flat_field(column) for column in schema])
    with arrow_csv.CSVWriter(file, flat) as writer:
        for table in tables:
            columns = [
                column if column.type == one.type else as_text(column)
                for column, one in zip(table.columns, flat, strict=True)
            ]
            writer.write_table(pyarrow.table(columns, schema=flat))


def _flat_field(column: pyarrow.Field) -> pyarrow.Field:
    is_type, kind = pyarrow.types, column.type
    is_bytes = is_type.is_binary(kind) or is_type.is_large_binary(kind) or is_type.is_fixed_size_binary(kind)
    if is_type.is_nested(kind) or is_bytes or is_type.is_null(kind):
        return pyarrow.field(column.name, pyarrow.large_string())
    return column


def _write_json(file: BinaryIO, tables: Iterator[pyarrow.Table], schema: pyarrow.Schema) -> None:
    for whole in tables:
        for start in range(0, whole.num_rows, _JSON_ROWS):
            table = whole.slice(start, _JSON_ROWS)
            columns = [_plain_values(column) for column in table.columns]
            for values in zip(*columns, strict=True):
                row = dict(zip(schema.names, values, strict=True))
                file.write((to_json(row) + "\n").encode())


def _plain_values(column: pyarrow.ChunkedArray) -> list[object]:
    is_type, kind = pyarrow.types, column.type
    if is_type.is_float32(kind):
        # The shortest digits of a float32, not those of the float64 that it widens to.
        texts = column.cast(pyarrow.string()).to_pylist()
        return [None if text is None else float(text) for text in texts]
    plain = is_type.is_integer(kind) or is_type.is_floating(kind) or is_type.is_boolean(kind)
    if plain or is_type.is_string(kind) or is_type.is_large_string(kind) or is_type.is_null(kind):
        values: list[object] = column.to_pylist()
        return values
    if is_type.is_nested(kind):
        return [one if one is None else _plain_nested(one) for one in column.to_pylist()]
    texts = as_text(column).to_pylist()
    return list(texts)


def _plain_nested(value: object) -> object:
    """A list or object with texts for what JSON does not know."""
    if isinstance(value, dict):
        return {str(name): _plain_nested(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_nested(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
