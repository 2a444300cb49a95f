"""From paths to samples without targets: what is to be predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow

from flambeau.data.listing import list_tables, open_if_archive
from flambeau.data.pictures.arrays import ARRAY_SUFFIXES, is_idx
from flambeau.data.pictures.folder import scan_folder
from flambeau.data.pictures.source import open_arrays
from flambeau.data.samples import PictureArray, PictureFiles, Samples
from flambeau.data.series.series import read_series_inputs
from flambeau.data.source import Notes, core_errors
from flambeau.data.tables.rows import require_inputs, row_columns, strange_values
from flambeau.data.tables.table import column_values, read_table
from flambeau.data.texts.texts import TEXT_COLUMN, read_texts, text_inputs
from flambeau.errors import DataError, nearest_file
from flambeau.recipe import Recipe
from flambeau.schema import Finding, Schema


def read_inputs(paths: Sequence[str], schema: Schema, recipe: Recipe) -> Samples:
    """Read what is to be predicted. Targets are not needed and not read: they are NaN.

    Pictures are files, folders (searched to any depth), archives or one source of arrays; those that cannot
    be decoded stay in the list, to be told one by one. Tables are files, folders or archives of them; columns that
    the model does not know are ignored.

    Raises:
        DataError: a path does not exist, holds nothing to predict, or lacks a column that the model needs.
    """
    if not paths:
        raise DataError("there is nothing to predict", command="flambeau predict RUN PATH...")
    readers = {"pictures": _picture_inputs, "series": read_series_inputs}
    return readers.get(schema.source, _table_inputs)(paths, schema, recipe)


def _picture_inputs(paths: Sequence[str], schema: Schema, recipe: Recipe) -> Samples:
    assert schema.picture is not None
    names: list[str] = []
    ids: list[str] = []
    findings: list[Finding] = []
    for given in paths:
        path = Path(given).expanduser()
        if not path.exists():
            raise missing_input(given, path)
        source = path
        path, told = open_if_archive(path)
        findings.extend(told)
        if path.is_dir():
            scan = scan_folder(path)
            findings.extend(one for one in scan.findings if one.code == "closed-folders")
            if scan.pictures:
                found = [scan.root / name for name in scan.pictures]
                names.extend(one.as_posix() for one in found)
                # What lies in an archive is called by its name there, not by its place in the cache.
                ids.extend((source / one.relative_to(path)).as_posix() for one in found)
                continue
            path = (
                scan.root
                if any("idx" in n for n in scan.arrays)
                else scan.root / [*scan.arrays, *scan.tables][0]
            )
        if is_idx(path) or path.suffix.lower() in ARRAY_SUFFIXES or path.is_dir():
            if len(paths) > 1:
                raise DataError("arrays are predicted alone", got=f"{len(paths)} paths", expected="one path")
            opened = open_arrays(path, schema.picture.bits, need_labels=False)
            return _as_inputs(opened.ids, schema, opened.findings, pictures=opened.pictures)
        names.append(path.as_posix())
        ids.append(path.as_posix())
    return _as_inputs(tuple(ids), schema, tuple(findings), pictures=PictureFiles(Path(), tuple(names)))


def _table_inputs(paths: Sequence[str], schema: Schema, recipe: Recipe) -> Samples:
    tables: list[dict[str, np.ndarray]] = []
    ids: list[str] = []
    notes = Notes()
    files: list[tuple[str, Path]] = []
    for given in paths:
        if not Path(given).expanduser().exists():
            raise missing_input(given, Path(given).expanduser())
        if (texts := text_inputs(given, schema)) is not None:
            content, kept, told = read_texts(*texts)
            tables.append({schema.used_columns[0].name: column_values(content[TEXT_COLUMN], "text")})
            ids.extend(texts[1][row] for row in kept)
            notes.findings += told
            continue
        found, told = list_tables(given)
        files += found
        notes.findings += told
    for given, path in files:
        with core_errors():
            table: pyarrow.Table = read_table(path, max_rows=recipe.data.max_rows, on_note=notes)
        require_inputs(schema, table.column_names)
        arrays, strange = row_columns(table, schema.columns, path.parent)
        notes.findings += [*strange, *strange_values(table, schema.columns, arrays)]
        tables.append(arrays)
        prefix = f"{given}: " if len(files) > 1 else ""
        ids.extend(f"{prefix}row {number}" for number in range(1, table.num_rows + 1))
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    return _as_inputs(tuple(ids), schema, tuple(notes.findings), columns=columns)


def missing_input(given: str, path: Path) -> DataError:
    """The error for a path of inputs that does not exist, with the nearest name beside it."""
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = nearest_file(path.name, beside)
    return DataError(f"there is no '{given}'", expected="a file or a folder", hint=hint)


def _as_inputs(
    ids: tuple[str, ...],
    schema: Schema,
    findings: tuple[Finding, ...],
    pictures: PictureFiles | PictureArray | None = None,
    columns: dict[str, np.ndarray] | None = None,
) -> Samples:
    unknown = np.full(len(ids), np.nan)
    return Samples(schema, ids, unknown, pictures=pictures, columns=columns, findings=findings)
