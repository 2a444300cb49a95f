"""How a folder of pictures is laid out: classes as folders, parts with classes in them, or a table beside."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from flambeau.data.listing import MOST_LISTED, Skipped, is_readme, walk_files
from flambeau.data.pictures.archive import is_archive
from flambeau.data.pictures.arrays import ARRAY_SUFFIXES, is_idx
from flambeau.data.pictures.image import PICTURE_SUFFIXES, SCAN_SUFFIXES
from flambeau.data.scans.scans import is_unnamed_scan
from flambeau.data.source import quoted
from flambeau.data.tables.spelling import number_of
from flambeau.errors import DataError
from flambeau.schema import Finding

PART_FOLDERS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
LABELS_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".xlsx")

_SCENE = re.compile(
    r"(?:^|[^a-z])(patient|subject|participant|person|case|scene|series)[ _-]?([a-z]{0,2}[0-9]+)(?![0-9])",
    re.IGNORECASE,
)
_BIDS = re.compile(r"(?:^|[/_])(sub)-([0-9a-zA-Z]+)(?=[/_.])")


@dataclass(frozen=True)
class FolderScan:
    """What lies in a folder.

    Args:
        root: the folder; deeper than the one given where that holds one folder only.
        pictures: relative paths of pictures, sorted.
        tables, arrays: relative paths of files that may hold labels, or pictures and labels.
        findings: what was left out.
    """

    root: Path
    pictures: tuple[str, ...]
    tables: tuple[str, ...]
    arrays: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class ClassFolders:
    """Pictures whose folder is their class.

    Args:
        names: relative paths.
        classes: of each picture.
        parts: (n,) of "train", "valid", "test", or None.
        findings: what was left out.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    parts: np.ndarray | None
    findings: tuple[Finding, ...]


def scan_folder(folder: Path) -> FolderScan:
    """List a folder, going down while it holds one folder alone. Hidden folders are left out.

    Raises:
        DataError: there is nothing in it that can be read.
    """
    skipped = Skipped()
    files = list(walk_files(folder, skipped))
    hidden = {name: _count_pictures(folder / name) for name in skipped.hidden}
    root = folder
    while len(tops := {name.split("/")[0] for name in files if _is_useful(name)}) == 1:
        (top,) = tops
        inner = [name.removeprefix(top + "/") for name in files if name.startswith(top + "/")]
        loose = [name for name in inner if "/" not in name and _is_useful(name)]
        if not inner or (loose and all(name.lower().endswith(PICTURE_SUFFIXES) for name in loose)):
            break
        root, files = root / top, inner
    unnamed = frozenset(name for name in files if not _is_useful(name) and is_unnamed_scan(root / name))
    pictures = tuple(name for name in files if name.lower().endswith(PICTURE_SUFFIXES) or name in unnamed)
    top_level = [name for name in files if "/" not in name]
    tables = tuple(
        name for name in top_level if name.lower().endswith(LABELS_SUFFIXES) and not is_readme(name)
    )
    arrays = tuple(name for name in top_level if is_idx(Path(name)) or name.lower().endswith(ARRAY_SUFFIXES))
    if not (pictures or tables or arrays):
        raise DataError(
            "there are no pictures and no tables in this folder",
            where=folder,
            got=f"{len(files)} other files" if files else "an empty folder",
            expected=f"pictures ({', '.join(PICTURE_SUFFIXES[:6])}, ...) in one folder for each class",
            command=_archive_command(folder, files),
        )
    findings = _left_out([name for name in files if name not in unnamed], hidden) + skipped.closed_finding(
        folder
    )
    return FolderScan(root, pictures, tables, arrays, findings)


def _archive_command(folder: Path, files: Sequence[str]) -> str:
    archive = next((name for name in files if is_archive(Path(name))), None)
    return f"flambeau check {folder / archive}" if archive else ""


def _count_pictures(folder: Path) -> int:
    return sum(
        name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith("._")
        for _, _, names in os.walk(folder)
        for name in names
    )


def _is_useful(name: str) -> bool:
    lowered = name.lower()
    suffixes = (*PICTURE_SUFFIXES, *LABELS_SUFFIXES, *ARRAY_SUFFIXES)
    return (lowered.endswith(suffixes) or is_idx(Path(name))) and not is_readme(name)


def _left_out(files: Sequence[str], hidden: dict[str, int]) -> tuple[Finding, ...]:
    findings = []
    known = (*PICTURE_SUFFIXES, *LABELS_SUFFIXES, *ARRAY_SUFFIXES)
    other = [name for name in files if not name.lower().endswith(known) and not is_idx(Path(name))]
    if other and len(other) < len(files):
        suffixes = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in other)
        kinds = ", ".join(f"{count} with {suffix}" for suffix, count in suffixes.most_common(5))
        findings.append(
            Finding(
                "info",
                "other-files",
                f"left out: {number_of(len(other), 'file')} not of a known kind ({kinds})",
                tuple(other[:MOST_LISTED]),
            )
        )
    with_pictures = tuple(f"{name} ({count} pictures)" for name, count in hidden.items() if count)
    if with_pictures:
        message = (
            f"left out: {number_of(len(with_pictures), 'hidden folder')} with pictures; "
            "rename a folder without its leading dot to use it"
        )
        findings.append(Finding("warning", "hidden-folders", message, with_pictures[:MOST_LISTED]))
    return tuple(findings)


def find_class_folders(scan: FolderScan) -> ClassFolders | None:
    """Pictures with their folder as class, in parts where folders are; None if folders name no classes."""
    tops = {name.split("/")[0] for name in scan.pictures if "/" in name}
    parts = {top: PART_FOLDERS[top.lower()] for top in tops if top.lower() in PART_FOLDERS}
    if "train" in parts.values() and len(set(parts.values())) > 1:
        return _part_folders(scan, parts)
    if not tops or (len(tops) == 1 and scan.tables):
        return None
    names = [name for name in scan.pictures if "/" in name]
    loose = tuple(name for name in scan.pictures if "/" not in name)
    return ClassFolders(
        tuple(names), tuple(name.split("/")[0] for name in names), None, _loose_finding(loose)
    )


def refuse_mixed_folders(scan: FolderScan, found: ClassFolders) -> None:
    """Raises DataError where the kind of files tells the folder: several data sets, and no classes of one."""
    kinds: dict[str, Counter[str]] = {}
    for name, label in zip(found.names, found.classes, strict=True):
        kinds.setdefault(label, Counter())[_kind_of_file(name)] += 1
    if len(kinds) < 2 or set.intersection(*(set(one) for one in kinds.values())):
        return
    folders = sorted(kinds)
    lies = "; ".join(
        f"{label}: " + " and ".join(number_of(count, kind) for kind, count in kinds[label].items())
        for label in folders[:MOST_LISTED]
    )
    loose = f"; beside them {', '.join(scan.tables[:5])}" if scan.tables else ""
    raise DataError(
        "these folders hold different kinds of files, so they look like several data sets and not like classes",
        where=scan.root,
        got=lies + loose,
        expected="files of one kind in the folders of all classes, as else the kind alone would tell the class",
        command=f"flambeau check {quoted(str(scan.root / folders[0]))}",
    )


def _kind_of_file(name: str) -> str:
    lowered = name.lower()
    if lowered.endswith((".nii", ".nii.gz")):
        return "NIfTI scan"
    if lowered.endswith(SCAN_SUFFIXES) or not lowered.endswith(PICTURE_SUFFIXES):
        return "DICOM scan"  # those without a suffix are looked into, see `is_unnamed_scan`
    return "picture"


def _part_folders(scan: FolderScan, part_of: dict[str, str]) -> ClassFolders | None:
    names: list[str] = []
    loose: list[str] = []
    other: Counter[str] = Counter()
    for name in scan.pictures:
        pieces = name.split("/")
        if pieces[0] not in part_of:
            other[pieces[0]] += 1
        elif len(pieces) < 3:
            loose.append(name)
        else:
            names.append(name)
    parts = [part_of[name.split("/")[0]] for name in names]
    if "train" not in parts:
        return None
    findings = list(_loose_finding(tuple(loose)))
    if other:
        message = f"left out: {number_of(sum(other.values()), 'picture')} beside the folders of the parts"
        findings.append(Finding("warning", "beside-parts", message, tuple(other)[:MOST_LISTED]))
    has_several = len(set(parts)) > 1
    classes = tuple(name.split("/")[1] for name in names)
    return ClassFolders(tuple(names), classes, np.array(parts) if has_several else None, tuple(findings))


def _loose_finding(loose: tuple[str, ...]) -> tuple[Finding, ...]:
    if not loose:
        return ()
    message = f"left out: {number_of(len(loose), 'picture')} in no class folder"
    return (Finding("warning", "pictures-without-class", message, loose[:MOST_LISTED]),)


def name_keys(names: Sequence[str]) -> list[str]:
    """The patient or scene that each file name tells, such as "patient 12"; "" where it tells none.

    Only a word such as patient, subject, case or scene, followed by a number, counts, and "sub-01" as in BIDS.
    """
    found = [_SCENE.search(name) or _BIDS.search(name) for name in names]
    return [f"{match[1].lower()} {match[2].lower()}" if match else "" for match in found]


def match_files(values: Sequence[str | None], names: Sequence[str]) -> list[int | None]:
    """For each value, the position of the picture that it names: by path, by name, or by name without suffix.

    A name that several pictures share names none of them.
    """
    by_key: dict[str, int | None] = {}
    for position, name in enumerate(names):
        path = PurePosixPath(name)
        for key in {
            name,
            path.name,
            path.stem,
            path.stem.lstrip("0") or "0",
            path.name.removesuffix(".nii.gz"),
            path.with_suffix("").as_posix(),
        }:
            by_key[key] = None if by_key.get(key, position) != position else position
    exact = {name: position for position, name in enumerate(names)}
    tidy = [(value or "").replace("\\", "/").removeprefix("./") for value in values]
    return [exact.get(text, by_key.get(text, by_key.get(PurePosixPath(text).name))) for text in tidy]
