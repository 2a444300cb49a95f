"""Pictures that come as arrays: `.npz`, `.npy` with labels beside it, and idx files as MNIST comes.

Nothing is unpickled, and every declared size is checked against a limit before memory is asked for.
"""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

ARRAY_SUFFIXES = (".npz", ".npy")
IDX_IMAGES = "idx3-ubyte"
PART_OF_WORD = {"train": "train", "valid": "valid", "val": "valid", "test": "test", "t10k": "test"}

_MOST_CHANNELS = 64


@dataclass(frozen=True)
class ArrayPictures:
    """Pictures and labels as arrays.

    Args:
        pixels: (count, height, width, channels), uint8 or uint16.
        labels: (count,) or (count, labels), as they came; None where there are none.
        parts: (count,) of "train", "valid", "test"; None where the data is not split.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    parts: np.ndarray | None = None


def read_arrays(
    path: Path,
    *,
    bits: int | None = None,
    need_labels: bool = True,
    max_bytes: int = 64 * 2**30,
    on_note: Callable[[str, str], None] = lambda code, message: None,
) -> ArrayPictures:
    """Pictures and labels from an `.npz`, an `.npy`, one idx file, or a folder of idx files.

    Args:
        path: the file or folder. In an `.npz`, names are `images` and `labels`, or `train_images`,
            `train_labels` and so on for valid (or val) and test. Beside `NAME.npy` stands
            `NAME_labels.npy` or `labels.npy`. Beside `*images-idx3-ubyte[.gz]` stands
            `*labels-idx1-ubyte[.gz]`.
        bits: what 8- and 16-bit values are turned into; None keeps what is there.
        need_labels: whether missing labels are an error.
        max_bytes: the most that one array may declare.
        on_note: called with a short code and a sentence for each thing that was changed.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: sizes, types or names are not as above; names the file.
    """
    if path.is_dir() or is_idx(path):
        found = _read_idx_files(path, max_bytes, need_labels)
    elif path.suffix.lower() == ".npz":
        found = _read_npz(path, max_bytes)
    else:
        found = _read_npy_pair(path, max_bytes, need_labels)
    pixels, labels, parts = [], [], []
    for part, (images, marks) in found.items():
        if marks is None and need_labels:
            raise ValueError(
                f"{path}: there are images but no labels; expected an array named like the images"
            )
        if marks is not None and len(images) != len(marks):
            raise ValueError(f"{path}: {len(images)} images but {len(marks)} labels")
        pixels.append(images_as_pixels(images, bits=bits, name=str(path), on_note=on_note))
        labels.append(marks)
        parts.extend([part] * len(images))
    if not pixels or not sum(len(images) for images in pixels):
        raise ValueError(f"{path}: there are no images in it")
    shapes = {images.shape[1:] for images in pixels}
    if len(shapes) > 1:
        raise ValueError(f"{path}: the parts differ in shape: {sorted(shapes)}")
    known = [marks for marks in labels if marks is not None]
    return ArrayPictures(
        pixels[0] if len(pixels) == 1 else np.concatenate(pixels),
        _joined_labels(known, str(path)) if len(known) == len(pixels) else None,
        np.array(parts) if len(found) > 1 else None,
    )


def images_as_pixels(
    images: np.ndarray,
    *,
    bits: int | None = None,
    name: str = "the array",
    on_note: Callable[[str, str], None] = lambda code, message: None,
) -> np.ndarray:
    """Any common layout and type of images as (count, height, width, channels), uint8 or uint16.

    Raises:
        ValueError: the shape or the values are not those of pictures.
    """
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4:
        raise ValueError(
            f"{name}: images have shape {images.shape}; expected (count, height, width) or "
            "(count, height, width, channels)"
        )
    if images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        images = np.moveaxis(images, 1, -1)
        on_note(
            "channels-first", f"{name}: channels came first and were moved last, giving {images.shape[1:]}"
        )
    if images.shape[3] > _MOST_CHANNELS or 0 in images.shape[1:]:
        raise ValueError(
            f"{name}: {images.shape[3]} channels; expected 1 to {_MOST_CHANNELS} as the last size"
        )
    low, high = (images.min(), images.max()) if images.size else (0, 0)
    return np.ascontiguousarray(_as_unsigned(images, low, high, bits, name, on_note))


def _as_unsigned(
    images: np.ndarray,
    low: float,
    high: float,
    bits: int | None,
    name: str,
    on_note: Callable[[str, str], None],
) -> np.ndarray:
    kind = images.dtype.kind
    if kind == "b":
        images, kind = images.astype(np.uint8) * np.uint8(255), "u"
    if kind == "f":
        if not (math.isfinite(low) and math.isfinite(high) and low >= 0 and high <= 255):
            raise ValueError(
                f"{name}: floating-point images from {low} to {high}; expected 0 to 1, or 0 to 255"
            )
        scale = 255 if high <= 1 else 1
        on_note("float-pixels", f"{name}: floating-point images, times {scale}, were rounded to 8 bits")
        images = np.rint(images * images.dtype.type(scale)).astype(np.uint8)
    elif kind not in "iu" or low < 0 or high > 65_535:
        raise ValueError(
            f"{name}: images of {images.dtype} from {low} to {high}; expected 0 to 255, or 0 to 65535"
        )
    elif images.dtype not in (np.uint8, np.uint16):
        images = images.astype(np.uint8 if high <= 255 and bits != 16 else np.uint16)
    if bits == 16 and images.dtype == np.uint8:
        return images.astype(np.uint16) * np.uint16(257)
    if bits == 8 and images.dtype == np.uint16:
        return (images >> 8).astype(np.uint8)
    return images


def _read_npz(path: Path, max_bytes: int) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(item.filename).stem: item.filename for item in archive.infolist()}
            pairs = _named_pairs(set(names))
            if not pairs:
                raise ValueError(
                    f"{path}: it holds {', '.join(sorted(names)) or 'nothing'}; expected images, labels, or "
                    "train_images, train_labels, test_images, test_labels"
                )
            for member in (name for pair in pairs.values() for name in pair if name):
                with archive.open(names[member]) as file:
                    _check_npy_header(file, f"{path}:{member}", max_bytes)
    except (zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ValueError(f"{path}: {error}") from error
    with np.load(path, allow_pickle=False) as arrays:
        return {
            part: (arrays[images], arrays[labels] if labels else None)
            for part, (images, labels) in pairs.items()
        }


def _named_pairs(names: set[str]) -> dict[str, tuple[str, str | None]]:
    pairs: dict[str, tuple[str, str | None]] = {}
    for word, part in PART_OF_WORD.items():
        if f"{word}_images" in names:
            pairs[part] = (f"{word}_images", f"{word}_labels" if f"{word}_labels" in names else None)
    if not pairs and "images" in names:
        pairs["all"] = ("images", "labels" if "labels" in names else None)
    return pairs


def _read_npy_pair(
    path: Path, max_bytes: int, need_labels: bool
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    beside = [path.with_name(f"{path.stem}_labels.npy"), path.with_name("labels.npy")]
    labels_file = next((file for file in beside if file.is_file()), None)
    if labels_file is None and need_labels:
        raise FileNotFoundError(
            f"{path}: the labels are missing; expected {beside[0].name} or labels.npy beside it"
        )
    arrays = []
    for file in (path, labels_file):
        if file is not None:
            with file.open("rb") as stream:
                _check_npy_header(stream, str(file), max_bytes)
            # The map costs no memory until pictures are gathered from it.
            arrays.append(np.load(file, mmap_mode="r" if file == path else None, allow_pickle=False))
    return {"all": (arrays[0], arrays[1] if len(arrays) > 1 else None)}


def _check_npy_header(file: IO[bytes], name: str, max_bytes: int) -> None:
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"{name}: version {version} of the npy format; expected 1.0 or 2.0")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError(
            f"{name}: an array of Python objects, which could run code when read; expected numbers"
        )
    declared = math.prod(shape) * dtype.itemsize
    if declared > max_bytes:
        raise ValueError(
            f"{name}: shape {shape} of {dtype} needs {declared:,} bytes; the limit is {max_bytes:,}"
        )


def is_idx(path: Path) -> bool:
    """Whether the name is one of an idx file of images, packed or not."""
    return path.name.lower().removesuffix(".gz").replace(".idx", "-idx").endswith("images-" + IDX_IMAGES)


def _read_idx_files(
    path: Path, max_bytes: int, need_labels: bool
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    for file in filter(is_idx, files):
        wanted = file.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
        beside = next(
            (file.with_name(n) for n in (wanted, wanted + ".gz") if file.with_name(n).is_file()), None
        )
        if beside is None and need_labels:
            raise FileNotFoundError(
                f"{file}: the labels are missing; expected {wanted} or {wanted}.gz beside it"
            )
        part = next((part for word, part in PART_OF_WORD.items() if word in file.name.lower()), file.name)
        if part in found:
            continue
        labels = read_idx(beside, max_bytes=max_bytes) if beside is not None else None
        found[part] = (read_idx(file, max_bytes=max_bytes), labels)
    if not found:
        raise ValueError(f"{path}: there is no file named like train-images-{IDX_IMAGES} in it")
    return found


def read_idx(path: Path, *, max_bytes: int = 64 * 2**30) -> np.ndarray:
    """One idx file of unsigned bytes, packed with gzip or not (format: LeCun's page of MNIST).

    Raises:
        ValueError: not an idx file, or it holds fewer or more bytes than its header declares.
    """
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rb") as file:
            start = file.read(4)
            if len(start) < 4 or start[:3] != b"\x00\x00\x08":
                raise ValueError(f"{path}: it begins with {start!r}; expected an idx file of unsigned bytes")
            shape = tuple(int(size) for size in np.frombuffer(file.read(4 * start[3]), dtype=">u4"))
            if len(shape) != start[3] or math.prod(shape) > max_bytes:
                raise ValueError(
                    f"{path}: its header declares the shape {shape}; the limit is {max_bytes:,} bytes"
                )
            values = file.read(math.prod(shape) + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: {error}") from error
    if len(values) != math.prod(shape):
        raise ValueError(
            f"{path}: its header declares {math.prod(shape):,} values, but it does not hold as many"
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _joined_labels(labels: list[np.ndarray], name: str) -> np.ndarray:
    flat = [marks[:, 0] if marks.ndim == 2 and marks.shape[1] == 1 else marks for marks in labels]
    if any(marks.ndim not in (1, 2) or marks.shape[1:] != flat[0].shape[1:] for marks in flat):
        raise ValueError(
            f"{name}: labels have shapes {[m.shape for m in labels]}; expected (count,) or (count, labels)"
        )
    return np.concatenate(flat)
