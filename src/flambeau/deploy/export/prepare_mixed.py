"""Columns of pictures in an exported file: raw pixels of any size, and whether there is a picture at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from flambeau.data.pictures.image import decode_picture
from flambeau.data.pictures.paths import PictureFile
from flambeau.deploy.export.prepare_pictures import PicturePixels
from flambeau.transforms.mixed import PictureColumn

BLANK_SIDE = 2


class TableAndPictures(nn.Module):
    """What a table with columns of pictures takes; equal to `flambeau.deploy.mixed.row_inputs`.

    Args:
        values: raw numbers, categories and texts to what the model takes of them; None without such columns.
        count: raw inputs of `values`.
        columns: of pictures.

    Shapes: the raw values, then for each column pixels (batch, height, width, channels) uint8 and present (batch,)
    float64 → what the model takes, in its order.
    """

    def __init__(self, values: nn.Module | None, count: int, columns: Sequence[PictureColumn]) -> None:
        super().__init__()
        self.values, self.count = values, count
        self.pictures = nn.ModuleList(PicturePixels(column.pictures) for column in columns)

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        prepared = [] if self.values is None else list(self.values(*raw[: self.count]))
        for place, pictures in enumerate(self.pictures):
            pixels, present = raw[self.count + 2 * place], raw[self.count + 2 * place + 1].to(torch.float32)
            prepared += [pictures(pixels) * present.reshape(-1, 1, 1, 1), present]
        return tuple(prepared)


def raw_pictures(
    columns: Sequence[PictureColumn], values: Mapping[str, np.ndarray], row: int, max_pixels: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each column of one row pixels (1, height, width, channels) uint8 and present (1,) float64.

    A picture that is not there, or cannot be read, is blank.
    """
    for column in columns:
        pixels = _pixels(column, values[column.column][row], max_pixels)
        present = np.array([float(pixels is not None)])
        if pixels is None:
            pixels = np.zeros((BLANK_SIDE, BLANK_SIDE, column.pictures.channels), dtype=np.uint8)
        yield pixels[None], present


def _pixels(column: PictureColumn, value: object, max_pixels: int) -> np.ndarray | None:
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, PictureFile):
        return None
    preparation = column.pictures
    try:
        return decode_picture(
            value.path,
            channels=preparation.channels,
            bits=preparation.bits,
            size=preparation.size,
            max_pixels=max_pixels,
        )
    except (ValueError, OSError):
        return None


def made_up_pictures(column: PictureColumn, count: int, generator: np.random.Generator) -> np.ndarray:
    """(count,) objects: pictures of several sizes, and None now and then."""
    found = np.empty(count, dtype=object)
    for row in range(count):
        height, width = generator.integers(1, 60, 2)
        if generator.random() > 0.2:
            shape = (int(height), int(width), column.pictures.channels)
            found[row] = generator.integers(0, 256, shape, dtype=np.uint8)
    return found
