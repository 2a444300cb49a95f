"""From a source to samples: a folder, an archive, arrays, a table, or the name of a built-in data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from flambeau.data.known.builtin import open_named
from flambeau.data.known.named import place_of
from flambeau.data.known.names import DATA_WORDS, SYNTHETIC, plain_name
from flambeau.data.own.own_data import open_own_data
from flambeau.data.pictures.archive import extract, is_archive
from flambeau.data.pictures.arrays import ARRAY_SUFFIXES, is_idx
from flambeau.data.pictures.columns import with_content, with_picture_facts
from flambeau.data.pictures.generate import UNLABELLED, apply_target_of, learn_target_of
from flambeau.data.pictures.image import PICTURE_SUFFIXES
from flambeau.data.pictures.source import digest_pictures, open_arrays, open_folder, picture_facts
from flambeau.data.places import cache_folder
from flambeau.data.samples import Samples
from flambeau.data.series.series import read_series
from flambeau.data.source import Source
from flambeau.data.tables.kinds import infer_columns
from flambeau.data.tables.rows import (
    as_pictures,
    digest_rows,
    open_table,
    require_inputs,
    row_columns,
)
from flambeau.data.tables.spelling import number_of
from flambeau.data.tables.table import TABLE_SUFFIXES
from flambeau.data.target import Target
from flambeau.errors import DataError, did_you_mean, nearest_file
from flambeau.recipe import Recipe
from flambeau.recipe.fields import is_own
from flambeau.schema import Column, Finding, Schema


def read(source: str, recipe: Recipe) -> Samples:
    """Read a source and find out what it asks for.

    Args:
        source: a folder, a file, or the name of a built-in data set; a path that exists comes first.
        recipe: for the target, the task, kinds of columns and limits.

    Raises:
        DataError: there is nothing there, or nothing that can be learnt from; says what to type next.
    """
    if recipe.task == "forecast":
        return read_series(place_of(source), recipe)
    opened = open_source(source, recipe, recipe.data.target)
    columns: tuple[Column, ...] = (Column("image", "image"),)
    told: tuple[Finding, ...] = ()
    if opened.table is not None:
        opened, columns, told = _understand_columns(opened, recipe)
    target = learn_target_of(opened, recipe.task)
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
    name = None if schema.target in ("folder", "labels", UNLABELLED) else schema.target
    # samples that only test need not name the group that the split of the others was made by
    recipe = recipe.model_copy(update={"split": recipe.split.model_copy(update={"group": None})})
    opened = open_source(source, recipe, name)
    if schema.source == "pictures":
        if opened.table is not None:
            opened, _, _ = _understand_columns(opened, recipe, alone=True)
        _require_pictures(opened, schema, source)
    elif opened.table is None:
        raise DataError("this model needs a table", where=source, got="pictures")
    else:
        require_inputs(schema, opened.table.column_names)
    target = apply_target_of(opened, schema)
    return _build(replace(opened, parts=None), target, schema)


def _require_pictures(opened: Source, schema: Schema, source: str) -> None:
    if opened.pictures is None:
        raise DataError("this model needs pictures", where=source, got="a table without a column of pictures")
    if schema.task != "generate" and len(opened.target) != len(schema.target.split(",")):
        raise DataError(
            "the labels are of another kind", where=source, expected=f"one target, '{schema.target}'"
        )


def open_source(source: str, recipe: Recipe, target: str | None) -> Source:
    """Open a source by what it is, without a look at its columns. Raises DataError if it is nothing known."""
    source = place_of(source, recipe.data.root)
    path = Path(source).expanduser()
    if not path.exists():
        if (named := open_named(plain_name(source), recipe.data.root)) is not None:
            return named
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
        return open_arrays(path, None, need_labels=recipe.task != "generate")
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
    kind, colon, rest = source.partition(":")
    if colon and did_you_mean(kind, [SYNTHETIC]).startswith("did"):
        meant = f"{SYNTHETIC}:{rest}"
        raise DataError(
            f"there is no '{source}'", hint=f"did you mean '{meant}'?", command=f"flambeau train {meant}"
        )
    hint = nearest_file(path.name, [*beside, *DATA_WORDS])
    return DataError(
        f"there is no '{source}'",
        expected=f"a folder, a file, or the name of data ({', '.join(DATA_WORDS)})",
        hint=hint,
        command="flambeau train digits",
    )


def _hint(path: Path) -> str:
    if path.suffix == ".py":
        return f"name the Dataset in it: {path.name}:MyDataset"
    return "a single picture can be predicted, not trained on" * (path.suffix.lower() in PICTURE_SUFFIXES)


def _understand_columns(
    opened: Source, recipe: Recipe, *, alone: bool = False
) -> tuple[Source, tuple[Column, ...], tuple[Finding, ...]]:
    assert opened.table is not None
    kinds = {**opened.kinds, **recipe.data.columns}
    given = {name: kind for name, kind in kinds.items() if name not in opened.target}
    drop = [name for name in recipe.data.drop if name != recipe.split.group]
    columns, told = infer_columns(opened.table, given=given, drop=drop, root=opened.root)
    images = [column.name for column in columns if column.kind == "image" and column.used]
    alone = alone or all(column.kind == "image" for column in columns if column.used)
    if len(images) == 1 and alone:
        return as_pictures(opened, columns, images[0]), (Column("image", "image"),), ()
    if not any(column.used for column in columns):
        raise DataError(
            "there is no column to learn from",
            got="; ".join(f"{column.name}: {column.reason}" for column in columns[:10]) or "the target alone",
            expected="at least one column of numbers, categories, dates, texts or pictures, with values in it",
            hint=""
            if columns and all("missing" in column.reason for column in columns)
            else "data.columns says what a column is, such as --set data.columns.NAME=category",
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
        arrays, strange = row_columns(opened.table, schema.columns, opened.root)
        schema = with_picture_facts(schema, arrays, strange)
        digests = digest_rows(with_content(arrays, schema.picture_columns), len(opened.ids))
        findings += tuple(strange)
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
