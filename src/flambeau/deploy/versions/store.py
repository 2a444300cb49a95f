"""Changes to the folder of versions: register, tag, roll back, remove. Each is wholly done or not at all.

    models/NAME/1/ …        a bundle, as it was registered
    models/NAME/index.json  tags, notes and the history of every change

A version's folder gets its number by one rename, and becomes known by one write of the index after it. A kill between
both leaves a folder that nothing knows; its number is skipped.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from flambeau.deploy.files import VERSIONS, check_files
from flambeau.deploy.versions.index import (
    INDEX,
    Index,
    check_name,
    check_tag,
    locked,
    read_index,
    write_index,
)
from flambeau.errors import RunError, did_you_mean
from flambeau.records.files import digest_file, saving

STORE_VARIABLE = "FLAMBEAU_MODELS"
PRODUCTION = "production"

_COPYING, _REMOVED = ".copying-", ".removed-"


def store_folder(store: Path | str | None = None) -> Path:
    """The folder of versions: the one named, or that of FLAMBEAU_MODELS, or models/."""
    return Path(store or os.environ.get(STORE_VARIABLE) or "models").expanduser()


def register(
    bundle: Path, name: str, *, tag: str = "", note: str = "", origin: str = "", store: Path | None = None
) -> int:
    """Copy a bundle into the store as the next version of a model.

    The bundle's digests are checked before and after. Two processes that register at once get two numbers.

    Args:
        bundle: the folder of the bundle.
        name: of the model.
        tag: moved to the new version, if given.
        note: a sentence of the person's.
        origin: where it came from, such as the name of the run.
        store: the folder of versions; `store_folder` finds it.

    Returns:
        The number of the version.

    Raises:
        RunError: a damaged bundle, one that is registered already, or a disk that is full.
        UsageError: a name or a tag that is none.
    """
    folder = store_folder(store) / check_name(name)
    if tag:
        check_tag(tag)
    digests = check_files(bundle)["digests"]
    digest = digest_file(bundle / VERSIONS)
    with locked(folder) as index:
        _clear_leftovers(folder, index)
        for number, row in index.versions.items():
            if row.get("digest") == digest:
                raise RunError(
                    f"this very bundle is registered already, as {name}@{number}",
                    where=folder / str(number),
                    command=f"flambeau models tag {name} {number} {tag or PRODUCTION}",
                )
        copy = folder / f"{_COPYING}{uuid.uuid4().hex[:8]}"
        try:
            _copy_files(bundle, copy, [*digests, VERSIONS])
            check_files(copy)
            number = max(index.next, _largest_number(folder) + 1)
            with saving(folder):
                copy.rename(folder / str(number))
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        index.next = number + 1
        index.versions[number] = {
            "registered": "",
            "from": _one_line(origin),
            "note": _one_line(note),
            "digest": digest,
        }
        index.record("register", number)
        index.versions[number]["registered"] = index.history[-1]["time"]
        if tag:
            _point(index, tag, number)
        write_index(folder, index)
    return number


def move_tag(name: str, version: int, tag: str, *, store: Path | None = None) -> int | None:
    """Let a tag point to a version. Returns the version that it pointed to before, or None.

    Raises:
        RunError: there is no such version.
        UsageError: a tag that is none.
    """
    folder = known_model(name, store)
    check_tag(tag)
    with locked(folder) as index:
        _require_version(name, version, index, folder)
        before = index.tags.get(tag, [None])[-1]
        if before != version:
            _point(index, tag, version)
            write_index(folder, index)
    return before


def roll_back(name: str, tag: str = PRODUCTION, *, store: Path | None = None) -> tuple[int, int]:
    """Let a tag point to what it pointed to before; once more goes back further.

    Returns:
        The version that it pointed to, and the one that it points to now.

    Raises:
        RunError: no such tag, or it never pointed to anything else that is still there.
    """
    folder = known_model(name, store)
    with locked(folder) as index:
        if tag not in index.tags:
            raise RunError(
                f"{name} has no tag '{tag}'",
                where=folder,
                hint=did_you_mean(tag, index.tags),
                command=f"flambeau models tag {name} VERSION {tag}",
            )
        *earlier, present = index.tags[tag]
        earlier = [number for number in earlier if _is_there(number, index, folder)]
        if not earlier:
            raise RunError(
                f"'{tag}' of {name} never pointed to another version that is still there",
                where=folder,
                got=f"version {present}",
                command=f"flambeau models tag {name} VERSION {tag}",
            )
        index.tags[tag] = earlier
        index.record("rollback", earlier[-1], tag=tag, before=present)
        write_index(folder, index)
    return present, earlier[-1]


def remove(name: str, version: int, *, force: bool = False, store: Path | None = None) -> None:
    """Remove a version and its files; its number is not given again.

    Raises:
        RunError: there is no such version, or a tag points to it and `force` is not set.
    """
    folder = known_model(name, store)
    with locked(folder) as index:
        _require_version(name, version, index, folder)
        tags = index.tags_of(version)
        if tags and not force:
            raise RunError(
                f"a tag points to {name}@{version}, so it is not removed",
                got=", ".join(tags),
                expected="the tag moved to another version, or --force",
                command=f"flambeau models rollback {name} {tags[0]}",
            )
        for tag in tags:
            del index.tags[tag]
        index.tags = {tag: _without(numbers, version) for tag, numbers in index.tags.items()}
        del index.versions[version]
        index.record("remove", version, **({"tags": tags} if tags else {}))
        write_index(folder, index)
        _clear_leftovers(folder, index)


def known_model(name: str, store: Path | None = None) -> Path:
    """The folder of a model that has versions. Raises RunError, with the nearest name, where there is none."""
    root = store_folder(store)
    folder = root / check_name(name)
    if not read_index(folder).versions:
        raise RunError(
            f"there is no model '{name}' in this store",
            where=root,
            hint=did_you_mean(name, model_names(store)),
            command="flambeau models register RUN",
        )
    return folder


def model_names(store: Path | None = None) -> list[str]:
    """Names of the models in the store that have versions, sorted; folders that are no models are left out."""
    root = store_folder(store)
    if not root.is_dir():
        return []
    return sorted(
        entry.name for entry in root.iterdir() if (entry / INDEX).is_file() and _largest_number(entry) > 0
    )


def present_versions(folder: Path, index: Index) -> list[int]:
    """The numbers whose folders are there, ascending."""
    return sorted(number for number in index.versions if _is_there(number, index, folder))


def _point(index: Index, tag: str, version: int) -> None:
    pointed = index.tags.setdefault(tag, [])
    before = pointed[-1] if pointed else None
    if before != version:
        pointed.append(version)
        index.record("tag", version, tag=tag, before=before)


def _without(numbers: list[int], version: int) -> list[int]:
    """The numbers but this one; what then stands twice in a row stands once, so that a rollback always moves."""
    left = [number for number in numbers if number != version]
    return [number for place, number in enumerate(left) if place == 0 or left[place - 1] != number]


def _is_there(number: int, index: Index, folder: Path) -> bool:
    return number in index.versions and (folder / str(number) / VERSIONS).is_file()


def _require_version(name: str, version: int, index: Index, folder: Path) -> None:
    if not _is_there(version, index, folder):
        known = ", ".join(str(number) for number in present_versions(folder, index))
        raise RunError(
            f"{name} has no version {version}",
            where=folder,
            expected=f"one of {known}" if known else "",
            command="flambeau models",
        )


def _largest_number(folder: Path) -> int:
    names = [entry.name for entry in folder.iterdir()]
    return max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)


def _clear_leftovers(folder: Path, index: Index) -> None:
    """Remove what killed processes left, and the folders of removed versions; nobody else holds the lock."""
    removed = {change["version"] for change in index.history if change.get("what") == "remove"}
    for number in removed - index.versions.keys():
        if (folder / str(number)).is_dir():
            (folder / str(number)).rename(folder / f"{_REMOVED}{uuid.uuid4().hex[:8]}")
    for entry in folder.iterdir():
        if entry.name.startswith((_COPYING, _REMOVED)):
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name.startswith(f".{INDEX}."):
            entry.unlink(missing_ok=True)


def _copy_files(source: Path, target: Path, names: list[str]) -> None:
    """Copy plain files into a new folder and flush them to disk."""
    with saving(target, kept="the versions that were there are untouched"):
        target.mkdir()
        for name in names:
            with (source / name).open("rb") as reading, (target / name).open("wb") as writing:
                shutil.copyfileobj(reading, writing, 2**20)
                writing.flush()
                os.fsync(writing.fileno())


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:500]
