"""From a source to samples: a folder, an archive, arrays, a table, or the name of a built-in data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow

from flambeau.data.archive import extract, is_archive
from flambeau.data.arrays import is_idx
from flambeau.data.builtin import BUILTIN_NAMES, open_builtin
from flambeau.data.folder import scan_folder
from flambeau.data.image import PICTURE_SUFFIXES
from flambeau.data.kinds import infer_columns
from flambeau.data.listing import list_tables, open_if_archive
from flambeau.data.own_data import open_own_data
from flambeau.data.pictures import digest_pictures, open_arrays, open_folder, picture_facts
from flambeau.data.places import cache_folder
from flambeau.data.rows import (
    as_pictures,
    digest_rows,
    input_columns,
    open_table,
    require_inputs,
    strange_values,
)
from flambeau.data.samples import PictureArray, PictureFiles, Samples
from flambeau.data.source import Notes, Source, core_errors
from flambeau.data.spelling import number_of
from flambeau.data.table import TABLE_SUFFIXES, read_table
from flambeau.data.target import Target, apply_target, learn_target
from flambeau.errors import DataError, did_you_mean
from flambeau.recipe import Recipe
from flambeau.recipe.fields import is_own
from flambeau.schema import Column, Finding, Schema

ARRAY_SUFFIXES = (".npz", ".npy")


def read(source: str, recipe: Recipe) -> Samples:
    """Read a source and find out what it asks for.

    Args:
        source: a folder, a file, or the name of a built-in data set; a path that exists comes first.
        recipe: for the target, the task, kinds of columns and limits.

    Raises:
        DataError: there is nothing there, or nothing that can be learnt from; says what to type next.
    """
    opened = open_source(source, recipe, recipe.data.target)
    columns: tuple[Column, ...] = (Column("image", "image"),)
    told: tuple[Finding, ...] = ()
    if opened.table is not None:
        opened, columns, told = _understand_columns(opened, recipe)
    target = learn_target(opened.target, recipe.task, folders=opened.folders)
    schema = Schema(
        source="table" if opened.pictures is None else "pictures",
        task=target.task,
        target=target.name,
        classes=target.classes,
        columns=columns,
    )
    reason = Finding("info", "task", f"task: {target.task}, because {target.reason}")
    return _build(replace(opened, findings=(*opened.findings, *told, reason)), target, schema)


def read_test(source: str, schema: Schema, recipe: Recipe) -> Samples:
    """Read a separate labelled source as an existing schema has it: same columns, same classes.

    Raises:
        DataError: columns are missing, or a class is not one of the schema's.
    """
    name = None if schema.target in ("folder", "labels") else schema.target
    # samples that only test need not name the group that the split of the others was made by
    recipe = recipe.model_copy(update={"split": recipe.split.model_copy(update={"group": None})})
    opened = open_source(source, recipe, name)
    if schema.source == "pictures":
        if opened.table is not None:
            opened, _, _ = _understand_columns(opened, recipe)
        _require_pictures(opened, schema, source)
    elif opened.table is None:
        raise DataError("this model needs a table", where=source, got="pictures")
    else:
        require_inputs(schema, opened.table.column_names)
    target = apply_target(opened.target, schema, folders=opened.folders)
    return _build(replace(opened, parts=None), target, schema)


def _require_pictures(opened: Source, schema: Schema, source: str) -> None:
    if opened.pictures is None:
        raise DataError("this model needs pictures", where=source, got="a table without a column of pictures")
    if len(opened.target) != len(schema.target.split(",")):
        raise DataError(
            "the labels are of another kind", where=source, expected=f"one target, '{schema.target}'"
        )


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
    read_all = _picture_inputs if schema.source == "pictures" else _table_inputs
    return read_all(paths, schema, recipe)


def open_source(source: str, recipe: Recipe, target: str | None) -> Source:
    """Open a source by what it is, without a look at its columns. Raises DataError if it is nothing known."""
    path = Path(source).expanduser()
    if not path.exists():
        if source in BUILTIN_NAMES:
            return open_builtin(source)
        if is_own(source):
            return open_own_data(source, recipe.split.group)
        raise _no_such_source(source, path)
    if path.is_file() and is_archive(path):
        folder, findings = extract(path, cache_folder())
        opened = open_folder(folder, recipe, target)
        return replace(opened, findings=findings + opened.findings)
    if path.is_dir():
        return open_folder(path, recipe, target)
    if is_idx(path) or path.suffix.lower() in ARRAY_SUFFIXES:
        return open_arrays(path, None)
    if path.suffix.lower() in TABLE_SUFFIXES:
        return open_table(path, recipe, target)
    raise DataError(
        "this file is no source of samples",
        where=source,
        expected="a folder, a table (.csv, .parquet, .jsonl, .xlsx), arrays (.npz, .npy, idx) or an archive",
        hint=_hint(path),
    )


def _no_such_source(source: str, path: Path) -> DataError:
    folder = path.parent
    beside = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    hint = did_you_mean(path.name, [*beside, *BUILTIN_NAMES])
    return DataError(
        f"there is no '{source}'",
        expected=f"a folder, a file, or a built-in data set ({', '.join(BUILTIN_NAMES)})",
        hint=hint if hint.startswith("did") else "",
        command="flambeau train digits",
    )


def _hint(path: Path) -> str:
    if path.suffix == ".py":
        return f"name the Dataset in it: {path.name}:MyDataset"
    return "a single picture can be predicted, not trained on" * (path.suffix.lower() in PICTURE_SUFFIXES)


def _understand_columns(
    opened: Source, recipe: Recipe
) -> tuple[Source, tuple[Column, ...], tuple[Finding, ...]]:
    assert opened.table is not None
    kinds = {**opened.kinds, **recipe.data.columns}
    given = {name: kind for name, kind in kinds.items() if name not in opened.target}
    drop = [name for name in recipe.data.drop if name != recipe.split.group]
    columns, told = infer_columns(opened.table, given=given, drop=drop, root=opened.root)
    images = [column.name for column in columns if column.kind == "image" and column.used]
    if len(images) == 1:
        return as_pictures(opened, columns, images[0]), (Column("image", "image"),), ()
    if images:
        reason = "pictures beside other columns are not learnt from yet"
        columns = tuple(
            replace(column, used=False, reason=reason) if column.name in images else column
            for column in columns
        )
        message = f"{len(images)} columns name pictures; several pictures a row are not learnt from yet"
        told = (*told, Finding("warning", "pictures-in-table", message, tuple(images)))
    if not any(column.used for column in columns):
        raise DataError(
            "there is no column to learn from",
            got="; ".join(f"{column.name}: {column.reason}" for column in columns[:10]) or "the target alone",
            expected="at least one column of numbers, categories or dates",
            hint="data.columns says what a column is, such as --set data.columns.NAME=category",
        )
    return opened, columns, told


def _build(opened: Source, target: Target, schema: Schema) -> Samples:
    findings = (*opened.findings, *target.findings)
    if opened.pictures is not None:
        facts, told = picture_facts(opened.pictures)
        schema = schema if schema.picture else replace(schema, picture=facts)
        arrays, digests = None, digest_pictures(opened.pictures)
        findings += told
    else:
        assert opened.table is not None
        arrays = input_columns(opened.table, schema.columns)
        digests = digest_rows(arrays, len(opened.ids))
    samples = Samples(
        schema=schema,
        ids=opened.ids,
        targets=target.values,
        pictures=opened.pictures,
        columns=arrays,
        parts=opened.parts,
        groups=opened.groups,
        digests=digests,
        findings=findings,
    )
    if target.known.all():
        return samples
    unknown = tuple(opened.ids[i] for i in np.flatnonzero(~target.known)[:20])
    message = (
        f"left out: {number_of(int((~target.known).sum()), 'sample')} without a value of '{target.name}'"
    )
    told = (Finding("warning", "missing-targets", message, unknown),)
    return replace(samples.take(np.flatnonzero(target.known)), findings=findings + told)


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
        path, told = open_if_archive(given, path)
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
        found, told = list_tables(given)
        files += found
        notes.findings += told
    for given, path in files:
        with core_errors():
            table: pyarrow.Table = read_table(path, max_rows=recipe.data.max_rows, on_note=notes)
        require_inputs(schema, table.column_names)
        arrays = input_columns(table, schema.columns)
        notes.findings += strange_values(table, schema.columns, arrays)
        tables.append(arrays)
        prefix = f"{given}: " if len(files) > 1 else ""
        ids.extend(f"{prefix}row {number}" for number in range(1, table.num_rows + 1))
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    return _as_inputs(tuple(ids), schema, tuple(notes.findings), columns=columns)


def missing_input(given: str, path: Path) -> DataError:
    """The error for a path of inputs that does not exist, with the nearest name beside it."""
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, beside)
    return DataError(
        f"there is no '{given}'", expected="a file or a folder", hint=hint if hint.startswith("did") else ""
    )


def _as_inputs(
    ids: tuple[str, ...],
    schema: Schema,
    findings: tuple[Finding, ...],
    pictures: PictureFiles | PictureArray | None = None,
    columns: dict[str, np.ndarray] | None = None,
) -> Samples:
    unknown = np.full(len(ids), np.nan)
    return Samples(schema, ids, unknown, pictures=pictures, columns=columns, findings=findings)
