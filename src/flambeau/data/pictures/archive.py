"""Archives (zip, tar) are unpacked once into the cache, under the digest of their bytes, and nowhere else.

An archive may come from a stranger: a name that leads out of the folder is refused, links and devices are
left out, and count, bytes and ratio of compression are limited by what is unpacked, not by what is claimed.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from flambeau.errors import DataError
from flambeau.schema import Finding

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

_BLOCK_BYTES = 2**20
_RATIO_IS_CHECKED_FROM_BYTES = 2**28
_BROKEN_ARCHIVE = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError),
)


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may unpack to.

    Args:
        files: how many files.
        bytes: how many bytes in all.
        ratio: bytes unpacked for one byte of the archive, looked at from 256 MiB on.
    """

    files: int = 5_000_000
    bytes: int = 500 * 2**30
    ratio: float = 200.0


def is_archive(path: Path) -> bool:
    """Whether the name is one of an archive."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def extract(path: Path, cache: Path, limits: ArchiveLimits | None = None) -> tuple[Path, tuple[Finding, ...]]:
    """Unpack an archive into `cache/archives/DIGEST`, or find it there.

    A half-unpacked archive is never found: the folder gets its name when all is written.

    Returns:
        The folder of the files, and what was left out.

    Raises:
        DataError: the archive is damaged, leads out of its folder, or is larger than the limits or the disk.
    """
    home = cache / "archives" / _file_digest(path)
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=home.parent))
        try:
            left_out = _unpack(path, unfinished / "files", limits or ArchiveLimits())
            (unfinished / "left_out.json").write_text(json.dumps(left_out), encoding="utf-8")
            _give_name(unfinished, home)
        except _BROKEN_ARCHIVE as error:
            raise DataError(
                "the archive cannot be unpacked",
                where=path,
                got=str(error),
                expected="a whole zip or tar file",
            ) from error
        except OSError as error:
            raise DataError("the archive cannot be unpacked", where=path, got=str(error)) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    left_out = json.loads((home / "left_out.json").read_text(encoding="utf-8"))
    if not left_out:
        return home / "files", ()
    message = f"{len(left_out)} links or devices in {path.name} were left out; only plain files are unpacked"
    return home / "files", (Finding("warning", "archive-links", message, tuple(left_out[:20])),)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _give_name(unfinished: Path, home: Path) -> None:
    try:
        unfinished.rename(home)
    except OSError:
        # Another process was first; what it unpacked has the same digest.
        if not home.is_dir():
            raise


def _unpack(path: Path, folder: Path, limits: ArchiveLimits) -> list[str]:
    archive_bytes = max(path.stat().st_size, 1)
    folder.mkdir(parents=True)
    count, unpacked, left_out = 0, 0, []
    for name, file in _members(path):
        target = _safe_target(folder, name, path)
        if file is None:
            left_out.append(name)
            continue
        count += 1
        if count > limits.files:
            raise DataError(
                "the archive holds too many files", where=path, expected=f"at most {limits.files:,}"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with file, target.open("wb") as out:
            while block := file.read(_BLOCK_BYTES):
                unpacked += len(block)
                _check_size(path, folder, unpacked, archive_bytes, limits)
                out.write(block)
    return left_out


def _check_size(path: Path, folder: Path, unpacked: int, archive_bytes: int, limits: ArchiveLimits) -> None:
    if unpacked > limits.bytes:
        raise DataError(
            "the archive unpacks to too much", where=path, expected=f"at most {limits.bytes:,} bytes"
        )
    if unpacked > max(_RATIO_IS_CHECKED_FROM_BYTES, limits.ratio * archive_bytes):
        raise DataError(
            f"the archive unpacks to more than {limits.ratio:g} times its size",
            where=path,
            hint="if you trust it, unpack it yourself",
            command=f"flambeau train {path.name.split('.')[0]}/",
        )
    if unpacked % (64 * _BLOCK_BYTES) < _BLOCK_BYTES and shutil.disk_usage(folder).free < 2 * _BLOCK_BYTES:
        raise DataError(
            "the disk of the cache is full",
            where=folder.parent.parent,
            hint="FLAMBEAU_CACHE moves the cache to another disk",
            command="flambeau cache --clear",
        )


def _members(path: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and open file of each member in turn; None in place of the file for links and devices."""
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as packed:
            for item in packed.infolist():
                is_link = (item.external_attr >> 16) & 0o170000 == 0o120000
                if not item.is_dir():
                    yield item.filename, None if is_link else packed.open(item)
        return
    with tarfile.open(path, "r|*") as tar:
        for member in tar:
            if not member.isdir():
                yield member.name, tar.extractfile(member) if member.isreg() else None


def _safe_target(folder: Path, name: str, archive: Path) -> Path:
    plain = PurePosixPath(name.replace("\\", "/"))
    windows = PureWindowsPath(name)
    if (
        plain.is_absolute()
        or windows.drive
        or windows.root
        or ".." in plain.parts
        or not plain.parts
        or "\0" in name
    ):
        raise DataError(
            "the archive holds a name that leads out of its folder",
            where=archive,
            got=name,
            expected="names inside the archive only",
            hint="such an archive is damaged or made to do harm; nothing of it was kept",
        )
    return folder.joinpath(*plain.parts)


def clear_archives(cache: Path) -> int:
    """Remove the unpacked archives of this cache; they are unpacked again when needed. Returns the bytes freed."""
    freed = archive_folder_bytes(cache)
    shutil.rmtree(cache / "archives", ignore_errors=True)
    return freed


def archive_folder_bytes(cache: Path) -> int:
    """How many bytes the unpacked archives take in this cache."""
    total = 0
    for root, _, names in os.walk(cache / "archives"):
        total += sum((Path(root) / name).stat().st_size for name in names)
    return total
