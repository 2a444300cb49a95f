"""Questions and answers from a file or a folder, within limits, with errors that teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from flambeau.data.dialogue.entries import EXPECTED, ReadDialogues, check_entries
from flambeau.data.dialogue.joining import Entry
from flambeau.data.dialogue.shapes import (
    CHAT_SUFFIXES,
    YAML_SUFFIXES,
    OtherShapeError,
    chat_files,
    read_entries,
)
from flambeau.data.tables.table import TABLE_SUFFIXES
from flambeau.errors import DataError, nearest_file
from flambeau.schema import Finding

MOST_BYTES = 64 * 2**20


def read_dialogues(source: str, max_pairs: int) -> ReadDialogues:
    """Read a file, or all files of a folder.

    Raises:
        DataError: there is nothing there, a file is of another shape, or there are no answers.
    """
    path = Path(source).expanduser()
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = nearest_file(path.name, beside)
        raise DataError(f"there is no '{source}'", expected=EXPECTED, hint=hint)
    files = chat_files(path)
    if not files:
        raise DataError(
            "there are no questions and answers in this folder",
            where=path,
            expected=f"files that end in {', '.join(CHAT_SUFFIXES)}",
        )
    size = sum(file.stat().st_size for file in files)
    if size > MOST_BYTES:
        raise DataError(
            "these questions and answers are larger than the limit",
            where=path,
            got=f"{size:,} bytes",
            expected=f"at most {MOST_BYTES:,}",
        )
    notes: list[Finding] = []
    entries = [entry for file in files for entry in read_one(file, notes)]
    dialogues = check_entries(entries, str(path), max_pairs)
    return replace(dialogues, findings=(*notes, *dialogues.findings))


def read_one(file: Path, notes: list[Finding]) -> list[Entry]:
    """What one file holds; what its table leaves out is added to `notes`.

    Raises DataError where it is damaged or of another shape.
    """

    def note(code: str, message: str) -> None:
        if code == "duplicated-names":
            raise OtherShapeError(f"columns of one name: {message.rpartition(': ')[2]}")
        notes.append(Finding("warning" if message.startswith("left out") else "info", code, message))

    suffix = file.suffix.lower()
    if suffix not in (*CHAT_SUFFIXES, *TABLE_SUFFIXES) or suffix == ".txt":
        raise DataError("this is no file of questions and answers", where=file, got=suffix, expected=EXPECTED)
    try:
        return read_entries(file, note)
    except OtherShapeError as error:
        raise DataError(
            "this file has another shape than questions and answers",
            where=file,
            got=str(error),
            expected=EXPECTED,
        ) from error
    except (ValueError, OSError, RecursionError, yaml.YAMLError) as error:
        kind = {".json": "JSON", **dict.fromkeys(YAML_SUFFIXES, "YAML")}.get(suffix)
        if kind is None or isinstance(error, OSError):
            raise DataError(str(error)) from error
        got = " ".join(str(error).split())[:200] if file.read_bytes().strip() else "an empty file"
        raise DataError(f"this file is no {kind}", where=file, got=got, expected=EXPECTED) from error
