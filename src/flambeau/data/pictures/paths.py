"""Paths of pictures that stand in a table: which files of the table's own folder they are, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from flambeau.data.tables.named_pictures import find_pictures
from flambeau.data.tables.spelling import MISSING_SPELLINGS, number_of
from flambeau.data.tables.table import as_arrow, column_values
from flambeau.errors import DataError
from flambeau.schema import Column, Finding

_NAMED = 20
_REASONS = {
    "absolute": "absolute paths, which would mean other files on another machine",
    "outside": "paths that climb, or links that lead, out of the folder of the table",
    "missing": "files that are not there",
}


@dataclass(frozen=True)
class PictureFile:
    """One picture that a table names.

    Args:
        root: the folder that the name is relative to.
        name: as it stands in the table, with forward slashes.
    """

    root: Path
    name: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.root / self.name

    def __str__(self) -> str:
        return self.name


def picture_files(values: Any, root: Path) -> tuple[np.ndarray, dict[str, list[str]]]:
    """A column of paths as files, and what is wrong with the others.

    Args:
        values: the column, as `read_table` gives it.
        root: the folder of the table.

    Returns:
        (rows,) objects, each a PictureFile or None; and "absolute", "outside" or "missing" → the paths that are so.
        A row without a path has no picture, which is no fault.
    """
    column = as_arrow(values)
    folder = find_pictures(column, root) or root
    inside = folder.resolve()
    found = np.empty(len(column), dtype=object)
    refused: dict[str, list[str]] = {}
    checked: dict[str, PictureFile | str] = {}
    for row, name in enumerate(column_values(column, "text").tolist()):
        if name is None:
            continue
        if name not in checked:
            checked[name] = _check_path(name, folder, inside)
        result = checked[name]
        if isinstance(result, PictureFile):
            found[row] = result
        else:
            refused.setdefault(result, []).append(name)
    return found, refused


def _check_path(name: str, folder: Path, inside: Path) -> PictureFile | str:
    """The file, or the code of what is wrong with its path."""
    plain = name.replace("\\", "/")
    if PurePosixPath(plain).is_absolute() or PureWindowsPath(name).drive or PureWindowsPath(name).root:
        return "absolute"
    try:
        if "\0" in plain or not (folder / plain).resolve().is_relative_to(inside):
            return "outside"
    except (OSError, RuntimeError):  # too long, or links in a circle
        return "missing"
    return PictureFile(folder, plain) if is_there(folder / plain) else "missing"


def is_there(path: Path) -> bool:
    """Whether this is a file; a path that no file can have, such as one of a thousand letters, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def path_findings(name: str, refused: Mapping[str, Sequence[str]], empty: int = 0) -> list[Finding]:
    """What is told of paths of a column that give no picture; `empty`: rows that name none."""
    if not refused:
        if not empty:
            return []
        rows = number_of(empty, "row names", "rows name")
        message = f"'{name}': {rows} no picture; the model is told that there is none"
        return [Finding("info", "no-pictures", message)]
    reasons = ", ".join(f"{len(paths):,} by {_REASONS[code]}" for code, paths in refused.items())
    count = sum(map(len, refused.values())) + empty
    reasons += f", {empty:,} by empty cells" if empty else ""
    message = (
        f"'{name}': {number_of(count, 'row')} without a picture ({reasons}); the rows are kept, and the model is told "
        "that the picture is not there"
    )
    shown = dict.fromkeys(path for paths in refused.values() for path in paths)
    return [Finding("warning", "pictures-not-used", message, tuple(shown)[:_NAMED])]


def require_pictures(
    columns: Sequence[Column], arrays: Mapping[str, np.ndarray], told: Sequence[Finding]
) -> None:
    """Raises DataError for a column of pictures without one that can be used."""
    for column in columns:
        if column.kind != "image" or not column.used:
            continue
        if all(value is None for value in arrays[column.name]):
            reasons = [finding for finding in told if finding.message.startswith(f"'{column.name}'")]
            raise DataError(
                f"no picture that column '{column.name}' names can be used",
                got=reasons[0].message if reasons else "no paths",
                expected="paths relative to the folder of the table",
                command=f"--set data.drop=[{column.name}]",
            )


def picture_values(values: Sequence[Any], name: str) -> np.ndarray:
    """Pictures that came as Python values, as (rows,) objects: files, bytes, pixels, or None.

    Args:
        values: each a path, the bytes of a file, pixels (height, width, channels), or None.
        name: of the column.

    Raises:
        DataError: a path that is not there, or a value of another kind.
    """
    found = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        if value is None or isinstance(value, bytes | np.ndarray):
            found[row] = value
        elif isinstance(value, str | Path):
            if not value or str(value) in MISSING_SPELLINGS:
                continue
            file = PictureFile(Path(), str(value))
            if not is_there(file.path):
                raise DataError(f"there is no picture '{value}'", where=f"'{name}' of row {row + 1}")
            found[row] = file
        else:
            raise DataError(
                f"'{name}' holds pictures, and row {row + 1} has something else",
                got=type(value).__name__,
                expected="a path, the bytes of a file, pixels (height, width, channels), or None",
            )
    return found
