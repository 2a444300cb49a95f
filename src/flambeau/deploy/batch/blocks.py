"""A table file read block by block with the same values as `read_table` gives at once: what all formats share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow
from pyarrow import parquet

from flambeau.data.tables.table import clean_table, read_table

BLOCK_ROWS = 32_768
_BUFFER_BYTES = 2**20

OnNote = Callable[[str, str], None]


class TableBlocks(ABC):
    """One table file that was looked through once: its columns, their types and its rows are known.

    Attributes:
        path: the file.
        schema: distinct names and types as `read_table` would give them.
        rows: how many there are.
    """

    def __init__(self, path: Path, raw: pyarrow.Schema, rows: int, on_note: OnNote) -> None:
        self.path = path
        self.raw_types = raw.types
        self.schema = clean_table(raw.empty_table(), on_note=on_note).schema
        self.rows = rows

    @abstractmethod
    def raw_blocks(self, places: Sequence[int], start: int) -> Iterator[pyarrow.Table]:
        """The columns at these places, not yet cleaned, from row `start` on, some rows at a time."""

    def blocks(self, names: Sequence[str], start: int = 0) -> Iterator[pyarrow.Table]:
        """These columns from row `start` on, as `read_table` gives them, at most `BLOCK_ROWS` at a time.

        Raises:
            ValueError: the file is damaged further on; names it.
        """
        places = [self.schema.get_field_index(name) for name in names]
        for table in self.raw_blocks(places, start):
            named = pyarrow.table(table.columns, names=list(names)) if names else table.select([])
            for begin in range(0, table.num_rows, BLOCK_ROWS):
                yield clean_table(named.slice(begin, BLOCK_ROWS)) if names else named


class ParquetBlocks(TableBlocks):
    """Parquet, some rows of a row group at a time, so that a large row group needs little memory."""

    def __init__(self, path: Path, on_note: OnNote) -> None:
        try:
            with parquet.ParquetFile(path) as file:
                schema, rows = file.schema_arrow.remove_metadata(), file.metadata.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{path}: cannot be read as Parquet: {error}") from error
        self._raw_names = schema.names
        super().__init__(path, schema, rows, on_note)

    def raw_blocks(self, places: Sequence[int], start: int) -> Iterator[pyarrow.Table]:
        """See `TableBlocks`."""
        # Arrow picks columns by their names, so a file with equal names is read whole in width.
        distinct = len(set(self._raw_names)) == len(self._raw_names)
        names = [self._raw_names[place] for place in places] if distinct else None
        try:
            with parquet.ParquetFile(self.path, buffer_size=_BUFFER_BYTES) as file:
                groups, skip = _groups_from(file.metadata, start)
                for batch in file.iter_batches(BLOCK_ROWS, row_groups=groups, columns=names):
                    whole = batch.num_rows
                    if skip < whole:
                        rest = batch.slice(skip)
                        found = (
                            [rest.schema.get_field_index(name) for name in names or ()]
                            if distinct
                            else places
                        )
                        yield pyarrow.Table.from_batches([rest]).select(list(found))
                    skip = max(skip - whole, 0)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{self.path}: cannot be read as Parquet: {error}") from error


def _groups_from(metadata: parquet.FileMetaData, start: int) -> tuple[list[int], int]:
    """The row groups that hold row `start` and later ones, and how many rows of the first to leave out."""
    groups, skip = list(range(metadata.num_row_groups)), start
    while groups and skip >= metadata.row_group(groups[0]).num_rows:
        skip -= metadata.row_group(groups.pop(0)).num_rows
    return groups, skip


class WholeTable(TableBlocks):
    """A format whose meaning shows only at its end (spreadsheets, one JSON list): it is read whole."""

    def __init__(self, path: Path, max_rows: int, on_note: OnNote) -> None:
        table = read_table(path, max_rows=max_rows, on_note=on_note)
        self._max_rows = max_rows
        super().__init__(path, table.schema, table.num_rows, on_note)

    def raw_blocks(self, places: Sequence[int], start: int) -> Iterator[pyarrow.Table]:
        """See `TableBlocks`. The file is read again, as many files are not all kept in memory."""
        table = read_table(self.path, max_rows=self._max_rows)
        yield table.select(list(places)).slice(start)
