"""The index of one model's versions: read with care, written atomically, changed by one process at a time."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from flambeau.errors import RunError, UsageError
from flambeau.records.files import alone_with, saving, write_json

INDEX = "index.json"
LATEST = "latest"
LONGEST_NAME = 100
MOST_NAME_BYTES = 200

_NAME = re.compile(r"\w[\w.+-]*")


@dataclass
class Index:
    """What is known of the versions of one model.

    Args:
        next: the number that the next version gets; numbers are never given twice.
        versions: number → {"registered", "from", "note", "digest" (of its versions.json)}.
        tags: tag → the numbers that it pointed to, the present one last.
        history: every change, in order: {"time", "what", "version", ...}.
    """

    next: int = 1
    versions: dict[int, dict[str, str]] = field(default_factory=dict)
    tags: dict[str, list[int]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def tags_of(self, version: int) -> list[str]:
        """The tags that point to a version now."""
        return sorted(tag for tag, numbers in self.tags.items() if numbers[-1] == version)

    def record(self, what: str, version: int, **others: Any) -> None:
        """Add one change to the history, with the present time."""
        self.history.append({"time": now(), "what": what, "version": version, **others})


def now() -> str:
    """The present local time in ISO 8601, with its offset from UTC."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def check_name(name: str, what: str = "model") -> str:
    """The name itself, if it is one of a model or a tag: letters, digits, "_", "-", "+" and "." inside.

    Raises:
        UsageError: anything else, such as a path, a leading dot, a control character, or over 100 characters.
    """
    sound = len(name) <= LONGEST_NAME and len(name.encode("utf-8", "replace")) <= MOST_NAME_BYTES
    if not (sound and _NAME.fullmatch(name) and not name.endswith(".")):
        raise UsageError(
            f"this is no name for a {what}",
            got=repr(name)[:120],
            expected=f"letters, digits, '_', '-', '+' and '.', at most {LONGEST_NAME}, no dot at either end",
        )
    return name


def check_tag(tag: str) -> str:
    """The tag itself. Raises UsageError where it is no name, a number, or "latest", which is always the newest."""
    check_name(tag, "tag")
    if tag.isdigit() or tag == LATEST:
        raise UsageError(
            "this tag would be taken for a version", got=tag, expected="a word such as production"
        )
    return tag


def read_index(folder: Path) -> Index:
    """The index of the model in this folder; an empty one where nothing was registered yet.

    Raises:
        RunError: it is damaged.
    """
    path = folder / INDEX
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        index = Index(
            next=data["next"],
            versions={int(number): dict(row) for number, row in data["versions"].items()},
            tags={check_tag(tag): list(numbers) for tag, numbers in data["tags"].items()},
            history=list(data["history"]),
        )
        changed = [change["version"] for change in index.history]
        numbers = [
            index.next,
            *changed,
            *index.versions,
            *(n for pointed in index.tags.values() for n in pointed),
        ]
        if not all(type(n) is int and n > 0 for n in numbers) or not all(index.tags.values()):
            raise ValueError("a version is no number, or a tag points to none")
    except FileNotFoundError:
        return Index()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError, OSError) as error:
        raise RunError(
            "the index of this model is damaged",
            where=path,
            got=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            expected="next, versions, tags and history as flambeau wrote them",
            hint="the versions beside it are whole folders; each works by its path",
        ) from error
    return index


def write_index(folder: Path, index: Index) -> None:
    """Write the index atomically."""
    write_json(
        folder / INDEX,
        {
            "next": index.next,
            "versions": {str(number): row for number, row in sorted(index.versions.items())},
            "tags": dict(sorted(index.tags.items())),
            "history": index.history,
        },
    )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Index]:
    """The index of a model, while no other process can change it.

    Raises:
        RunError: the folder cannot be written to, or the index is damaged.
    """
    with saving(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with alone_with(folder / ".lock"):
        yield read_index(folder)
