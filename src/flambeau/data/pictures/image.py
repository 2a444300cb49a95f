"""One picture: its size from the header alone, and its pixels as a plain array, whatever the file's format.

Files are opened by the class of their format, found from their first bytes, and not by `Image.open`: only the
formats below can be reached by a stranger's bytes, and the limit on pixels is the caller's own, checked
before anything is unpacked.

Pillow reads colour pictures of 16 bits a channel with 8 bits a channel; `picture_loses_depth` tells where.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

SCAN_SUFFIXES = (".dcm", ".dicom", ".ima", ".nii", ".nii.gz")
PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".pgm", ".ppm", ".pnm"),
    *SCAN_SUFFIXES,
)

PICTURE_FORMATS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"GIF8", GifImageFile),
    (b"BM", BmpImageFile),
    (b"II\x2a\x00", TiffImageFile),
    (b"MM\x00\x2a", TiffImageFile),
    (b"II\x2b\x00", TiffImageFile),
    (b"MM\x00\x2b", TiffImageFile),
    *((b"P%d" % number, PpmImageFile) for number in range(1, 7)),
)

_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_GREY_MODES = ("1", "L", "LA", "La", *_DEEP_MODES)
_TURNED_ORIENTATIONS = (5, 6, 7, 8)
_FULL_16_BITS = 65_535
_8_TO_16_BITS = 257

# What Pillow's decoders raise for damaged files.
_BROKEN_PICTURE = (
    *(OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError),
    *(AttributeError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError),
)


class TooManyPixelsError(ValueError):
    """A picture whose header declares more pixels than are allowed; it was not unpacked."""


def picture_size(source: str | Path | BinaryIO) -> tuple[int, int, int, int]:
    """Height, width, channels and bits a channel of a picture as `decode_picture` would give it.

    Only the header is read. The size is that after turning by the EXIF orientation. Channels are 1 (grey) or
    3 (colour); bits are 8 or 16.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a picture of a known format, or its header is damaged; names the file.
    """
    with _opened_picture(source) as image:
        width, height = image.size
        if _is_turned(image):
            width, height = height, width
        channels = 1 if image.mode in _GREY_MODES or _has_grey_palette(image) else 3
        return height, width, channels, 16 if image.mode in _DEEP_MODES else 8


def picture_loses_depth(source: str | Path | BinaryIO) -> bool:
    """Whether the file holds colours of 16 bits a channel, of which Pillow keeps the upper 8."""
    with _opened_picture(source) as image:
        if image.mode in _DEEP_MODES or not image.tile:
            return False
        arguments = image.tile[0].args
        raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
        return isinstance(raw_mode, str) and ";16" in raw_mode


def decode_picture(
    source: str | Path | BinaryIO,
    *,
    channels: int,
    bits: int,
    size: tuple[int, int] | None = None,
    max_pixels: int = 100_000_000,
) -> np.ndarray:
    """The pixels of a picture: (height, width, channels), uint8 or uint16.

    The first frame is taken, turned by its EXIF orientation, and laid on white where it is transparent.
    Colours become grey by ITU-R 601-2 luma. 8 bits become 16 by the factor 257, 16 become 8 by the upper
    byte. Pictures of 32-bit integers are cut to 0..65535; floating-point ones are scaled by 65535 if all lie
    in 0..1, else cut.

    Args:
        source: a file, or an open binary stream at the start of a picture.
        channels: 1 for grey, 3 for colour.
        bits: 8 or 16 bits a channel.
        size: the height and width that will be needed. A JPEG at least twice as large is decoded at 1/2,
            1/4 or 1/8 of its size, never below `size`; this is faster and averages pixels as a resize would.
        max_pixels: pictures whose header declares more are refused before they are unpacked.

    Raises:
        FileNotFoundError: there is no such file.
        TooManyPixelsError: too large; names the file and says how large.
        ValueError: not a picture, damaged or truncated; names the file and says why.
    """
    if channels not in (1, 3) or bits not in (8, 16):
        raise ValueError(f"channels must be 1 or 3 and bits 8 or 16; got {channels} and {bits}")
    with _opened_picture(source) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise TooManyPixelsError(
                f"it has {height:,} x {width:,} = {width * height:,} pixels, more than the limit of "
                f"{max_pixels:,} (data.max_pixels)"
            )
        if size is not None and isinstance(image, JpegImageFile):
            wanted_height, wanted_width = (size[1], size[0]) if _is_turned(image) else size
            image.draft(None, (wanted_width, wanted_height))
        image.load()
        # In place, and converted only where it must be: Pillow's copies take as long as decoding itself.
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode in _DEEP_MODES:
            return _deep_pixels(image, channels, bits)
        flat = _on_white(image) if image.has_transparency_data else image
        mode = "L" if channels == 1 else "RGB"
        pixels = np.array(flat if flat.mode == mode else flat.convert(mode))
        pixels = pixels.reshape(*pixels.shape[:2], channels)
        return pixels if bits == 8 else pixels.astype(np.uint16) * _8_TO_16_BITS


@contextmanager
def _opened_picture(source: str | Path | BinaryIO) -> Iterator[ImageFile]:
    name = str(source) if isinstance(source, (str, Path)) else str(getattr(source, "name", "the picture"))
    try:
        if isinstance(source, (str, Path)):
            with Path(source).open("rb") as file:
                yield _parse_header(file)
        else:
            yield _parse_header(source)
    except FileNotFoundError:
        raise
    except TooManyPixelsError as error:
        raise TooManyPixelsError(f"{name}: {error}") from error
    except _BROKEN_PICTURE as error:
        raise ValueError(f"{name}: {str(error) or type(error).__name__}") from error


def _parse_header(file: BinaryIO) -> ImageFile:
    start = file.read(16)
    file.seek(-len(start), 1)
    if not start:
        raise ValueError("the file is empty")
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return WebPImageFile(file)
    for magic, opener in PICTURE_FORMATS:
        if start.startswith(magic):
            return opener(file)
    kind = "text" if start.isascii() and start.decode("ascii").isprintable() else "other data"
    raise ValueError(
        f"not a picture but {kind}: it begins with {start!r}; "
        "known are JPEG, PNG, WebP, TIFF, BMP, GIF and PNM"
    )


def _is_turned(image: ImageFile) -> bool:
    # Pillow turns TIFF on its own. A PNG without early EXIF would be decoded only to look for late EXIF.
    if isinstance(image, TiffImageFile) or (isinstance(image, PngImageFile) and "exif" not in image.info):
        return False
    return image.getexif().get(ExifTags.Base.Orientation) in _TURNED_ORIENTATIONS


def _has_grey_palette(image: ImageFile) -> bool:
    if image.mode != "P":
        return False
    palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white


def _deep_pixels(image: Image.Image, channels: int, bits: int) -> np.ndarray:
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values.astype(np.float64))
        if values.size and values.min() >= 0 and values.max() <= 1:
            values = values * _FULL_16_BITS
        values = np.rint(values)
    pixels = np.clip(values, 0, _FULL_16_BITS).astype(np.uint16)[:, :, None]
    if bits == 8:
        pixels = (pixels >> 8).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(pixels, channels, axis=2))
