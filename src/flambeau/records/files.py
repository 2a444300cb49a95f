"""Files that are wholly there or not at all: written beside their place, flushed to disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flambeau.errors import RunError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def saving(path: Path, kept: str = "", command: str = "") -> Iterator[None]:
    """Translate a full or read-only disk inside the block into a RunError; other errors pass.

    Args:
        path: what is being written, for the message.
        kept: a sentence that tells what is still there.
        command: how to go on once there is room.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise RunError("the disk is full", where=path, hint=kept, command=command) from error
        if isinstance(error, NotADirectoryError):
            raise RunError(
                "a file stands where a folder is needed",
                where=path,
                expected="a folder that exists or can be made; --out names another",
            ) from error
        if error.errno in NOT_ALLOWED:
            raise RunError(
                "this place cannot be written to",
                where=path,
                got=error.strerror,
                expected="a folder that you may write to; --out names another",
            ) from error
        raise


@contextlib.contextmanager
def alone_with(lock: Path) -> Iterator[None]:
    """Wait until no other process is inside a block with this lock file; a killed process leaves no lock behind.

    Raises:
        RunError: the file cannot be made.
    """
    with saving(lock.parent):
        stream = lock.open("a+b")
    with stream:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]  # Windows only
        else:
            import fcntl

            fcntl.flock(stream.fileno(), fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; at the end it is flushed to disk and renamed to `path`.

    A kill at any moment leaves either the old file or the new one. If the block raises, the temporary file is
    removed and the old file stays.

    Raises:
        RunError: the disk is full, or the folder cannot be written to.
    """
    # The name is unique, so that two processes that write the same file never share a half-written one.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    kept = f"{path.name} is as it was before" if path.exists() else "what was saved before is untouched"
    with saving(path, kept=kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush_to_disk(temporary)
            temporary.replace(path)
            _flush_to_disk(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically; see `atomic_file`."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically, with the line ends as given."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Write a JSON file atomically; numbers that JSON does not have (NaN, infinity) become null."""
    write_text(path, to_json(value, indent=indent) + "\n")


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text of plain values, paths and numpy numbers; NaN and infinity become null."""
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)


def digest_file(path: Path) -> str:
    """BLAKE2b of a file's bytes, 32 bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and torch, without importing them
        return _finite(value.tolist())
    raise TypeError(f"{type(value).__name__} has no place in JSON: {value!r}")


def _finite(value: Any) -> Any:
    """The same value with None for NaN and infinity, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _flush_to_disk(path: Path) -> None:
    """Force a file's or a folder's contents to disk, so that a power cut cannot undo a rename."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    # Windows flushes only what is open for writing; a folder opens only for reading.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
