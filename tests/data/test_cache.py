"""The cache gives what decoding gives, mends itself, keeps its cap and outlives a full disk."""

from __future__ import annotations

import errno
import os
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flambeau.data import cache, cache_store
from flambeau.data.cache import CachedPictures, cached_pictures
from flambeau.data.cache_store import cache_entries, clear_cache, entries_folder
from flambeau.data.pictures.load import fit_pixels, load_picture
from flambeau.data.samples import PictureArray, PictureFiles, Samples
from flambeau.errors import DataError
from flambeau.schema import Schema

SCHEMA = Schema("pictures", "classification", "folder", ("a", "b"))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAMBEAU_CACHE", str(tmp_path / "cache"))


def picture_files(folder: Path, count: int = 70, seed: int = 0) -> Samples:
    generator = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    names = tuple(f"{index}.png" for index in range(count))
    for name in names:
        Image.fromarray(generator.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(folder / name)
    return samples_of(PictureFiles(folder, names), names)


def samples_of(pictures: PictureFiles | PictureArray, names: tuple[str, ...], mark: str = "") -> Samples:
    targets = np.zeros(len(names), dtype=np.int64)
    return Samples(SCHEMA, names, targets, pictures, digests=tuple(mark + name for name in names))


def load(samples: Samples, **options: object) -> CachedPictures:
    return cached_pictures(samples, **{"size": (8, 6), "channels": 3, **options})  # type: ignore[arg-type]  # mixed


def refuse_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object, **__: object) -> np.ndarray:
        raise AssertionError("decoded again")

    monkeypatch.setattr(cache, "load_any", decode)


def test_cache_equals_decoding_and_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = picture_files(tmp_path / "pictures")
    seen: list[tuple[int, int]] = []
    threads = torch.get_num_threads()
    first = load(samples, progress=lambda done, total: seen.append((done, total)), threads=3)
    assert torch.get_num_threads() == threads
    assert seen == [(32, 70), (64, 70), (70, 70)]
    assert first.readable.all()
    for index in (0, 33, 69):
        expected = load_picture(samples.pictures.path(index), size=(8, 6), channels=3, bits=8)
        assert np.array_equal(first.pixels[index], expected)
    refuse_decoding(monkeypatch)
    again = load(samples)
    assert isinstance(again.pixels, np.memmap)
    assert np.array_equal(again.pixels, first.pixels)
    with pytest.raises(AssertionError, match="decoded again"):
        load(samples, size=(4, 4))
    (entry,) = cache_entries()
    assert entry.bytes >= 70 * 8 * 6 * 3
    assert entry.what == "70 pictures, 8 x 6 px, channels 3, 8 bits"


def test_unreadable_pictures_are_listed_from_the_cache_too(tmp_path: Path) -> None:
    samples = picture_files(tmp_path / "pictures", count=5)
    (tmp_path / "pictures" / "2.png").write_text("not a picture")
    for _ in range(2):
        found = load(samples)
        assert found.readable.tolist() == [True, True, False, True, True]
        ((name, reason),) = found.problems
        assert name == "2.png"
        assert "not a picture" in reason
        assert found.pixels.shape == (4, 8, 6, 3)
        kept = load_picture(tmp_path / "pictures" / "3.png", size=(8, 6), channels=3, bits=8)
        assert np.array_equal(found.pixels[2], kept)
    in_memory = load(samples, cache_gb=1e-9)
    assert np.array_equal(in_memory.pixels, found.pixels)


def test_a_source_without_one_readable_picture_stops(tmp_path: Path) -> None:
    samples = picture_files(tmp_path / "pictures", count=3)
    for name in samples.ids:
        (tmp_path / "pictures" / name).write_text("words")
    for cap in (1.0, 1e-9):
        with pytest.raises(DataError, match="none of the pictures can be read"):
            load(samples, cache_gb=cap)
    assert cache_entries() == []


def test_arrays_of_the_right_size_pass_through_and_others_are_resized() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (3, 8, 6, 1), dtype=np.uint16)
    samples = samples_of(PictureArray(pixels), ("a", "b", "c"))
    assert load(samples, channels=1, bits=16).pixels is pixels
    assert cache_entries() == []
    smaller = load(samples, size=(4, 3), channels=1, bits=16).pixels
    assert smaller.dtype == np.uint16
    assert abs(float(smaller.mean()) - float(pixels.mean())) < 3000
    assert np.array_equal(load(samples, channels=1, bits=8).pixels, (pixels >> 8).astype(np.uint8))


@pytest.mark.parametrize("damage", ["cut", "index", "no index"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: str) -> None:
    samples = picture_files(tmp_path / "pictures", count=4)
    expected = np.array(load(samples).pixels)
    folder = entries_folder() / cache_entries()[0].name
    if damage == "cut":
        os.truncate(folder / "pixels.npy", 200)
    elif damage == "index":
        index = folder / "index.json"
        index.write_text(index.read_text().replace('"problems": []', '"problems": [[0, "x"]]'))
    else:
        (folder / "index.json").unlink()
    found = load(samples)
    assert found.readable.all()
    assert np.array_equal(found.pixels, expected)


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    samples = picture_files(tmp_path / "pictures")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(samples, progress=interrupt)
    assert list(entries_folder().iterdir()) == []
    assert load(samples).readable.all()


def test_leftovers_of_killed_runs_go_after_a_day(tmp_path: Path) -> None:
    old, new = (entries_folder() / f".writing-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "pixels.npy").write_bytes(b"half")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old / "pixels.npy", (two_days_ago, two_days_ago))
    load(picture_files(tmp_path / "pictures", count=3))
    assert not old.exists()
    assert new.exists()


def test_the_least_recently_used_entry_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [picture_files(tmp_path / "pictures", count=40)]
    sources += [samples_of(sources[0].pictures, sources[0].ids, mark) for mark in "bc"]
    for age, samples in ((50, sources[0]), (90, sources[1])):
        load(samples)
        newest = entries_folder() / cache_entries()[0].name
        for file in newest.iterdir():
            os.utime(file, (time.time() - age, time.time() - age))
    older, newer = sorted(cache_entries(), key=lambda entry: entry.used)
    room_for_two = (older.bytes + newer.bytes + 100) / 1e9
    monkeypatch.setattr(cache_store, "_in_use", set())
    load(sources[2], cache_gb=room_for_two)
    assert older.name not in {entry.name for entry in cache_entries()}
    assert newer.name in {entry.name for entry in cache_entries()}


def test_entries_in_use_are_kept(tmp_path: Path) -> None:
    first = picture_files(tmp_path / "pictures", count=40)
    load(first)
    second = load(samples_of(first.pictures, first.ids, "b"), cache_gb=6e-6)
    assert len(cache_entries()) == 2
    assert second.readable.all()


def test_beyond_the_cap_pictures_stay_in_memory(tmp_path: Path) -> None:
    samples = picture_files(tmp_path / "pictures", count=4)
    found = load(samples, cache_gb=1e-9)
    assert not isinstance(found.pixels, np.memmap)
    assert found.readable.all()
    assert cache_entries() == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_falls_back_to_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    samples = picture_files(tmp_path / "pictures", count=4)

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cache_store.os, "fsync", fail)
    found = load(samples)
    assert not isinstance(found.pixels, np.memmap)
    assert found.readable.all()
    assert list(entries_folder().iterdir()) == []
    memory = namedtuple("memory", "available")
    monkeypatch.setattr(cache.psutil, "virtual_memory", lambda: memory(10))
    with pytest.raises(DataError) as caught:
        load(samples)
    assert "0.0 GB are needed" in str(caught.value)
    assert "flambeau cache clear" in str(caught.value)


def test_two_runs_may_write_the_same_entry(tmp_path: Path) -> None:
    samples = picture_files(tmp_path / "pictures", count=40)
    inner: list[CachedPictures] = []

    def other_run(done: int, total: int) -> None:
        if not inner:
            inner.append(load(samples))

    outer = load(samples, progress=other_run)
    assert np.array_equal(outer.pixels, inner[0].pixels)
    assert len(list(entries_folder().iterdir())) == 1


def test_clear_removes_entries_by_name_or_all(tmp_path: Path) -> None:
    samples = picture_files(tmp_path / "pictures", count=4)
    load(samples)
    load(samples, size=(4, 4))
    entries = cache_entries()
    assert clear_cache([entries[0].name]) == entries[0].bytes
    assert [entry.name for entry in cache_entries()] == [entries[1].name]
    assert clear_cache() == entries[1].bytes
    assert cache_entries() == []


def test_fit_pixels_tells_a_wrong_layout() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 3\) float64"):
        fit_pixels(np.zeros((3, 3)), size=(2, 2), channels=1, bits=8)


@pytest.mark.slow
def test_real_photos(shared_data: Path) -> None:
    folder = shared_data / "images" / "sign_digits"
    names = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.JPG")))
    found = load(samples_of(PictureFiles(folder, names), names), size=(64, 64), threads=2)
    assert found.readable.all()
    turned = load_picture(folder / "7" / "IMG_5935.JPG", size=(64, 64), channels=3, bits=8)
    assert np.array_equal(found.pixels[names.index("7/IMG_5935.JPG")], turned)
