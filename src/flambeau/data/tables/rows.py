"""Rows of a table: from a file to a source, and from columns to arrays and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from flambeau.data.pictures.paths import path_findings, picture_files, picture_values
from flambeau.data.samples import PictureFiles
from flambeau.data.series.hint import series_hint
from flambeau.data.source import Notes, Source, ask_for_target, core_errors, group_codes, target_names
from flambeau.data.tables.kinds import require_column
from flambeau.data.tables.named_pictures import find_pictures
from flambeau.data.tables.spelling import number_of
from flambeau.data.tables.table import column_values, read_table
from flambeau.errors import DataError, did_you_mean
from flambeau.recipe import Recipe
from flambeau.schema import Column, Finding, Schema

_MISSING = np.uint64(0x9E3779B97F4A7C15)


def open_table(path: Path, recipe: Recipe, target: str | None) -> Source:
    """A table file as a source. Raises DataError if it cannot be read or the target is not told."""
    notes = Notes()
    with core_errors():
        table = read_table(path, max_rows=recipe.data.max_rows, on_note=notes)
    ids = tuple(f"row {number}" for number in range(1, table.num_rows + 1))
    if target is None:
        raise ask_for_target(str(path), table.column_names, series_hint(table, path, None))
    names = target_names(target, table.column_names)
    if recipe.task is None and len(names) == 1 and (hint := series_hint(table, path, target)):
        notes("time-series", hint)
    group = recipe.split.group
    groups = None
    if group is not None:
        require_column(group, table.column_names, "split.group names a column")
        groups = group_codes(table[group])
    inputs = table.drop_columns([*names, *([group] if group and group not in names else [])])
    return Source(
        ids=ids,
        target={name: table[name] for name in names},
        table=inputs,
        root=path.parent,
        groups=groups,
        findings=tuple(notes.findings),
    )


def as_pictures(source: Source, columns: Sequence[Column], name: str) -> Source:
    """The same source as pictures, whose paths one of its columns holds; other columns are told as unused."""
    assert source.table is not None and source.root is not None
    values = source.table[name]
    folder = find_pictures(values, source.root) or source.root
    names = [str(value) if value is not None else "" for value in values.to_pylist()]
    there = np.array([bool(name) and (folder / name).is_file() for name in names], dtype=bool)
    if not there.any():
        raise DataError(
            f"none of the pictures that column '{name}' names is there", where=folder, got=names[0]
        )
    kept = np.flatnonzero(there)
    findings = list(source.findings)
    if len(kept) < len(names):
        missing = tuple(names[i] or source.ids[i] for i in np.flatnonzero(~there)[:20])
        message = f"left out: {number_of(len(names) - len(kept), 'row')} naming pictures that are not there"
        findings.append(Finding("warning", "missing-pictures", message, missing))
    others = tuple(column.name for column in columns if column.name != name)
    if others:
        message = (
            f"pictures are learnt from alone; not used: {number_of(len(others), 'other column')} of the table"
        )
        findings.append(Finding("info", "columns-beside-pictures", message, others))
    chosen = tuple(names[i] for i in kept)
    return Source(
        ids=chosen
        if len(set(chosen)) == len(chosen)
        else tuple(f"{source.ids[i]}: {names[i]}" for i in kept),
        target={key: column.take(pyarrow.array(kept)) for key, column in source.target.items()},
        pictures=PictureFiles(folder, chosen),
        groups=None if source.groups is None else source.groups[kept],
        findings=tuple(findings),
    )


def input_columns(
    table: pyarrow.Table | Mapping[str, Any], columns: Sequence[Column]
) -> dict[str, np.ndarray]:
    """The arrays of every used column."""
    return {
        column.name: column_values(table[column.name], column.kind, column.date_format)
        for column in columns
        if column.used and column.kind != "image"
    }


def row_columns(
    table: pyarrow.Table, columns: Sequence[Column], root: Path | None
) -> tuple[dict[str, np.ndarray], list[Finding]]:
    """The arrays of every used column, those of pictures as files, and what is wrong with the paths of pictures.

    Raises:
        DataError: a column names pictures, and there is no folder that its paths could be relative to.
    """
    arrays, findings = input_columns(table, columns), []
    for column in columns:
        if column.kind == "image" and column.used:
            if root is None:
                raise DataError(f"there is no folder in which the pictures of '{column.name}' could be")
            arrays[column.name], refused = picture_files(table[column.name], root)
            empty = sum(value is None for value in arrays[column.name]) - sum(map(len, refused.values()))
            findings += path_findings(column.name, refused, empty)
    return arrays, findings


def strange_values(
    table: pyarrow.Table, columns: Sequence[Column], arrays: Mapping[str, np.ndarray]
) -> list[Finding]:
    """What in these rows the model will take for missing or unknown: values that are no number or date.

    Args:
        table: as read.
        columns: of the schema.
        arrays: from `input_columns` of the same table.
    """
    findings = []
    for column in columns:
        array = arrays.get(column.name)
        if array is None or array.dtype == object:
            continue
        missing = np.isnat(array) if array.dtype.kind == "M" else np.isnan(array)
        count = int(missing.sum()) - table[column.name].null_count
        if count > 0:
            findings.append(unreadable_values(column, count))
    return findings


def unreadable_values(column: Column, count: int) -> Finding:
    """What is told of `count` values of a column that are not of its kind."""
    what = {"date": "date", "boolean": "yes or no", "image": "picture that can be read"}.get(
        column.kind, "number"
    )
    message = f"{number_of(count, 'value')} of '{column.name}' is no {what} and counts as missing"
    return Finding("warning", "unreadable-values", message)


def rows_as_columns(rows: Sequence[Mapping[str, Any]], schema: Schema) -> dict[str, np.ndarray]:
    """Rows as Python values (such as JSON objects) as the arrays of every used column; others are ignored.

    Raises:
        DataError: no row has a value for a column that the model needs.
    """
    known = list(dict.fromkeys(name for row in rows for name in row))
    require_inputs(schema, known)
    values = {column.name: [row.get(column.name) for row in rows] for column in schema.used_columns}
    return input_columns(values, schema.used_columns) | {
        name: picture_values(values[name], name) for name in schema.picture_columns
    }


def require_inputs(schema: Schema, known: Sequence[str]) -> None:
    """Raise DataError that names the columns which a model needs and which are not there."""
    wanted = [column.name for column in schema.used_columns]
    missing = [name for name in wanted if name not in known]
    if missing:
        raise DataError(
            f"the model needs {number_of(len(missing), 'more column')}: {', '.join(missing[:20])}",
            got=", ".join(known[:30]) or "no columns",
            expected=", ".join(wanted[:30]),
            hint=_misspelt(missing, [name for name in known if name not in wanted])
            or "they may stand in any order and have empty values, and others may stand beside them",
        )


def _misspelt(missing: Sequence[str], unknown: Sequence[str]) -> str:
    """Which of the names that were given is probably a missing one."""
    for name in unknown:
        hint = did_you_mean(name, missing)
        if hint.startswith("did"):
            return f"'{name}' was given; {hint}"
    return ""


def digest_rows(columns: Mapping[str, np.ndarray], count: int) -> tuple[str, ...]:
    """A digest of 128 bits a row, equal for equal values in the same columns, in every process.

    Each value is hashed with its column's name, and the hashes of a row are added, so the order of the
    columns does not matter.
    """
    halves = np.zeros((count, 2), dtype=np.uint64)
    for name, values in columns.items():
        keys = _value_keys(values)
        for half in range(2):
            seed = np.uint64(_text_key(f"{half} {name}"))
            halves[:, half] += _mix(keys ^ seed)
    text = halves.astype(">u8").tobytes().hex()
    return tuple(text[start : start + 32] for start in range(0, len(text), 32))


def _value_keys(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        distinct = list(dict.fromkeys(values.tolist()))
        place = {value: position for position, value in enumerate(distinct)}
        keys = np.array([int(_MISSING) if v is None else _text_key(v) for v in distinct], dtype=np.uint64)
        return keys[np.fromiter((place[value] for value in values), dtype=np.int64, count=len(values))]
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]").astype(np.int64).view(np.uint64)
    # Adding zero makes -0.0 and 0.0 one value.
    keys = (values.astype(np.float64) + 0.0).view(np.uint64)
    return np.where(np.isnan(values), _MISSING, keys)


def _text_key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _mix(keys: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): one input bit changes half the output."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
