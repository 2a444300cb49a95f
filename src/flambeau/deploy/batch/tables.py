"""Tables as one long row of samples: every file looked through once, then read in blocks of equal length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.compute as pc

from flambeau.data.listing import list_tables
from flambeau.data.source import Notes, core_errors
from flambeau.data.tables.rows import require_inputs, row_columns, unreadable_values
from flambeau.deploy.batch.blocks import TableBlocks
from flambeau.deploy.batch.formats import open_blocks
from flambeau.deploy.batch.keep import kept_schema, take_kept
from flambeau.deploy.batch.plan import Fingerprint
from flambeau.errors import DataError
from flambeau.schema import Finding, Schema


@dataclass(frozen=True)
class Rows:
    """Some consecutive rows as a preparation takes them.

    Args:
        ids: (n,) strings, such as "row 17".
        columns: name → (n,) array, as in `Samples`.
        unread: name → (n,) whether there is a value that is not of the column's kind; it counts as missing.
        kept: (n,) rows of the columns that are carried along.
    """

    ids: pyarrow.ChunkedArray
    columns: dict[str, np.ndarray]
    unread: dict[str, np.ndarray]
    kept: pyarrow.Table

    def __len__(self) -> int:
        return len(self.ids)

    def slice(self, start: int, stop: int) -> Rows:
        """The rows from `start` to before `stop`."""
        return Rows(
            self.ids[start:stop],
            {name: values[start:stop] for name, values in self.columns.items()},
            {name: values[start:stop] for name, values in self.unread.items()},
            self.kept[start:stop],
        )


class TableRows:
    """The rows of all tables that were named, in their order.

    Attributes:
        total: how many rows there are.
        kept: names and types of the columns that are carried along.
        fingerprint: what tells these inputs from others.
        findings: what was noticed while looking.
    """

    def __init__(
        self,
        paths: Sequence[str],
        schema: Schema,
        max_rows: int,
        keep: Sequence[str] = (),
        on_look: Callable[[str, int], None] = lambda name, count: None,
    ) -> None:
        self._columns = schema.used_columns
        notes = Notes()
        files = [file for given in paths for file in _listed(given, notes)]
        self._prefix = len(files) > 1
        self._files: list[tuple[str, TableBlocks]] = []
        self._folders: dict[str, Path] = {}
        self.total = 0
        self.fingerprint = Fingerprint()
        for name, path in files:
            on_look(name, self.total)
            with core_errors():
                self.fingerprint.add(name, path)
                blocks = open_blocks(path, max_rows, notes)
            _require(schema, blocks, name)
            if not blocks.rows:
                notes("no-rows", f"{name} has no rows")
            self._files.append((name, blocks))
            self._folders[name] = path.parent
            self.total += blocks.rows
        self._keep, self.kept = kept_schema(self._files, keep)
        self.findings = tuple(notes.findings)

    def chunks(self, start: int, size: int) -> Iterator[Rows]:
        """Rows from `start` on, `size` at a time; only the last are fewer.

        Raises:
            DataError: a file is damaged further on.
        """
        waiting: list[Rows] = []
        count = 0
        for block in self._blocks(start):
            waiting.append(block)
            count += len(block)
            while count >= size:
                together = _joined(waiting)
                yield together.slice(0, size)
                waiting, count = [together.slice(size, count)], count - size
        if count:
            yield _joined(waiting)

    def _blocks(self, start: int) -> Iterator[Rows]:
        for name, blocks in self._files:
            if start >= blocks.rows:
                start -= blocks.rows
                continue
            needed = list(
                dict.fromkeys(
                    [c.name for c in self._columns] + [k for k in self._keep if k in blocks.schema.names]
                )
            )
            first = start + 1
            with core_errors():
                for table in blocks.blocks(needed, start):
                    yield self._rows(
                        table, first, f"{name}: row " if self._prefix else "row ", self._folders[name]
                    )
                    first += table.num_rows
            start = 0

    def _rows(self, table: pyarrow.Table, first: int, prefix: str, folder: Path) -> Rows:
        columns, _ = row_columns(table, self._columns, folder)
        unread = {}
        for column in self._columns:
            name, values = column.name, columns[column.name]
            if column.kind == "image":
                there = np.array([value is not None for value in values], dtype=bool)
                unread[name] = ~there & table[name].is_valid().to_numpy()
                continue
            if values.dtype != object:
                missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
                unread[name] = missing & table[name].is_valid().to_numpy()
        numbers = pyarrow.array(np.arange(first, first + table.num_rows)).cast(pyarrow.string())
        ids = pc.binary_join_element_wise(prefix, numbers, "")
        return Rows(pyarrow.chunked_array([ids]), columns, unread, take_kept(table, self._keep, self.kept))


def _listed(given: str, notes: Notes) -> list[tuple[str, Path]]:
    files, findings = list_tables(given)
    notes.findings.extend(findings)
    return files


def _require(schema: Schema, blocks: TableBlocks, name: str) -> None:
    try:
        require_inputs(schema, blocks.schema.names)
    except DataError as error:
        error.where = name
        raise


def _joined(parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Rows(
        pyarrow.chunked_array([chunk for part in parts for chunk in part.ids.chunks], pyarrow.string()),
        {name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns},
        {name: np.concatenate([part.unread[name] for part in parts]) for name in first.unread},
        pyarrow.concat_tables([part.kept for part in parts]),
    )


def unread_findings(counts: Mapping[str, int], schema: Schema) -> tuple[Finding, ...]:
    """What is told of values that are not of their column's kind.

    Args:
        counts: column → how many of its values.
        schema: whose columns they are.
    """
    return tuple(
        unreadable_values(column, counts[column.name])
        for column in schema.columns
        if counts.get(column.name, 0) > 0
    )
