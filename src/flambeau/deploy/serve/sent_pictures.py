"""Pictures in rows that came as JSON: base64, with or without the head of a data address."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from typing import Any

from flambeau.data.pictures.image import picture_size
from flambeau.deploy.familiar.strange import is_missing
from flambeau.deploy.serve.limits import RefusalError

PICTURES_HINT = "a server opens no files by name: send the bytes of the picture as base64, or null for none"


# A request's pictures together may have so many times the pixels of the largest one.
LARGE_ONES = 4


def unpack_pictures(rows: Sequence[dict[str, Any]], names: Sequence[str], pixels: int, most: int) -> None:
    """Put the bytes of pictures in the place of base64, in the rows themselves.

    Args:
        rows: as they came.
        names: the columns of pictures.
        pixels: pictures with more are refused.
        most: pictures in one request.

    Raises:
        RefusalError: 422 for what is no picture, 413 for one that is too large, too many, or too many pixels in all.
    """
    found = together = 0
    for number, row in enumerate(rows, start=1):
        for name in names:
            if is_missing(row.get(name)):
                row[name] = None
            else:
                row[name], own = _unpack(row[name], f"row {number}, '{name[:60]}'", pixels)
                found, together = found + 1, together + own
                _refuse_many(found, together, most, pixels)


def _refuse_many(found: int, together: int, most: int, pixels: int) -> None:
    if found > most:
        raise RefusalError(
            413,
            "too many pictures in one request",
            expected=f"at most {most:,}",
            hint="flambeau predict takes files of any size",
        )
    if together > LARGE_ONES * pixels:
        raise RefusalError(
            413,
            "the pictures of one request are too large together",
            got=f"more than {LARGE_ONES * pixels:,} pixels",
            expected=f"at most {LARGE_ONES * pixels:,} pixels",
        )


def _unpack(value: Any, where: str, pixels: int) -> tuple[bytes, int]:
    """The bytes, and how many pixels their header declares."""
    text = value if isinstance(value, str) else ""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        found = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        found = b""
    if not found:
        raise RefusalError(
            422,
            "this is no picture in base64",
            where=where,
            got=repr(value)[:60],
            expected="base64 of a JPEG, PNG, WebP, TIFF, BMP, GIF or PNM",
            hint=PICTURES_HINT,
        )
    try:
        height, width, _, _ = picture_size(io.BytesIO(found))
    except (ValueError, OSError) as error:
        raise RefusalError(
            422, "this cannot be read as a picture", where=where, got=str(error)[:200]
        ) from None
    if height * width > pixels:
        raise RefusalError(
            413,
            "the picture is too large",
            where=where,
            got=f"{height} x {width}",
            expected=f"{pixels:,} pixels",
        )
    return found, height * width
