"""Columns whose values are paths of pictures: where the files are, and what is told where they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow

from flambeau.data.pictures.image import PICTURE_SUFFIXES
from flambeau.data.tables.spelling import number_of
from flambeau.schema import Finding

_SAMPLE = 1000
_MOST = 0.9
_LOST_SHOWN = 3


def find_pictures(values: Any, root: Path) -> Path | None:
    """The folder (root, or one directly in it) in which most of these values are files of pictures."""
    named = _picture_names(values)
    named = named[:: max(1, len(named) // 100)]
    for folder in _folders(root) if named else []:
        if sum((folder / text).is_file() for text in named) >= len(named) / 2:
            return folder
    return None


def lost_pictures(name: str, values: pyarrow.ChunkedArray, root: Path) -> Finding | None:
    """A warning where most values of a column end as pictures do and most of their files are not there.

    Args:
        name, values: of the column, which `find_pictures` found nothing for.
        root: the folder that paths are relative to.
    """
    if not (pyarrow.types.is_string(values.type) or pyarrow.types.is_large_string(values.type)):
        return None
    named = list(dict.fromkeys(_picture_names(values)))
    if not named:
        return None
    folders = _folders(root)
    best = max(folders, key=lambda folder: sum((folder / text).is_file() for text in named))
    lost = [text for text in named if not (best / text).is_file()]
    there = len(named) - len(lost)
    message = (
        f"'{name}' names pictures, but {there or 'none'} of {number_of(len(named), 'file')} "
        f"{'is' if there < 2 else 'are'} in {best}: it is not learnt as pictures. Was the table moved "
        f"away from its pictures? Put it beside them, or say data.columns.{name}=category to keep it as words"
    )
    looked = f"looked in {root}" + (
        f" and {number_of(len(folders) - 1, 'folder')} in it" if len(folders) > 1 else ""
    )
    return Finding("warning", "lost-pictures", message, (looked, *(f"no {t}" for t in lost[:_LOST_SHOWN])))


def _picture_names(values: Any) -> list[str]:
    """The first values that end as files of pictures do; none unless most do."""
    texts = [str(text) for text in values.drop_null().slice(0, _SAMPLE).to_pylist()]
    named = [text for text in texts if text.lower().endswith(PICTURE_SUFFIXES)]
    return named if len(named) >= _MOST * len(texts) else []


def _folders(root: Path) -> list[Path]:
    return [root, *sorted(folder for folder in root.iterdir() if folder.is_dir())]
