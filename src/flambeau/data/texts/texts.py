"""Folders of texts: one file a sample, its folder is its class; and files of texts that are to be predicted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow

from flambeau.data.listing import MOST_LISTED, Skipped, is_readme, walk_files
from flambeau.data.pictures.archive import is_archive
from flambeau.data.pictures.arrays import ARRAY_SUFFIXES, is_idx
from flambeau.data.pictures.folder import LABELS_SUFFIXES, FolderScan, find_class_folders
from flambeau.data.pictures.image import PICTURE_SUFFIXES
from flambeau.data.source import Source
from flambeau.data.tables.spelling import number_of
from flambeau.data.texts.files import MOST_TEXT_BYTES, TEXT_SUFFIXES, read_text_file
from flambeau.errors import DataError
from flambeau.schema import Finding, Schema

TEXT_COLUMN = "text"
_OTHER_SUFFIXES = (*PICTURE_SUFFIXES, *LABELS_SUFFIXES, *ARRAY_SUFFIXES)


def find_text_files(folder: Path) -> FolderScan | None:
    """The texts below a folder, as the pictures of a scan; None where there are none, or other data as well.

    The root goes down while a folder holds one folder alone.
    """
    skipped = Skipped()
    names = [name for name in walk_files(folder, skipped) if not is_readme(name)]
    texts = [name for name in names if name.lower().endswith(TEXT_SUFFIXES)]
    others = [name for name in names if name.lower().endswith(_OTHER_SUFFIXES)]
    if not texts or others or any(is_idx(Path(name)) or is_archive(Path(name)) for name in names):
        return None
    root = folder
    while len(tops := {name.split("/")[0] for name in texts}) == 1 and all("/" in name for name in texts):
        (top,) = tops
        root, texts = root / top, [name.removeprefix(top + "/") for name in texts]
    return FolderScan(root, tuple(texts), (), (), skipped.closed_finding(folder))


def open_text_folder(folder: Path) -> Source | None:
    """A folder whose folders are classes (or parts with classes in them) of texts; None where it is none.

    Raises:
        DataError: no file can be read.
    """
    scan = find_text_files(folder)
    found = None if scan is None else find_class_folders(scan)
    if scan is None or found is None or not found.names:
        return None
    table, kept, told = read_texts(scan.root, found.names)
    classes = np.array(found.classes, dtype=object)[kept]
    findings = tuple(
        replace(one, message=one.message.replace("picture", "text"), code=one.code.replace("picture", "text"))
        for one in found.findings
    )
    return Source(
        ids=tuple(found.names[row] for row in kept),
        target={"folder": classes},
        table=table,
        root=scan.root,
        folders=True,
        parts=None if found.parts is None else found.parts[kept],
        findings=scan.findings + findings + told,
        kinds={TEXT_COLUMN: "text"},
    )


def text_inputs(given: str, schema: Schema) -> tuple[Path, tuple[str, ...]] | None:
    """The root and the names of texts to predict, where a path holds them: a .txt file, or a folder of such files.

    None for what is a table or anything else, and for models that see other columns besides one of texts.
    """
    kinds = [column.kind for column in schema.used_columns]
    path = Path(given).expanduser()
    if kinds != ["text"]:
        return None
    if path.is_dir():
        scan = find_text_files(path)
        return None if scan is None else (scan.root, scan.pictures)
    if path.suffix.lower() not in TEXT_SUFFIXES:
        return None
    first = read_text_file(path)[0].partition("\n")[0]
    named = schema.used_columns[0].name in [word.strip(' "') for word in re.split(r"[,;\t|]", first)]
    return None if named else (path.parent, (path.name,))


def read_texts(root: Path, names: Sequence[str]) -> tuple[pyarrow.Table, np.ndarray, tuple[Finding, ...]]:
    """Files as a table of one column, "text"; those that cannot be read are left out and told.

    Args:
        root: the folder that the names are relative to.
        names: of the files.

    Returns:
        The table, the positions (rows,) of the files in it, and what was noticed.

    Raises:
        DataError: not one of them can be read.
    """
    texts: list[str] = []
    kept: list[int] = []
    broken: list[str] = []
    other: list[str] = []
    long: list[str] = []
    for place, name in enumerate(names):
        path = root / name
        try:
            text, encoding = read_text_file(path)
            size = path.stat().st_size
        except (OSError, ValueError) as error:
            broken.append(f"{name}: {error}")
            continue
        other += [name] if encoding == "cp1252" else []
        long += [name] if size > MOST_TEXT_BYTES else []
        texts.append(text)
        kept.append(place)
    if not kept:
        raise DataError(
            "none of these files is a text that can be read", where=root, got="; ".join(broken[:3])
        )
    findings = [
        Finding("warning", code, message.format(number_of(len(items), "file")), tuple(items[:MOST_LISTED]))
        for items, code, message in (
            (broken, "unreadable", "left out: {} that cannot be read as text"),
            (other, "encoding", "not UTF-8: {}, whose letters were read as cp1252"),
            (long, "long-texts", f"of {{}} only the first {MOST_TEXT_BYTES:,} bytes are read"),
        )
        if items
    ]
    table = pyarrow.table({TEXT_COLUMN: pyarrow.array(texts, pyarrow.large_string())})
    return table, np.array(kept, dtype=np.int64), tuple(findings)
