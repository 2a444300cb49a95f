"""NIfTI files as pixels: one slice, or a volume, turned to the same side whatever way it was stored.

The header is read by nibabel; the values are read here, no more of them than the header declares and the limit allows,
so that a small compressed file cannot fill the memory.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from nibabel import Nifti1Header, Nifti2Header
from nibabel.orientations import apply_orientation, io_orientation

from flambeau.data.pictures.image import TooManyPixelsError
from flambeau.data.pictures.load import fit_pixels
from flambeau.data.scans.readable import readable_scan
from flambeau.transforms.image import Interpolation, PictureFit
from flambeau.transforms.scan import (
    ScanAxis,
    WindowKind,
    fit_depth,
    percentile_window,
    scan_to_pixels,
    spread_places,
    window_scan,
)

GZIP_MARK = b"\x1f\x8b"
NIFTI1_BYTES, NIFTI2_BYTES = 348, 540
NIFTI1_MARK, NIFTI1_PAIR, NIFTI2_MARK = b"n+1\0", b"ni1\0", b"n+2\0"
LARGEST_OFFSET = 2**24
READ_BYTES = 2**22
# Axes of which one lies in the plane of the others tell no volume; scanners tilt slices by less than this angle.
FLAT, MOST_OBLIQUE = 1e-3, math.radians(30)
# Numbers of the axes of a volume that was turned to right, front, up (RAS+).
SCAN_AXES: dict[str, int] = {"sagittal": 0, "coronal": 1, "axial": 2}


class NiftiError(ValueError):
    """A NIfTI file that cannot be read."""


def has_nifti_mark(start: bytes) -> bool:
    """Whether these are the first 348 bytes of an unpacked NIfTI file."""
    return start[344:348] in (NIFTI1_MARK, NIFTI1_PAIR) or start[4:8] == NIFTI2_MARK


def load_nifti(
    source: str | Path | BinaryIO,
    *,
    size: tuple[int, int],
    channels: int,
    bits: int,
    fit: PictureFit = "stretch",
    interpolation: Interpolation = "bilinear",
    max_pixels: int = 100_000_000,
    window: WindowKind = "auto",
    low: float = 0.0,
    high: float = 0.0,
    axis: ScanAxis = "axial",
    position: float = 0.5,
    depth: int = 0,
) -> np.ndarray:
    """A NIfTI file as the model's preparation takes it: (height, width, channels), uint8 or uint16.

    Args:
        source: a file, or an open binary stream at its start; compressed by gzip or not.
        size, channels, bits, fit, interpolation: see `load_picture`.
        max_pixels: files whose first volume has more values are refused before they are unpacked.
        window, low, high, axis, position, depth: see `ScanReading`; with a depth the channels are slices.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read; says why.
    """
    pixels = decode_nifti(
        source,
        bits=bits,
        max_pixels=max_pixels,
        window=window,
        low=low,
        high=high,
        axis=axis,
        position=position,
        depth=depth,
    )
    slices = pixels.shape[2] if depth else channels
    pixels = fit_pixels(pixels, size=size, channels=slices, bits=bits, fit=fit, interpolation=interpolation)
    return fit_depth(pixels, channels) if depth else pixels


def nifti_size(source: str | Path | BinaryIO) -> tuple[int, int, int, int, int]:
    """Height and width of axial slices, bits (8 or 16), slices and volumes, from the header alone.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no NIfTI file, or its header is damaged.
    """
    with readable_scan(source, NiftiError, "NIfTI") as file:
        header, _ = _read_header(file)
        shape, volumes = _volume_shape(header)
        turned = _orientation(header)[:, 0].astype(int)
        lengths = [shape[int(np.flatnonzero(turned == way)[0])] for way in range(3)]
        deep = header.get_data_dtype().itemsize > 1 or _scaling(header) != (1.0, 0.0)
        return lengths[1], lengths[0], 16 if deep else 8, lengths[2], volumes


def affine_of_nifti(source: str | Path | BinaryIO) -> Literal["", "silent", "oblique"]:
    """What is odd about where a volume lies: "silent" tells no axes of the body, "oblique" lies far between them.

    Raises:
        FileNotFoundError, ValueError: as `nifti_size`.
    """
    with readable_scan(source, NiftiError, "NIfTI") as file:
        header = _read_header(file)[0]
        # without a code there is no affine: nibabel makes one up
        if not header["sform_code"] and not header["qform_code"]:
            return "silent"
        affine = header.get_best_affine()
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.isfinite(affine).all() or (lengths == 0).any():
            return "silent"
        directions = affine[:3, :3] / lengths
        if abs(np.linalg.det(directions)) < FLAT:
            return "silent"
        return "oblique" if np.abs(directions).max(axis=0).min() < math.cos(MOST_OBLIQUE) else ""


def decode_nifti(
    source: str | Path | BinaryIO,
    *,
    bits: int,
    max_pixels: int = 100_000_000,
    window: WindowKind = "auto",
    low: float = 0.0,
    high: float = 0.0,
    axis: ScanAxis = "axial",
    position: float = 0.5,
    depth: int = 0,
) -> np.ndarray:
    """The pixels of a NIfTI file: (height, width, 1), or (height, width, slices) with a depth.

    The volume is turned to right, front, up by its affine; a slice is shown as radiologists do, the head or the front
    at the top and the right side of the body at the left. Of several volumes the first is taken.

    Args:
        source: a file, or an open binary stream at its start.
        bits: 8 or 16 of the result.
        max_pixels, window, low, high, axis, position, depth: see `load_nifti`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read; says why.
    """
    with readable_scan(source, NiftiError, "NIfTI") as file:
        header, plain = _read_header(file)
        shape, _ = _volume_shape(header)
        if math.prod(shape) > max_pixels:
            raise TooManyPixelsError(
                f"its volume has {' x '.join(f'{side:,}' for side in shape)} values, more than the limit of "
                f"{max_pixels:,} (data.max_pixels)"
            )
        volume = _read_values(plain, header, shape)
        volume = apply_orientation(volume, _orientation(header))
        black, white = _window_ends(volume, header, window, low, high)
        slices = np.moveaxis(volume, SCAN_AXES[axis], 2)
        count = slices.shape[2]
        if depth and count < 2:
            raise NiftiError(f"it is a single slice, and volumes of about {depth} slices are expected")
        places = spread_places(count, 2 * depth) if depth else [int(position * (count - 1) + 0.5)]
        chosen = np.flip(slices[:, :, places].transpose(1, 0, 2), (0, 1))
        return scan_to_pixels(window_scan(chosen, black, white), bits)


def _read_header(file: BinaryIO) -> tuple[Any, _Joined]:
    """The header, and the unpacked stream at its first value."""
    begin = file.tell()
    start = file.read(2)
    file.seek(begin)
    plain: Any = gzip.GzipFile(fileobj=file) if start == GZIP_MARK else file
    block = plain.read(NIFTI2_BYTES)
    if not block:
        raise NiftiError("the file is empty")
    if block[344:348] == NIFTI1_PAIR:
        raise NiftiError("it is the header of a pair of files (.hdr and .img); save it as one .nii file")
    if not has_nifti_mark(block):
        raise NiftiError("it is no NIfTI file: its mark is missing")
    second = block[4:8] == NIFTI2_MARK
    length = NIFTI2_BYTES if second else NIFTI1_BYTES
    header = (Nifti2Header if second else Nifti1Header)(block[:length], check=False)
    offset = int(header.get_data_offset())
    if not length <= offset <= LARGEST_OFFSET:
        raise NiftiError(f"its header says that values begin at byte {offset}")
    block = block[offset:] if offset < len(block) else _skip(plain, offset - len(block))
    return header, _Joined(block, plain)


def _skip(stream: BinaryIO, count: int) -> bytes:
    if len(stream.read(count)) < count:
        raise NiftiError("it is cut off before its values")
    return b""


class _Joined:
    """A stream behind bytes that were read from it too early."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self.start, self.stream = start, stream

    def read(self, count: int) -> bytes:
        """At most so many bytes; none at the end."""
        if self.start:
            block, self.start = self.start[:count], self.start[count:]
            return block
        return self.stream.read(count)


def _volume_shape(header: Any) -> tuple[tuple[int, int, int], int]:
    """Sides of the first volume, and how many volumes there are."""
    shape = tuple(int(side) for side in header.get_data_shape())
    if len(shape) < 2 or min(shape) < 1:
        raise NiftiError(f"its header says that its values have the shape {shape}")
    height, width, depth = (*shape, 1)[:3]
    return (height, width, depth), math.prod(shape[3:])


def _orientation(header: Any) -> np.ndarray:
    """(3, 2): which axis of the body each axis of the file is, and which way; as stored if the affine tells nothing."""
    plain = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    try:
        affine = header.get_best_affine()
        if not np.isfinite(affine).all():
            return plain
        found = io_orientation(affine)
    except (ValueError, np.linalg.LinAlgError):
        return plain
    return plain if np.isnan(found).any() else np.asarray(found)


def _scaling(header: Any) -> tuple[float, float]:
    """Slope and intercept; 1 and 0 where the header has none."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or slope == 0:
        return 1.0, 0.0
    return slope, intercept if np.isfinite(intercept) else 0.0


def _read_values(stream: Any, header: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """The first volume as float32, scaled; what float32 has no finite number for becomes 0."""
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise NiftiError(
            f"its values are of the type {dtype.name}; known are whole and floating-point numbers"
        )
    wanted = math.prod(shape) * dtype.itemsize
    data = bytearray()
    while len(data) < wanted:
        block = stream.read(min(READ_BYTES, wanted - len(data)))
        if not block:
            raise NiftiError(f"it is cut off: {len(data):,} of {wanted:,} bytes of values are there")
        data += block
    slope, intercept = _scaling(header)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.frombuffer(data, dtype=dtype).astype(np.float64) * slope + intercept
        single = values.astype(np.float32)
    values = np.nan_to_num(single, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return values.reshape(shape, order="F")


def _window_ends(
    volume: np.ndarray, header: Any, window: WindowKind, low: float, high: float
) -> tuple[float, float]:
    """The values that become black and white."""
    if window == "range":
        return low, high
    shown = float(header["cal_min"]), float(header["cal_max"])
    if window in ("auto", "file") and all(map(math.isfinite, shown)) and shown[1] > shown[0]:
        return shown
    dtype = header.get_data_dtype()
    if window == "full" or (window in ("auto", "file") and dtype.itemsize == 1):
        if dtype.kind == "f":
            return float(volume.min()), float(volume.max())
        slope, intercept = _scaling(header)
        ends = sorted(end * slope + intercept for end in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        return ends[0], ends[1]
    return percentile_window(volume)
