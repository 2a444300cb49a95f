"""Sources of pictures: folders, folders with a table of labels, and arrays; their facts and digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pyarrow

from flambeau.data.pictures.arrays import read_arrays
from flambeau.data.pictures.folder import (
    FolderScan,
    find_class_folders,
    match_files,
    refuse_mixed_folders,
    scan_folder,
)
from flambeau.data.pictures.generate import open_pictures_alone
from flambeau.data.pictures.image import picture_loses_depth
from flambeau.data.samples import PictureArray, PictureFiles
from flambeau.data.scans.facts import common_facts, scan_findings
from flambeau.data.scans.patients import find_patients
from flambeau.data.scans.scans import size_of_any
from flambeau.data.source import Notes, Source, core_errors, group_codes, quoted, target_names
from flambeau.data.tables.kinds import require_column
from flambeau.data.tables.rows import open_table
from flambeau.data.tables.spelling import number_of
from flambeau.data.tables.table import column_values, read_table
from flambeau.data.texts.texts import open_text_folder
from flambeau.errors import DataError
from flambeau.recipe import Recipe
from flambeau.schema import Finding, PictureFacts

FOLDER_TARGET = "folder"
ARRAY_TARGET = "labels"

_HEADERS_READ = 1000
_SHARE_OF_NAMES = 0.5
_THREADS = min(8, (os.cpu_count() or 1) + 2)
_BLOCK_BYTES = 2**20


def open_folder(folder: Path, recipe: Recipe, target: str | None) -> Source:
    """A folder as a source: texts, arrays, classes as folders, pictures with a table of labels, or one table."""
    texts = open_text_folder(folder)
    if texts is not None:
        return texts
    scan = scan_folder(folder)
    if scan.arrays and not scan.pictures:
        idx = [name for name in scan.arrays if "idx" in name]
        files = [name for name in scan.arrays if "label" not in name.lower()]
        if not idx and len(files) != 1:
            raise DataError(
                "there are several arrays in this folder",
                where=folder,
                got=", ".join(scan.arrays),
                expected="one file",
                command=f"flambeau train {quoted(str(folder / files[0]))}" if files else "",
            )
        place = scan.root if idx else scan.root / files[0]
        return open_arrays(place, None, need_labels=recipe.task != "generate")
    if not scan.pictures:
        return _only_table(scan, recipe, target)
    labelled = _labelled_pictures(scan, recipe, target) if _wants_table(scan, target) else None
    if labelled is not None:
        return labelled
    found = find_class_folders(scan)
    if found is None or not found.names or target not in (None, FOLDER_TARGET):
        if recipe.task == "generate" and target is None:
            return open_pictures_alone(scan)
        raise DataError(
            "the pictures have no labels"
            if target is None
            else f"no table here has '{target}' beside file names",
            where=scan.root,
            got=f"{len(scan.pictures)} pictures and "
            + (f"tables {', '.join(scan.tables)}" if scan.tables else "no table"),
            expected="one folder for each class, or a table such as labels.csv with a column of file names",
        )
    if recipe.task != "generate":
        refuse_mixed_folders(scan, found)
    pictures = PictureFiles(scan.root, found.names)
    tails = [name.split("/", 1)[1] for name in found.names]
    groups, told = find_patients(pictures, tails, wanted=recipe.split.patients)
    return Source(
        ids=found.names,
        target={FOLDER_TARGET: np.array(found.classes, dtype=object)},
        pictures=pictures,
        folders=True,
        parts=found.parts,
        groups=groups,
        findings=scan.findings + found.findings + told,
    )


def _wants_table(scan: FolderScan, target: str | None) -> bool:
    if not scan.tables or target == FOLDER_TARGET:
        return False
    found = find_class_folders(scan)
    return target is not None or found is None or len(set(found.classes)) < 2


def _only_table(scan: FolderScan, recipe: Recipe, target: str | None) -> Source:
    if len(scan.tables) == 1:
        return open_table(scan.root / scan.tables[0], recipe, target)
    first = next((name for name in scan.tables if "train" in name.lower()), scan.tables[0])
    second = next((name for name in scan.tables if "test" in name.lower() and name != first), None)
    command = f"flambeau train {quoted(str(scan.root / first))}"
    if second is not None:
        command += f" --test {quoted(str(scan.root / second))}"
    raise DataError(
        "there are several tables in this folder",
        where=scan.root,
        got=", ".join(scan.tables),
        expected="one table, or one to train on and one to test on",
        command=command + (f" --target {quoted(target)}" if target else " --target NAME"),
    )


def _labelled_pictures(scan: FolderScan, recipe: Recipe, target: str | None) -> Source | None:
    """Pictures with the table whose column names most of them; None if no table does."""
    most_columns = 0
    best: tuple[float, str, str, pyarrow.Table, Notes] | None = None
    for name in scan.tables:
        notes = Notes()
        with core_errors():
            table = read_table(scan.root / name, max_rows=recipe.data.max_rows, on_note=notes)
        naming = 0
        for column in table.column_names:
            matched = match_files(
                column_values(table[column].slice(0, 500), "category").tolist(), scan.pictures
            )
            share = sum(position is not None for position in matched) / len(matched)
            # A table without the target serves only to name the target's columns in the error.
            has_target = target is None or all(one.strip() in table.column_names for one in target.split(","))
            score = share + has_target
            naming += share >= _SHARE_OF_NAMES
            if share >= _SHARE_OF_NAMES and (best is None or score > best[0]):
                best = (score, name, column, table, notes)
        most_columns = max(most_columns, naming)
    if best is None:
        return None
    _, name, column, table, notes = best
    if most_columns > 1:
        return open_table(scan.root / name, recipe, target)
    others = [one for one in table.column_names if one not in (column, recipe.split.group)]
    if target is None and len(others) != 1:
        raise DataError(
            "which column is to be predicted?",
            where=scan.root / name,
            got=f"file names in '{column}', and {', '.join(others) or 'nothing else'}",
            expected="one of them",
            command=f"flambeau train {quoted(str(scan.root))} --target {quoted([*others, 'NAME'][0])}",
        )
    names = target_names(target or others[0], table.column_names)
    return _join_labels(scan, table, column, names, recipe, scan.findings + tuple(notes.findings))


def _join_labels(
    scan: FolderScan,
    table: pyarrow.Table,
    column: str,
    names: Sequence[str],
    recipe: Recipe,
    findings: tuple[Finding, ...],
) -> Source:
    group = recipe.split.group
    values = column_values(table[column], "category").tolist()
    matched = match_files(values, scan.pictures)
    rows = [row for row, position in enumerate(matched) if position is not None]
    pictures = tuple(scan.pictures[position] for position in matched if position is not None)
    told = list(findings)
    absent = tuple(str(value) for value, position in zip(values, matched, strict=True) if position is None)
    if absent:
        message = f"left out: {number_of(len(absent), 'row')} naming no picture here, or several"
        told.append(Finding("warning", "rows-without-picture", message, absent[:20]))
    unlabelled = sorted(set(scan.pictures) - set(pictures))
    if unlabelled:
        message = f"left out: {number_of(len(unlabelled), 'picture')} without a row in the table"
        told.append(Finding("warning", "pictures-without-row", message, tuple(unlabelled[:20])))
    others = tuple(one for one in table.column_names if one not in (column, group, *names))
    if others:
        message = (
            f"pictures are learnt from alone; not used: {number_of(len(others), 'other column')} of the table"
        )
        told.append(Finding("info", "columns-beside-pictures", message, others))
    kept = table.take(pyarrow.array(rows))
    files = PictureFiles(scan.root, pictures)
    groups, grouping = find_patients(files, pictures, wanted=recipe.split.patients and group is None)
    if group is not None:
        require_column(group, table.column_names, "split.group names a column")
        groups, grouping = group_codes(kept[group]), ()
    unique = len(set(pictures)) == len(pictures)
    return Source(
        ids=pictures if unique else tuple(f"row {r + 1}: {p}" for r, p in zip(rows, pictures, strict=True)),
        target={name: kept[name] for name in names},
        pictures=files,
        groups=groups,
        findings=(*told, *grouping),
    )


def open_arrays(path: Path, bits: int | None, *, need_labels: bool = True) -> Source:
    """Arrays as a source; those that would not fit into memory are refused before they are read."""
    notes = Notes()
    with core_errors():
        arrays = read_arrays(
            path,
            bits=bits,
            need_labels=need_labels,
            max_bytes=psutil.virtual_memory().available,
            on_note=notes,
        )
    return Source(
        ids=tuple(f"picture {number}" for number in range(1, len(arrays.pixels) + 1)),
        target={} if arrays.labels is None else label_columns(arrays.labels),
        pictures=PictureArray(arrays.pixels),
        parts=arrays.parts,
        findings=tuple(notes.findings),
    )


def label_columns(labels: np.ndarray, name: str = ARRAY_TARGET) -> dict[str, np.ndarray]:
    """Labels (count,) as one target of that name; (count, labels) as several, or as classes where each row has one."""
    if labels.ndim == 1:
        return {name: labels}
    if np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        return {name: labels.argmax(axis=1)}
    return {f"label_{place}": labels[:, place] for place in range(labels.shape[1])}


def picture_facts(pictures: PictureFiles | PictureArray) -> tuple[PictureFacts, tuple[Finding, ...]]:
    """What the pictures have in common, from up to 1000 headers spread evenly.

    Raises:
        DataError: none of them can be read.
    """
    if isinstance(pictures, PictureArray):
        _, height, width, channels = pictures.pixels.shape
        return PictureFacts(channels, 8 * pictures.pixels.itemsize, height, width), ()
    places = np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), _HEADERS_READ)).astype(int))
    sizes, names, first_error, deep = [], [], "", 0
    for place in places:
        path = pictures.path(int(place))
        try:
            sizes.append(size_of_any(path))
            names.append(pictures.names[place])
            deep += len(sizes) <= 50 and not sizes[-1].kind and picture_loses_depth(path)
        except (ValueError, OSError) as error:
            first_error = first_error or str(error)
    if not sizes:
        raise DataError("none of the pictures can be read", where=pictures.root, got=first_error)
    facts, told = common_facts(sizes), scan_findings(sizes, names)
    if not deep:
        return facts, told
    message = "colour pictures of 16 bits a channel are read with 8 bits; grey ones would keep all 16"
    return facts, (*told, Finding("warning", "colour-depth", message))


def digest_pictures(pictures: PictureFiles | PictureArray) -> tuple[str, ...]:
    """A digest a picture: of the file's bytes, or of an array's pixels. Unreadable files get an own one."""
    if isinstance(pictures, PictureArray):
        return tuple(hashlib.blake2b(one.tobytes(), digest_size=16).hexdigest() for one in pictures.pixels)
    with ThreadPoolExecutor(_THREADS) as pool:
        return tuple(pool.map(_digest_file, (pictures.path(i) for i in range(len(pictures))), chunksize=64))


def _digest_file(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError:
        digest.update(f"unreadable {path}".encode())
    return digest.hexdigest()
