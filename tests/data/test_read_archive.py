"""Archives are unpacked once, whole or not at all, and never outside their folder."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from flambeau.data.pictures.archive import ArchiveLimits, extract, is_archive
from flambeau.errors import DataError


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


def write_tar(path: Path, members: list[tarfile.TarInfo], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as packed:
        for member in members:
            packed.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 3, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, 0 if link else size, link
    return info


def test_zip_and_tar_are_unpacked_once(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "photos.zip", {"cats/a b.txt": b"one", "döner/ü.txt": b"two"})
    folder, findings = extract(path, tmp_path / "cache")
    assert (folder / "cats" / "a b.txt").read_bytes() == b"one"
    assert (folder / "döner" / "ü.txt").read_bytes() == b"two"
    assert findings == ()
    (folder / "cats" / "a b.txt").write_bytes(b"still here")
    again, _ = extract(path, tmp_path / "cache")
    assert (again / "cats" / "a b.txt").read_bytes() == b"still here"
    for suffix, mode in ((".tar", "w"), (".tgz", "w:gz"), (".tar.bz2", "w:bz2"), (".tar.xz", "w:xz")):
        tar = write_tar(tmp_path / f"photos{suffix}", [member("cats/a.txt")], mode)
        assert is_archive(tar)
        assert (extract(tar, tmp_path / "cache")[0] / "cats" / "a.txt").read_bytes() == b"xxx"


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/out.txt", "C:\\out.txt", "..\\out.txt"])
def test_names_that_lead_out_are_refused_and_nothing_is_kept(tmp_path: Path, name: str) -> None:
    cache = tmp_path / "deep" / "cache"
    archives = [
        write_zip(tmp_path / "bad.zip", {"good.txt": b"1", name: b"2"}),
        write_tar(tmp_path / "bad.tgz", [member("good.txt"), member(name)]),
    ]
    for path in archives:
        with pytest.raises(DataError, match="leads out of its folder"):
            extract(path, cache)
    assert list(tmp_path.rglob("*.txt")) == []
    assert list((cache / "archives").iterdir()) == []


def test_links_are_left_out_and_told(tmp_path: Path) -> None:
    members = [
        member("a.txt"),
        member("link", tarfile.SYMTYPE, link="/etc/passwd"),
        member("pipe", tarfile.FIFOTYPE),
    ]
    members[2].size = 0
    for _ in range(2):
        folder, findings = extract(write_tar(tmp_path / "links.tgz", members), tmp_path / "cache")
        assert [entry.name for entry in folder.iterdir()] == ["a.txt"]
        assert findings[0].items == ("link", "pipe")


def test_limits_hold_while_unpacking(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "many.zip", {f"{i}.txt": b"x" * 1000 for i in range(5)})
    with pytest.raises(DataError, match="too many files"):
        extract(path, tmp_path / "cache", ArchiveLimits(files=4))
    with pytest.raises(DataError, match="unpacks to too much"):
        extract(path, tmp_path / "cache", ArchiveLimits(bytes=4000))
    assert list((tmp_path / "cache" / "archives").iterdir()) == []


def test_a_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambeau.data.pictures.archive._RATIO_IS_CHECKED_FROM_BYTES", 2**20)
    path = write_zip(tmp_path / "bomb.zip", {"zeros": bytes(2**23)})
    with pytest.raises(DataError, match="more than 200 times its size"):
        extract(path, tmp_path / "cache")


def test_damaged_archives_are_told(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "whole.zip", {"a": b"x" * 1000}).read_bytes()
    for name, data in (("cut.zip", whole[:-30]), ("text.tar.gz", b"no tar"), ("empty.zip", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match="cannot be unpacked"):
            extract(tmp_path / name, tmp_path / "cache")
