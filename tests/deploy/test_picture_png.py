"""Made pictures as PNG keep their bits and channels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from flambeau.deploy.making.making import picture_png


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_bits_and_channels_are_kept(kind: type, channels: int) -> None:
    generator = np.random.default_rng(channels)
    pixels = generator.integers(0, np.iinfo(kind).max, (5, 7, channels), endpoint=True).astype(kind)
    png = picture_png(pixels)
    assert png[16:24] == (7).to_bytes(4, "big") + (5).to_bytes(4, "big")
    assert (png[24], png[25]) == (8 * pixels.itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[channels])
    with Image.open(io.BytesIO(png)) as read:
        shown = np.asarray(read)
    # of 16 bits, Pillow reads grey alone as they are
    expected = pixels if kind is np.uint8 or channels == 1 else pixels >> 8
    if channels == 2 and kind is np.uint16:
        shown = shown[..., [0, -1]]
    assert np.array_equal(shown.reshape(5, 7, -1), expected)


def test_of_many_channels_the_first_three_are_shown() -> None:
    pixels = np.zeros((4, 4, 6), dtype=np.uint8)
    assert picture_png(pixels)[25] == 2
