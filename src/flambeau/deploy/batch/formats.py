"""Which way a table file is read in blocks, by its suffix."""

from __future__ import annotations

from pathlib import Path

import pyarrow

from flambeau.data.tables.table import DELIMITED_SUFFIXES, TABLE_SUFFIXES
from flambeau.deploy.batch.blocks import OnNote, ParquetBlocks, TableBlocks, WholeTable
from flambeau.deploy.batch.delimited_blocks import DelimitedBlocks
from flambeau.deploy.batch.json_blocks import JsonLinesBlocks, JsonValueBlocks


def open_blocks(path: Path, max_rows: int, on_note: OnNote) -> TableBlocks:
    """Look through a table file, so that it can be read in blocks.

    Delimited text, Parquet and JSON lines take memory for a block at a time; spreadsheets and `.json` are read whole.

    Args:
        path: the file.
        max_rows: the limit for formats that are read whole.
        on_note: called with a short code and a sentence for each thing that was changed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no table; names the file.
    """
    suffix = path.suffix.lower()
    if suffix in DELIMITED_SUFFIXES:
        return DelimitedBlocks(path, on_note)
    if suffix in (".parquet", ".pq"):
        return ParquetBlocks(path, on_note)
    if suffix in (".jsonl", ".ndjson"):
        try:
            return JsonLinesBlocks(path, on_note)
        except pyarrow.ArrowInvalid:
            if not _begins_with_list(path):
                return JsonValueBlocks(path, on_note)
    elif suffix not in TABLE_SUFFIXES:
        raise ValueError(
            f"{path}: not a table; its name ends in '{suffix}', known are {', '.join(TABLE_SUFFIXES)}"
        )
    return WholeTable(path, max_rows, on_note)


def _begins_with_list(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
