"""Samples as small pictures, for pages that show them."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from flambeau.stages.material import Material

THUMBNAIL_SIDE = 96


def shown_pictures(material: Material, row: int) -> str | None:
    """The sample's picture, or those of its columns side by side, as a small PNG; None where there is none."""
    if material.pixels is not None:
        return thumbnail(material.pixels[row])
    there = [one.pixels[one.places[row]] for one in material.column_pixels.values() if one.places[row] >= 0]
    return thumbnail(np.concatenate(there, axis=1), len(there)) if there else None


def thumbnail(pixels: np.ndarray, pictures: int = 1) -> str:
    """A small PNG of (height, width, channels), as base64; wider where it shows several pictures."""
    values = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else np.asarray(pixels)
    # of many channels, such as slices of a volume, the middle one
    image = Image.fromarray(values[..., values.shape[2] // 2] if values.shape[2] != 3 else values)
    factor = THUMBNAIL_SIDE / max(image.height, image.width / pictures)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    image = image.resize(size, Image.Resampling.NEAREST if factor > 2 else Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
