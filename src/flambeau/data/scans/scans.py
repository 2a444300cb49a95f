"""Pictures and scans by what they are: the file's first bytes decide which function reads it.

pydicom and nibabel take a second to import, so they are imported where the first scan is met.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from flambeau.data.pictures.image import picture_size
from flambeau.data.pictures.load import load_picture
from flambeau.transforms.scan import ScanReading

ScanKind = Literal["", "dicom", "nifti"]
OddAffine = Literal["", "silent", "oblique"]

_DICOM_MARK_AT = 128
_START_BYTES = 352
_GZIP_MARK = b"\x1f\x8b"


@dataclass(frozen=True)
class FileSize:
    """What the header of a picture or scan tells.

    Args:
        height, width, channels, bits: as it would be decoded.
        kind: "" for a picture.
        depth: slices or frames; 1 for a picture.
        volumes: of a NIfTI file with a fourth dimension; 1 otherwise.
        affine: what is odd about where a NIfTI volume lies; "" for nothing.
    """

    height: int
    width: int
    channels: int
    bits: int
    kind: ScanKind = ""
    depth: int = 1
    volumes: int = 1
    affine: OddAffine = ""


def kind_of_bytes(start: bytes) -> ScanKind:
    """Which kind of scan a file is that begins so; "" for none. Gives no more than a look into compressed ones."""
    if start[:2] == _GZIP_MARK:
        try:
            start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, _START_BYTES)
        except zlib.error:
            return ""
    if start[_DICOM_MARK_AT : _DICOM_MARK_AT + 4] == b"DICM":
        return "dicom"
    if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
        return "nifti"
    return ""


def scan_kind(source: str | Path | BinaryIO) -> ScanKind:
    """Which kind of scan this is, by its first bytes; "" for pictures, and for what cannot be read."""
    # a compressed header is shorter than a plain one, but for a few bytes of gzip's own
    most = 4 * _START_BYTES
    if not isinstance(source, (str, Path)):
        begin = source.tell()
        start = source.read(most)
        source.seek(begin)
        return kind_of_bytes(start)
    file = _opened(source)
    if file is None:
        return ""
    with file:
        return kind_of_bytes(file.read(most))


def _opened(path: str | Path) -> BinaryIO | None:
    try:
        return Path(path).open("rb")
    except OSError:
        return None


def is_unnamed_scan(path: Path) -> bool:
    """Whether a file whose name does not tell it is a DICOM file: no suffix, or numbers as scanners write them."""
    suffix = path.suffix[1:]
    return (not suffix or suffix.isdigit()) and scan_kind(path) == "dicom"


def require_mark(source: str | Path | BinaryIO, kind: str) -> None:
    """Raises ValueError for a file that is called NIfTI and whose first bytes are those of something else."""
    name = str(source if isinstance(source, (str, Path)) else getattr(source, "name", ""))
    if not kind and name.lower().endswith((".nii", ".nii.gz")) and Path(name).is_file():
        raise ValueError(f"{name}: it is no NIfTI file: the mark of its header is missing")


def load_any(source: str | Path | BinaryIO, *, scan: ScanReading | None = None, **options: Any) -> np.ndarray:
    """A picture or scan as the model's preparation takes it: (height, width, channels), uint8 or uint16.

    Args:
        source: a file, or an open binary stream at its start.
        scan: how scans are read; None for the usual way.
        options: see `load_picture`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or is too large.
    """
    if isinstance(source, (str, Path)):
        # opened once, for the look and for the reading: of small pictures it is a tenth of the work
        file = _opened(source)
        if file is None:
            return load_picture(source, **options)  # which tells what is wrong
        with file:
            return load_any(file, scan=scan, **options)
    kind = scan_kind(source)
    require_mark(source, kind)
    if not kind and scan is not None and scan.depth:
        name = str(getattr(source, "name", "the file"))
        expected = (
            f"a volume of about {scan.depth} slices is expected, a NIfTI file or a DICOM file with frames"
        )
        raise ValueError(f"{name}: it is neither a NIfTI nor a DICOM file; {expected}")
    if not kind:
        return load_picture(source, **options)
    reading = scan or ScanReading()
    if kind == "dicom":
        return dicom_functions()[0](source, **options, **reading.dicom_options)
    return nifti_functions()[0](source, **options, **reading.nifti_options)


def size_of_any(source: str | Path | BinaryIO) -> FileSize:
    """What the header of a picture or scan tells; of a volume the size of its axial slices.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither, or damaged.
    """
    kind = scan_kind(source)
    require_mark(source, kind)
    if kind == "dicom":
        height, width, channels, bits, frames = dicom_functions()[1](source)
        return FileSize(height, width, channels, bits, kind, frames)
    if kind == "nifti":
        height, width, bits, slices, volumes = nifti_functions()[1](source)
        return FileSize(height, width, 1, bits, kind, slices, volumes, nifti_functions()[2](source))
    return FileSize(*picture_size(source))


@cache
def dicom_functions() -> tuple[Callable[..., np.ndarray], Callable[..., tuple[int, int, int, int, int]]]:
    """`load_dicom` and `dicom_size`. What pydicom would warn of, with values of the file, our own errors tell."""
    import pydicom.config

    from flambeau.data.scans.dicom import dicom_size, load_dicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return load_dicom, dicom_size


@cache
def nifti_functions() -> tuple[
    Callable[..., np.ndarray], Callable[..., tuple[int, int, int, int, int]], Callable[..., OddAffine]
]:
    """`load_nifti`, `nifti_size` and `affine_of_nifti`."""
    from flambeau.data.scans.nifti import affine_of_nifti, load_nifti, nifti_size

    return load_nifti, nifti_size, affine_of_nifti
