"""Arrays come in every usual layout and type, and what they declare is checked before it is believed."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from flambeau.data.pictures.arrays import images_as_pixels, read_arrays, read_idx

GREY = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)


def write_idx(path: Path, values: np.ndarray, declared: tuple[int, ...] | None = None) -> None:
    shape = declared or values.shape
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    data = header + values.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_npz_with_parts_and_without(tmp_path: Path) -> None:
    labels = np.array([0, 1, 0, 1])
    np.savez(tmp_path / "plain.npz", images=GREY, labels=labels)
    plain = read_arrays(tmp_path / "plain.npz")
    assert plain.pixels.shape == (4, 5, 6, 1)
    assert plain.parts is None
    arrays = {f"{part}_images": GREY for part in ("train", "val", "test")}
    arrays |= {f"{part}_labels": labels[:, None] for part in ("train", "val", "test")}
    np.savez_compressed(tmp_path / "parts.npz", **arrays)
    split = read_arrays(tmp_path / "parts.npz")
    assert split.parts is not None
    assert split.labels is not None
    assert split.parts.tolist() == ["train"] * 4 + ["valid"] * 4 + ["test"] * 4
    assert split.labels.shape == (12,)


def test_npy_needs_labels_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "cells.npy", GREY)
    with pytest.raises(FileNotFoundError, match=r"cells_labels\.npy or labels\.npy"):
        read_arrays(tmp_path / "cells.npy")
    assert read_arrays(tmp_path / "cells.npy", need_labels=False).labels is None
    np.save(tmp_path / "cells_labels.npy", np.array(["a", "b", "a", "b"]))
    labels = read_arrays(tmp_path / "cells.npy").labels
    assert labels is not None
    assert labels.tolist() == ["a", "b", "a", "b"]


def test_idx_as_mnist_comes(tmp_path: Path) -> None:
    for part, ending in (("train", ".gz"), ("t10k", "")):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{ending}", GREY)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{ending}", np.arange(4, dtype=np.uint8))
    both = read_arrays(tmp_path)
    assert both.parts is not None
    assert sorted(both.parts.tolist()) == ["test"] * 4 + ["train"] * 4
    alone = read_arrays(tmp_path / "train-images-idx3-ubyte.gz")
    assert alone.parts is None
    assert np.array_equal(alone.pixels[..., 0], GREY)


def test_idx_that_lies_about_its_size(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    write_idx(path, GREY, declared=(5, 5, 6))
    with pytest.raises(ValueError, match="declares 150 values"):
        read_idx(path)
    write_idx(path, GREY, declared=(2**31, 2**31, 6))
    with pytest.raises(ValueError, match="the limit is"):
        read_idx(path)
    packed = tmp_path / "cut-images-idx3-ubyte.gz"
    write_idx(packed, GREY)
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(ValueError, match="cut-images"):
        read_idx(packed)


def test_layouts_and_types_are_changed_with_a_note() -> None:
    notes: list[str] = []
    first = images_as_pixels(np.zeros((7, 3, 5, 6), np.uint8), on_note=lambda code, _: notes.append(code))
    assert first.shape == (7, 5, 6, 3)
    unit = images_as_pixels(np.array([[[0.0, 0.5, 1.0]]]), on_note=lambda code, _: notes.append(code))
    assert unit.ravel().tolist() == [0, 128, 255]
    assert notes == ["channels-first", "float-pixels"]
    assert images_as_pixels(np.array([[[0, 300]]])).dtype == np.uint16
    assert images_as_pixels(np.array([[[False, True]]])).ravel().tolist() == [0, 255]
    assert images_as_pixels(np.array([[[0, 255]]], np.uint8), bits=16).ravel().tolist() == [0, 65535]
    assert images_as_pixels(np.array([[[0, 65535]]], np.uint16), bits=8).ravel().tolist() == [0, 255]


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((4, 784)), r"shape \(4, 784\); expected"),
        (np.full((1, 2, 2), -1.0), "expected 0 to 1, or 0 to 255"),
        (np.full((1, 2, 2), np.nan), "expected 0 to 1, or 0 to 255"),
        (np.full((1, 2, 2), 70_000), "expected 0 to 255, or 0 to 65535"),
        (np.zeros((2, 5, 5, 90), np.uint8), "90 channels"),
    ],
)
def test_what_is_no_picture_is_refused(images: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        images_as_pixels(images)


def test_pickles_and_giants_and_mismatches_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "pickled.npz", images=np.array([{"a": 1}], dtype=object), labels=np.zeros(1))
    with pytest.raises(ValueError, match="Python objects"):
        read_arrays(tmp_path / "pickled.npz")
    np.savez(tmp_path / "many.npz", images=GREY, labels=np.zeros(4))
    with pytest.raises(ValueError, match="the limit is 100"):
        read_arrays(tmp_path / "many.npz", max_bytes=100)
    np.savez(tmp_path / "uneven.npz", images=GREY, labels=np.zeros(3))
    with pytest.raises(ValueError, match="4 images but 3 labels"):
        read_arrays(tmp_path / "uneven.npz")
    np.savez(tmp_path / "other.npz", x=GREY)
    with pytest.raises(ValueError, match="it holds x; expected images"):
        read_arrays(tmp_path / "other.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK not a zip")
    with pytest.raises(ValueError, match=r"broken\.npz"):
        read_arrays(tmp_path / "broken.npz")
