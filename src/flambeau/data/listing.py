"""Files below a folder in one fixed order, a folder at a time, so that a million of them can be streamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from flambeau.data.pictures.archive import extract, is_archive
from flambeau.data.places import cache_folder
from flambeau.data.tables.spelling import number_of
from flambeau.data.tables.table import TABLE_SUFFIXES
from flambeau.errors import DataError
from flambeau.schema import Finding

MOST_LISTED = 20  # of what a finding is about
_NOT_DATA = ("readme", "license", "licence", "requirements", "classes")


@dataclass
class Skipped:
    """Folders that were left out while listing.

    Args:
        hidden: relative paths of hidden ones.
        closed: relative paths and reasons of those that the system does not let be listed.
    """

    hidden: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def closed_finding(self, folder: Path) -> tuple[Finding, ...]:
        """What is told of folders that could not be listed; nothing if there were none."""
        if not self.closed:
            return ()
        message = f"left out: {number_of(len(self.closed), 'folder')} below {folder} that cannot be listed"
        return (Finding("warning", "closed-folders", message, tuple(self.closed[:MOST_LISTED])),)


def walk_files(folder: Path, skipped: Skipped) -> Iterator[str]:
    """Relative paths of all files below a folder, sorted as whole strings. Links are followed, each folder once.

    Only the names of the folders that are open at that moment are in memory. Hidden files and folders are left out.

    Args:
        folder: where to begin.
        skipped: is told of folders that are left out.

    Raises:
        DataError: the folder itself cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    closed_before = len(skipped.closed)
    levels = [iter(_entries(folder, "", seen, skipped))]
    if len(skipped.closed) > closed_before:
        reason = skipped.closed[-1].removeprefix(": ")
        raise DataError("this folder cannot be listed", where=folder, got=reason)
    while levels:
        name = next(levels[-1], None)
        if name is None:
            levels.pop()
        elif name.endswith("/"):
            levels.append(iter(_entries(folder, name, seen, skipped)))
        else:
            yield name


def _entries(folder: Path, prefix: str, seen: set[tuple[int, int]], skipped: Skipped) -> list[str]:
    """What lies in one folder; names of folders end in "/", by which whole paths come out sorted."""
    names = []
    try:
        status = (folder / prefix).stat()
        if (status.st_dev, status.st_ino) in seen:
            return []
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                is_folder = _is_folder(entry)
                if is_folder and (entry.name.startswith(".") or entry.name == "__MACOSX"):
                    skipped.hidden.append(prefix + entry.name)
                elif not entry.name.startswith("."):
                    names.append(f"{prefix}{entry.name}/" if is_folder else prefix + entry.name)
    except OSError as error:
        skipped.closed.append(f"{prefix}: {error.strerror}")
    return sorted(names)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_readme(name: str) -> bool:
    """Whether a file is by its name about the data, not data."""
    return PurePosixPath(name).stem.lower() in _NOT_DATA


def open_if_archive(path: Path) -> tuple[Path, tuple[Finding, ...]]:
    """The folder of an archive's files, and what was left out; another path as it is."""
    if path.is_file() and is_archive(path):
        return extract(path, cache_folder())
    return path, ()


def list_tables(given: str) -> tuple[list[tuple[str, Path]], tuple[Finding, ...]]:
    """The tables that a path holds, as (name to tell, file): itself, those below a folder, those in an archive.

    Raises:
        DataError: a folder or an archive without a table.
    """
    path, findings = open_if_archive(Path(given).expanduser())
    if not path.is_dir():
        return [(given, path)], findings
    skipped = Skipped()
    names = [
        name
        for name in walk_files(path, skipped)
        if name.lower().endswith(TABLE_SUFFIXES) and not is_readme(name)
    ]
    if not names:
        raise DataError(
            "there is no table in this folder",
            where=given,
            expected="files that end in .parquet, .csv, .jsonl or the like",
        )
    tables = [(f"{given.rstrip('/')}/{name}", path / name) for name in names]
    return tables, findings + skipped.closed_finding(path)
