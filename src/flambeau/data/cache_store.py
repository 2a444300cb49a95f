"""The cache's folder: entries that appear whole or not at all, the least recently used removed first.

An entry is a folder with `pixels.npy` and `index.json`. It is written under another name and renamed when it
is complete, so that two runs may write the same one, and a killed run leaves nothing that looks whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from flambeau.data.places import cache_folder

_WRITING = ".writing-"
_STALE_SECONDS = 24 * 3600.0

# Entries that this process has open are not removed to make room.
_in_use: set[Path] = set()


@dataclass(frozen=True)
class CacheEntry:
    """One thing in the cache.

    Args:
        name: the name of its folder.
        bytes: its size on disk.
        used: when it was last used, in seconds since 1970.
        what: what it holds, in words.
    """

    name: str
    bytes: int
    used: float
    what: str


def entries_folder() -> Path:
    """The folder that the entries of decoded pictures are in; it may not exist yet."""
    return cache_folder() / "pictures"


def cache_entries() -> list[CacheEntry]:
    """All entries of decoded pictures, the most recently used first; unfinished ones are named so."""
    entries = []
    for folder in _folders():
        index = _read_index(folder)
        unfinished = "unfinished" if folder.name.startswith(_WRITING) else "damaged"
        what = str(index["what"]) if index is not None else unfinished
        entries.append(CacheEntry(folder.name, _size(folder), _used(folder), what))
    return sorted(entries, key=lambda entry: -entry.used)


def clear_cache(names: list[str] | None = None) -> int:
    """Remove these entries, or all that no run is writing just now. Returns the bytes that were freed."""
    freed = 0
    for folder in _folders():
        being_written = folder.name.startswith(_WRITING) and time.time() - _used(folder) < 60
        if folder.name in names if names is not None else not being_written:
            freed += _remove(folder)
    return freed


def make_room(wanted_bytes: int, limit_bytes: int) -> None:
    """Remove what killed runs left a day ago and, until the limit holds, the least recently used entries."""
    folders = []
    for folder in _folders():
        if not folder.name.startswith(_WRITING):
            folders.append(folder)
        elif time.time() - _used(folder) > _STALE_SECONDS:
            _remove(folder)
    total = wanted_bytes + sum(_size(folder) for folder in folders)
    for folder in sorted(folders, key=_used):
        if total <= limit_bytes:
            return
        if folder not in _in_use:
            total -= _remove(folder)


def open_entry(
    name: str, shape: tuple[int, ...], dtype: np.dtype
) -> tuple[np.ndarray, dict[str, Any]] | None:
    """The pixels, memory-mapped for reading, and the index of an entry; None if it is absent or damaged.

    There may be fewer rows than `shape` says, by the number of problems in the index.

    An entry of another size than its index says, or with an index that does not match its digest, is removed.
    """
    folder = entries_folder() / name
    if not folder.is_dir():
        return None
    index = _read_index(folder)
    try:
        if index is None or (folder / "pixels.npy").stat().st_size != index["bytes"]:
            raise ValueError("the entry is damaged")
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        if pixels.shape != (shape[0] - len(index["problems"]), *shape[1:]) or pixels.dtype != dtype:
            raise ValueError("the entry is damaged")
        os.utime(folder / "index.json")
    except (OSError, ValueError):
        _remove(folder)
        return None
    _in_use.add(folder)
    return pixels, index


@contextmanager
def new_entry(
    name: str, shape: tuple[int, ...], dtype: np.dtype, index: dict[str, Any]
) -> Iterator[BinaryIO]:
    """A file to write the pixels to in order; the entry appears under its name when the block ends well.

    Args:
        name: of the entry.
        shape, dtype: of all pixels, where each problem stands for a row that is not written.
        index: what is kept beside them, with a list of "problems"; may be filled in until the block ends.

    Raises:
        OSError: the disk is full or cannot be written; nothing is left behind.
    """
    entries_folder().mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=_WRITING, dir=entries_folder()))
    try:
        with (temporary / "pixels.npy").open("wb") as file:
            # Plain writes, not a writable memory map: on a full disk a map ends the process with SIGBUS.
            _write_header(file, shape, dtype)
            yield file
            index["bytes"] = file.tell()
            # numpy leaves room in the header for another number of rows.
            file.seek(0)
            _write_header(file, (shape[0] - len(index["problems"]), *shape[1:]), dtype)
            file.flush()
            os.fsync(file.fileno())
        index["digest"] = _digest(index)
        with (temporary / "index.json").open("w", encoding="utf-8") as file_index:
            json.dump(index, file_index)
        try:
            temporary.rename(entries_folder() / name)
        except OSError:
            # Another run was faster: its entry is as good as this one.
            if not (entries_folder() / name).is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _folders() -> list[Path]:
    root = entries_folder()
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []


def _read_index(folder: Path) -> dict[str, Any] | None:
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(index, dict) and index.get("digest") == _digest(index)
    return index if whole else None


def _digest(index: dict[str, Any]) -> str:
    content = {key: value for key, value in index.items() if key != "digest"}
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def _size(folder: Path) -> int:
    return sum(_stat(path).st_size for path in _files(folder))


def _used(folder: Path) -> float:
    """When the newest of its files was written or touched; another run may remove it meanwhile."""
    return max((_stat(path).st_mtime for path in _files(folder)), default=_stat(folder).st_mtime)


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError:
        return os.stat_result((0,) * 10)


def _remove(folder: Path) -> int:
    """Remove a folder and give its size. Where an open file cannot be removed (Windows), it stays."""
    size = _size(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return size if not folder.exists() else 0
