"""DICOM files as pixels: rescaled, windowed and turned the right way round, by pydicom with Pillow.

Only the elements named below are read, so that no name, date or number of a person is ever in memory here. The sizes
that a file claims are checked before memory is asked for.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import UID

from flambeau.data.pictures.image import TooManyPixelsError
from flambeau.data.pictures.load import fit_pixels
from flambeau.data.scans.dicom_values import colours_of, grey_shares, is_coloured
from flambeau.data.scans.readable import readable_scan
from flambeau.transforms.image import Interpolation, PictureFit
from flambeau.transforms.scan import (
    WindowKind,
    fit_depth,
    scan_to_pixels,
    spread_places,
)

# PS3.3 C.7.6.3 (pixels), C.7.6.6 (frames), C.11.1 and C.11.2 (what their values mean). None of them tells of a person.
PIXEL_KEYWORDS = (
    *(
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "NumberOfFrames",
    ),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SmallestImagePixelValue"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData"),
    *("SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData"),
    *("SegmentedBluePaletteColorLookupTableData", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "Modality", "BurnedInAnnotation"),
)
PIXEL_DATA = (
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)
DEFLATED = "1.2.840.10008.1.2.1.99"
MARK_AT, DICOM_MARK = 128, b"DICM"
INFLATE_BYTES = 2**20
BYTES_A_PIXEL = 16  # more than any picture of `max_pixels` needs
HEADER_BYTES = 2**26


class DicomError(ValueError):
    """A DICOM file that cannot be read; its message is made of words of this file alone."""


def has_dicom_mark(start: bytes) -> bool:
    """Whether these are the first 132 bytes of a DICOM file."""
    return start[MARK_AT : MARK_AT + 4] == DICOM_MARK


def load_dicom(
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
    frame: int = -1,
    depth: int = 0,
) -> np.ndarray:
    """A DICOM file as the model's preparation takes it: (height, width, channels), uint8 or uint16.

    Args:
        source: a file, or an open binary stream at its start.
        size, channels, bits, fit, interpolation, max_pixels: see `load_picture`.
        window, low, high, frame, depth: see `ScanReading`; with a depth the channels are slices.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read; says why, and names a compression that nothing here can unpack.
    """
    pixels = decode_dicom(
        source, bits=bits, max_pixels=max_pixels, window=window, low=low, high=high, frame=frame, depth=depth
    )
    if not depth:
        return fit_pixels(
            pixels, size=size, channels=channels, bits=bits, fit=fit, interpolation=interpolation
        )
    slices = pixels.shape[2]
    pixels = fit_pixels(pixels, size=size, channels=slices, bits=bits, fit=fit, interpolation=interpolation)
    return fit_depth(pixels, channels)


def dicom_size(source: str | Path | BinaryIO) -> tuple[int, int, int, int, int]:
    """Height, width, channels (1 or 3), bits (8 or 16) and frames, from the header alone.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no DICOM file, is damaged, or holds no picture.
    """
    with readable_scan(source, DicomError, "DICOM") as file:
        header = _read_elements(file, HEADER_BYTES, PIXEL_KEYWORDS)
        rows, columns, frames = _declared_size(header)
        coloured = is_coloured(header)
        deep = not coloured and int(header.get("BitsStored", 8)) > 8
        return rows, columns, 3 if coloured else 1, 16 if deep else 8, frames


def dicom_tags(source: str | Path | BinaryIO, names: Sequence[str]) -> Dataset:
    """The named elements of a file's header.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no DICOM file, is damaged, or unpacks to more than a header may hold.
    """
    with readable_scan(source, DicomError, "DICOM") as file:
        return _read_elements(file, HEADER_BYTES, names)


def decode_dicom(
    source: str | Path | BinaryIO,
    *,
    bits: int,
    max_pixels: int = 100_000_000,
    window: WindowKind = "auto",
    low: float = 0.0,
    high: float = 0.0,
    frame: int = -1,
    depth: int = 0,
) -> np.ndarray:
    """The pixels of a DICOM file: (height, width, 1 or 3), or (height, width, slices) with a depth.

    Stored values are rescaled (PS3.3 C.11.1) and windowed (C.11.2); MONOCHROME1 is inverted, palettes and YBR become
    RGB, overlays are left out.

    Args:
        source: a file, or an open binary stream at its start.
        bits: 8 or 16 of the result.
        max_pixels: files whose header declares more are refused before they are unpacked.
        window, low, high, frame, depth: see `ScanReading`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read; says why.
    """
    with readable_scan(source, DicomError, "DICOM") as file:
        begin, most = file.tell(), HEADER_BYTES + max_pixels * BYTES_A_PIXEL
        rows, columns, frames = _declared_size(_read_elements(file, most, PIXEL_KEYWORDS))
        most = min(most, HEADER_BYTES + rows * columns * frames * BYTES_A_PIXEL)
        if (size := file.seek(0, SEEK_END) - begin) > most:
            raise TooManyPixelsError(
                f"it holds {size:,} bytes, more than {rows:,} x {columns:,} pixels of {frames:,} frames can need "
                "within the limit (data.max_pixels)"
            )
        file.seek(begin)
        elements = _read_elements(file, most, (*PIXEL_KEYWORDS, *PIXEL_DATA))
        if not any(name in elements for name in PIXEL_DATA[:3]):
            raise DicomError("it is a DICOM file without pixels, such as a report or a structure")
        if frame >= frames:
            raise DicomError(f"it has {frames} frames, and frame {frame} (counted from 0) is asked for")
        middle = (frames - 1) // 2 if frame < 0 else frame
        places = spread_places(frames, 2 * depth) if depth else [middle]
        if rows * columns * len(places) > max_pixels:
            raise TooManyPixelsError(
                f"it has {rows:,} x {columns:,} pixels in each of {len(places):,} frames, more than the limit of "
                f"{max_pixels:,} (data.max_pixels)"
            )
        stored = [_stored_frame(elements, place, frames, (columns, rows)) for place in places]
        if is_coloured(elements):
            if depth:
                raise DicomError("it is a picture in colours, which has no depth: --set scan.volume=false")
            return colours_of(stored[0], elements, bits)
        if depth and frames < 2:
            raise DicomError(f"it is a single picture, and volumes of about {depth} slices are expected")
        shares = grey_shares(np.stack(stored, axis=-1), elements, window, low, high)
        return scan_to_pixels(shares, bits)


def _read_elements(file: BinaryIO, most_bytes: int, names: Sequence[str]) -> Dataset:
    """The named elements, with the transfer syntax in `file_meta`; pixels only where they are named."""
    begin = file.tell()
    start = file.read(MARK_AT + len(DICOM_MARK))
    if not start:
        raise DicomError("the file is empty")
    if not has_dicom_mark(start):
        raise DicomError("it is no DICOM file: the mark DICM does not stand at byte 128")
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if str(meta.get("TransferSyntaxUID", "")) == DEFLATED:
        _check_inflated(file, most_bytes)
    file.seek(begin)
    return dcmread(file, stop_before_pixels=PIXEL_DATA[0] not in names, specific_tags=list(names))


def _check_inflated(file: BinaryIO, most_bytes: int) -> None:
    """A deflated file is inflated whole by pydicom, so its size is found out first, in small pieces."""
    inflate, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while block := inflate.unconsumed_tail or file.read(INFLATE_BYTES):
        total += len(inflate.decompress(block, INFLATE_BYTES))
        if total > most_bytes:
            raise TooManyPixelsError(f"it unpacks to more than {most_bytes:,} bytes")
        if inflate.eof:
            return


def _declared_size(elements: Dataset) -> tuple[int, int, int]:
    """Rows, columns and frames; raises DicomError where there is no picture."""
    rows, columns = (int(elements.get(name) or 0) for name in ("Rows", "Columns"))
    frames = int(elements.get("NumberOfFrames") or 1)
    if min(rows, columns) < 1:
        raise DicomError("it is a DICOM file without a picture, such as a report or a structure")
    if frames < 1:
        raise DicomError(f"it says that it has {frames} frames")
    return rows, columns, frames


def _stored_frame(elements: Dataset, place: int, frames: int, size: tuple[int, int]) -> np.ndarray:
    """One frame as it is stored: (rows, columns) or (rows, columns, 3); YBR becomes RGB."""
    syntax = UID(str(elements.file_meta.get("TransferSyntaxUID", "")))
    known = syntax.is_transfer_syntax and not syntax.is_private
    told = f"{syntax.name} ({syntax})" if known else "a transfer syntax that is not of the standard"
    if not known and re.fullmatch(r"[0-9.]{1,64}", syntax):
        told += f" ({syntax})"
    if not known or not get_decoder(syntax).is_available:
        raise DicomError(
            f"its pixels are stored as {told}, which pydicom cannot unpack with Pillow; "
            "save it as Explicit VR Little Endian, RLE or JPEG 2000"
        )
    if not syntax.is_compressed or syntax == DEFLATED:
        return pixel_array(elements, index=place)
    try:
        if "RLE" not in syntax.name:
            packed = get_frame(elements.PixelData, place, number_of_frames=frames)
            with Image.open(BytesIO(packed), formats=("JPEG", "JPEG2000")) as inside:
                if inside.size != size:
                    raise DicomError(
                        f"its header says {size[1]} x {size[0]} pixels, its compressed data "
                        f"{inside.height} x {inside.width}"
                    )
        return pixel_array(elements, index=place)
    except DicomError:
        raise
    except Exception as error:  # decoders raise anything for data that they cannot unpack
        reason = f"its pixels, stored as {told}, cannot be unpacked ({type(error).__name__})"
        raise DicomError(reason) from None
