"""JSON lines in blocks, with the types that reading the whole file would give; it is gone through twice."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import json as arrow_json

from flambeau.data.tables.spelling import spell_value
from flambeau.deploy.batch.blocks import OnNote, TableBlocks

BLOCK_BYTES = 8 * 2**20


def line_blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file in pieces that end where a line ends."""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block + file.readline()


class JsonLinesBlocks(TableBlocks):
    """One JSON object a line, whose columns each hold one type."""

    def __init__(self, path: Path, on_note: OnNote) -> None:
        merged = pyarrow.schema([])
        rows = 0
        for block in line_blocks(path):
            if block.strip():
                table = arrow_json.read_json(pyarrow.py_buffer(block))
                merged = merge_schemas(merged, table.schema)
                rows += table.num_rows
        super().__init__(path, merged, rows, on_note)
        self._raw = merged

    def raw_blocks(self, places: Sequence[int], start: int) -> Iterator[pyarrow.Table]:
        """See `TableBlocks`."""
        options = arrow_json.ParseOptions(
            explicit_schema=pyarrow.schema([self._raw.field(place) for place in places]),
            unexpected_field_behavior="ignore",
        )
        names = [self._raw.field(place).name for place in places]
        try:
            for block in line_blocks(self.path):
                if not block.strip():
                    continue
                table = arrow_json.read_json(pyarrow.py_buffer(block), parse_options=options)
                if start < table.num_rows:
                    yield table.select(names).slice(start)
                start = max(start - table.num_rows, 0)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{self.path}: cannot be read as JSON: {error}") from error


def merge_schemas(first: pyarrow.Schema, second: pyarrow.Schema) -> pyarrow.Schema:
    """The columns of both, with types that arrow would infer for the blocks together.

    Raises:
        pyarrow.ArrowInvalid: a column holds values of two kinds, such as numbers and texts.
    """
    return pyarrow.schema(_merge_fields(list(first), list(second)))


def _merge_fields(first: list[pyarrow.Field], second: list[pyarrow.Field]) -> list[pyarrow.Field]:
    types = {one.name: one.type for one in first}
    for one in second:
        types[one.name] = _merge_types(types[one.name], one.type) if one.name in types else one.type
    return [pyarrow.field(name, kind) for name, kind in types.items()]


def _merge_types(first: pyarrow.DataType, second: pyarrow.DataType) -> pyarrow.DataType:
    is_type = pyarrow.types
    if first == second or is_type.is_null(second):
        return first
    if is_type.is_null(first):
        return second
    pair = (first, second)
    if all(is_type.is_int64(kind) or is_type.is_float64(kind) for kind in pair):
        return pyarrow.float64()
    if all(is_type.is_string(kind) or is_type.is_timestamp(kind) for kind in pair):
        return pyarrow.string()
    if all(is_type.is_list(kind) for kind in pair):
        return pyarrow.list_(_merge_types(first.value_type, second.value_type))
    if all(is_type.is_struct(kind) for kind in pair):
        return pyarrow.struct(_merge_fields(list(first), list(second)))
    raise pyarrow.ArrowInvalid(f"a column changed from {first} to {second}")


class JsonValueBlocks(TableBlocks):
    """One JSON object a line, read value by value, for columns that mix types."""

    def __init__(self, path: Path, on_note: OnNote) -> None:
        on_note("json-types", f"{path.name} mixes types in a column; it was read value by value")
        self._facts: dict[str, _Facts] = {}
        rows = 0
        for row in _rows(path):
            rows += 1
            for name, value in row.items():
                self._facts.setdefault(name, _Facts()).take(value)
        names = list(self._facts)
        raw = pyarrow.schema([pyarrow.field(name, self._facts[name].type()) for name in names])
        super().__init__(path, raw, rows, on_note)
        self._names = names

    def raw_blocks(self, places: Sequence[int], start: int) -> Iterator[pyarrow.Table]:
        """See `TableBlocks`."""
        names = [self._names[place] for place in places]
        held: list[dict[str, Any]] = []
        for number, row in enumerate(_rows(self.path)):
            if number >= start:
                held.append(row)
            if len(held) == 4096:
                yield self._table(names, held)
                held = []
        if held:
            yield self._table(names, held)

    def _table(self, names: list[str], rows: list[dict[str, Any]]) -> pyarrow.Table:
        columns = [self._facts[name].column([row.get(name) for row in rows]) for name in names]
        if not names:
            return pyarrow.table({"": pyarrow.nulls(len(rows))}).select([])
        return pyarrow.table(columns, names=[str(place) for place in range(len(names))])


@dataclass
class _Facts:
    """What decides the type of a column that is read value by value."""

    kinds: set[type] = field(default_factory=set)
    low: int = 0
    high: int = 0

    def take(self, value: Any) -> None:
        if value is not None:
            self.kinds.add(type(value))
            if type(value) is int:
                self.low, self.high = min(self.low, value), max(self.high, value)

    def type(self) -> pyarrow.DataType:
        if not self.kinds:
            return pyarrow.null()
        if self.kinds <= {int, float}:
            return self._integer_type() if self.kinds == {int} else pyarrow.float64()
        if self.kinds == {bool}:
            return pyarrow.bool_()
        return pyarrow.string() if self.kinds == {str} else pyarrow.large_string()

    def _integer_type(self) -> pyarrow.DataType:
        try:
            return pyarrow.array([self.low, self.high]).type
        except (pyarrow.ArrowInvalid, OverflowError):
            return pyarrow.float64()

    def column(self, values: list[Any]) -> pyarrow.Array:
        kind = self.type()
        if pyarrow.types.is_floating(kind):
            values = [None if value is None else _as_float(value) for value in values]
        elif pyarrow.types.is_large_string(kind):
            values = [spell_value(value) for value in values]
        return pyarrow.array(values, kind)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Raises ValueError for a line that is no JSON object."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in file:
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError('expected one object a line, such as {"price": 1}')
                    yield row
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as JSON: {error}") from error
