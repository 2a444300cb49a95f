"""Delimited text in blocks. Arrow infers a column's type from all of its values, so the file is gone through twice.

The first time finds the types: as arrow guesses them from the first block, which mostly holds to the end. Where it
does not, values that do not fit are collected as witnesses: a type that arrow infers for a column's witnesses, and that
fits all other values too, is the one that it would infer for the whole column.
"""

from __future__ import annotations

import gc
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow
from pyarrow import csv as arrow_csv

from flambeau.data.tables.delimited import (
    LARGEST_BLOCK,
    TextLayout,
    delimited_options,
    single_byte_encoding,
    sniff_layout,
    tell_layout,
)
from flambeau.deploy.batch.blocks import OnNote, TableBlocks


class DelimitedBlocks(TableBlocks):
    """CSV, TSV and the like."""

    def __init__(self, path: Path, on_note: OnNote) -> None:
        layout = sniff_layout(path)
        try:
            self._file = _TextFile(path, layout)
            types, rows = self._file.find_types()
            if any(pyarrow.types.is_binary(kind) for kind in types):
                self._file = _TextFile(path, replace(layout, encoding=single_byte_encoding(path)))
                types, rows = self._file.find_types()
        except (pyarrow.ArrowInvalid, UnicodeError) as error:
            raise ValueError(f"{path}: cannot be read as a table: {error}") from error
        file = self._file
        tell_layout(path, file.layout, rows, file.skipped, file.first_skipped, on_note)
        raw = pyarrow.schema([])
        for name, kind in zip(layout.names, types, strict=True):
            raw = raw.append(pyarrow.field(name, kind))
        super().__init__(path, raw, rows, on_note)

    def raw_blocks(self, places: Sequence[int], start: int) -> Iterator[pyarrow.Table]:
        """See `TableBlocks`."""
        kinds = {str(place): self.raw_types[place] for place in places}
        try:
            for batch in self._file.stream(kinds, only=[str(place) for place in places]):
                if start < batch.num_rows:
                    yield pyarrow.Table.from_batches([batch.slice(start)])
                start = max(start - batch.num_rows, 0)
        except (pyarrow.ArrowInvalid, UnicodeError) as error:
            raise ValueError(f"{self.path}: cannot be read as a table: {error}") from error


class _TextFile:
    """A delimited file of known layout as a stream of record batches.

    Attributes:
        skipped, first_skipped: how many rows have another number of values, and the text of the first.
    """

    def __init__(self, path: Path, layout: TextLayout) -> None:
        self.path = path
        self.layout = layout
        self.skipped = 0
        self.first_skipped = ""
        self._ragged = False
        self._block_size: int | None = None

    def find_types(self) -> tuple[list[pyarrow.DataType], int]:
        """The type of each column and the number of rows; a binary type for text that is not UTF-8."""
        most = min(self.path.stat().st_size + 1, LARGEST_BLOCK)
        size = delimited_options(self.layout, None)[0].block_size
        while True:
            try:
                return self._found_types()
            except pyarrow.ArrowInvalid as error:
                # a single value that is longer than a block, such as a whole book
                if "straddl" not in str(error) or size >= most:
                    raise
                size = self._block_size = min(most, 16 * size)

    def _found_types(self) -> tuple[list[pyarrow.DataType], int]:
        try:
            return self._first_types()
        except pyarrow.ArrowInvalid as error:
            if "columns, got" in str(error):
                # A handler in Python slows the reading down, so it is given only where it is needed.
                self._ragged = True
                return self.find_types_of_ragged()
        return self._witnessed_types()

    def find_types_of_ragged(self) -> tuple[list[pyarrow.DataType], int]:
        """See `find_types`; the rows that are left out are counted."""
        try:
            return self._first_types()
        except pyarrow.ArrowInvalid:
            return self._witnessed_types()

    def _first_types(self) -> tuple[list[pyarrow.DataType], int]:
        types: list[pyarrow.DataType] = [pyarrow.null() for _ in self.layout.names]
        rows = 0
        for batch in self.stream({}):
            types = batch.schema.types
            rows += batch.num_rows
        return types, rows

    def _witnessed_types(self) -> tuple[list[pyarrow.DataType], int]:
        kinds = _WitnessedTypes(self.layout)
        doubtful = list(range(len(self.layout.names)))
        rows = None
        while doubtful:
            changed: set[int] = set()
            count = 0
            names = [str(place) for place in doubtful]
            for batch in self.stream({name: pyarrow.binary() for name in names}, only=names, raw=True):
                count += batch.num_rows
                changed |= kinds.take(doubtful, batch.columns)
                if any(pyarrow.types.is_binary(kinds.types[place]) for place in doubtful):
                    return kinds.types, count
            rows = count if rows is None else rows
            # Earlier blocks have not been tried with a type that came up later; any text fits a text column.
            doubtful = sorted(p for p in changed if not pyarrow.types.is_string(kinds.types[p]))
        return kinds.types, rows or 0

    def stream(
        self, kinds: dict[str, pyarrow.DataType], only: Sequence[str] = (), raw: bool = False
    ) -> Iterator[pyarrow.RecordBatch]:
        """Batches of rows; columns without a given type get that of their first block.

        Args:
            kinds: types by place.
            only: the places to give; all if none is named.
            raw: values as they are written, none of them missing.
        """
        self.skipped, self.first_skipped = 0, ""
        read, parse, convert = delimited_options(self.layout, self._skip if self._ragged else None)
        read.block_size = self._block_size or read.block_size
        convert.column_types = kinds
        convert.include_columns = list(only)
        if raw:
            convert.null_values, convert.strings_can_be_null = [], False
        try:
            with arrow_csv.open_csv(
                self.path, read_options=read, parse_options=parse, convert_options=convert
            ) as reader:
                yield from reader
        finally:
            if self._ragged:
                # Arrow's threads must not hold the handler when the interpreter ends.
                del read, parse, convert
                gc.collect()

    def _skip(self, row: arrow_csv.InvalidRow) -> str:
        self.first_skipped = self.first_skipped if self.skipped else row.text
        self.skipped += 1
        return "skip"


class _WitnessedTypes:
    """The types that arrow would infer for whole columns, from their raw values block by block."""

    def __init__(self, layout: TextLayout) -> None:
        self._convert = delimited_options(layout, None)[2]
        self._witnesses: list[list[bytes]] = [[] for _ in layout.names]
        self.types: list[pyarrow.DataType] = [pyarrow.null() for _ in layout.names]

    def take(self, places: Sequence[int], columns: Sequence[pyarrow.Array]) -> set[int]:
        """Take in a block of these columns; gives the places whose type had to change."""
        if not len(columns[0]) or self._fits(places, columns):
            return set()
        changed = set()
        for place, column in zip(places, columns, strict=True):
            while not self._fits([place], [column]):
                changed.add(place)
                self._witnesses[place].append(self._find_witness(place, column))
                values = pyarrow.array(self._witnesses[place], pyarrow.binary())
                self.types[place] = self._parse([values], {}).schema.types[0]
                if pyarrow.types.is_binary(self.types[place]):
                    break
        return changed

    def _find_witness(self, place: int, column: pyarrow.Array) -> bytes:
        """A value that does not fit the column's type so far."""
        while len(column) > 1:
            half = column.slice(0, len(column) // 2)
            column = column.slice(len(column) // 2) if self._fits([place], [half]) else half
        value: bytes = column[0].as_py()
        return value

    def _fits(self, places: Sequence[int], columns: Sequence[pyarrow.Array]) -> bool:
        kinds = {str(position): self.types[place] for position, place in enumerate(places)}
        try:
            self._parse(columns, kinds)
        except pyarrow.ArrowInvalid:
            return False
        return True

    def _parse(self, columns: Sequence[pyarrow.Array], kinds: dict[str, pyarrow.DataType]) -> pyarrow.Table:
        """Raw values as arrow's own parser reads them from text."""
        names = [str(position) for position in range(len(columns))]
        text = io.BytesIO()
        arrow_csv.write_csv(
            pyarrow.table(list(columns), names=names),
            text,
            arrow_csv.WriteOptions(include_header=False, quoting_style="all_valid"),
        )
        options = self._convert
        options.column_types = kinds
        return arrow_csv.read_csv(
            pyarrow.py_buffer(text.getvalue()),
            read_options=arrow_csv.ReadOptions(
                column_names=names, block_size=text.tell() + 1, use_threads=False
            ),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=options,
        )
