"""Columns of the inputs that are carried along into the predictions: which, under what names and of what types."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow

from flambeau.data.tables.table import as_arrow
from flambeau.deploy.batch.blocks import TableBlocks
from flambeau.errors import DataError, did_you_mean

ALL = "all"


def kept_schema(
    files: Sequence[tuple[str, TableBlocks]], keep: Sequence[str]
) -> tuple[tuple[str, ...], pyarrow.Schema]:
    """The columns to carry along and their types, fixed before the first row is read.

    A column that has different types in different files becomes text.

    Args:
        files: the name and the blocks of each table.
        keep: names of columns; ("all",) for every column that any of the tables has.

    Raises:
        DataError: one of the tables lacks a column that is named.
    """
    everything = list(dict.fromkeys(name for _, blocks in files for name in blocks.schema.names))
    names = everything if tuple(keep) == (ALL,) and ALL not in everything else list(dict.fromkeys(keep))
    fields = []
    for name in names:
        types = []
        for file, blocks in files:
            if name in blocks.schema.names:
                types.append(blocks.schema.field(name).type)
            elif names is not everything:
                raise DataError(
                    f"there is no column '{name}' to keep",
                    where=file,
                    expected=", ".join(blocks.schema.names[:30]),
                    hint=did_you_mean(name, blocks.schema.names),
                )
        known = {kind for kind in types if not pyarrow.types.is_null(kind)}
        fields.append(pyarrow.field(name, known.pop() if len(known) == 1 else pyarrow.large_string()))
    return tuple(names), pyarrow.schema(fields)


def take_kept(table: pyarrow.Table, names: Sequence[str], schema: pyarrow.Schema) -> pyarrow.Table:
    """These columns of a block with the types of the schema; a column that the block lacks is missing throughout."""
    if not names:
        return pyarrow.table({"": pyarrow.nulls(table.num_rows)}).select([])
    columns = []
    for name in names:
        kind = schema.field(name).type
        if name not in table.column_names:
            columns.append(pyarrow.nulls(table.num_rows, kind))
        elif table[name].type == kind:
            columns.append(table[name])
        else:
            columns.append(as_text(table[name]))
    return pyarrow.table(columns, schema=schema)


def as_text(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Values of any type as texts; lists and objects as JSON."""
    is_type, kind = pyarrow.types, column.type
    if is_type.is_nested(kind) or is_type.is_null(kind):
        return as_arrow(column.to_pylist())
    if is_type.is_binary(kind) or is_type.is_large_binary(kind) or is_type.is_fixed_size_binary(kind):
        return as_arrow([None if value is None else value.hex() for value in column.to_pylist()])
    return column.cast(pyarrow.large_string())
