"""One picture, decoded and resized: one function for the cache, for prediction and for an ejected script."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from flambeau.data.pictures.image import decode_picture
from flambeau.transforms.channels import match_channels
from flambeau.transforms.image import Interpolation, PictureFit, resize_pictures


def load_picture(
    source: str | Path | BinaryIO,
    *,
    size: tuple[int, int],
    channels: int,
    bits: int,
    fit: PictureFit = "stretch",
    interpolation: Interpolation = "bilinear",
    max_pixels: int = 100_000_000,
) -> np.ndarray:
    """A picture as the model's preparation takes it: (height, width, channels), uint8 or uint16.

    Args:
        source: a file, or an open binary stream at the start of a picture.
        size: height and width in pixels.
        channels: 1 for grey, 3 for colour.
        bits: 8 or 16 bits a channel.
        fit, interpolation: see `resize_pictures`.
        max_pixels: pictures with more are refused before they are unpacked.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read as a picture, or is too large.
    """
    pixels = decode_picture(source, channels=channels, bits=bits, size=size, max_pixels=max_pixels)
    return fit_pixels(pixels, size=size, channels=channels, bits=bits, fit=fit, interpolation=interpolation)


def fit_pixels(
    pixels: np.ndarray,
    *,
    size: tuple[int, int],
    channels: int,
    bits: int,
    fit: PictureFit = "stretch",
    interpolation: Interpolation = "bilinear",
) -> np.ndarray:
    """Decoded pixels with another size, number of channels or depth.

    Args:
        pixels: (height, width, channels) uint8 or uint16.
        size, channels, bits, fit, interpolation: see `load_picture`.

    Returns:
        (*size, channels) uint8 or uint16. 8 bits become 16 by the factor 257, 16 become 8 by the upper byte.

    Raises:
        ValueError: for another layout or dtype, or a change of channels that has no usual meaning.
    """
    if pixels.ndim != 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"pixels: expected (height, width, channels) uint8 or uint16, got {pixels.shape} {pixels.dtype}"
        )
    if bits == 8 and pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif bits == 16 and pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * 257
    # torch computes with int32 where numpy has uint16.
    numbers = pixels if bits == 8 else pixels.astype(np.int32)
    picture = torch.from_numpy(np.ascontiguousarray(numbers)).permute(2, 0, 1)[None]
    picture = resize_pictures(match_channels(picture, channels), size, fit=fit, interpolation=interpolation)
    return np.ascontiguousarray(picture[0].permute(1, 2, 0).numpy(), dtype=pixels.dtype)
