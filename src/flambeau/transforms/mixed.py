"""Columns of pictures beside other columns: pixels of one size, and whether there is a picture at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flambeau.transforms.draws import Draws
from flambeau.transforms.image import PicturePreparation


@dataclass(frozen=True)
class PictureColumn:
    """How the pictures of one column reach the model.

    Args:
        column: its name.
        pictures: size, channels and statistics, fitted on training pictures; 8 bits a channel.
    """

    column: str
    pictures: PicturePreparation

    @property
    def pixels_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of each picture's pixels."""
        return (*self.pictures.size, self.pictures.channels)

    def encode(self, values: Sequence[np.ndarray | None] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decoded pictures of some rows as two arrays.

        Args:
            values: (rows,) each (height, width, channels) uint8 of the preparation's size, or None where there is
                no picture.

        Returns:
            pixels (rows, height, width, channels) uint8, zeros where there is no picture, and present (rows,)
            float32, 1 or 0.

        Raises:
            ValueError: a picture of another shape or dtype.
        """
        pixels = np.zeros((len(values), *self.pixels_shape), dtype=np.uint8)
        present = np.zeros(len(values), dtype=np.float32)
        for row, value in enumerate(values):
            if value is None:
                continue
            if (
                not isinstance(value, np.ndarray)
                or value.shape != self.pixels_shape
                or value.dtype != np.uint8
            ):
                got = (
                    f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
                )
                raise ValueError(
                    f"pictures of '{self.column}' must be {self.pixels_shape} uint8, got {got} in row {row}"
                )
            pixels[row], present[row] = value, 1.0
        return pixels, present


def prepare_mixed(inputs: Sequence[Tensor], columns: Sequence[PictureColumn]) -> tuple[Tensor, ...]:
    """What the model takes, from the arrays of a table with columns of pictures.

    Args:
        inputs: the table's own tensors, then for each column pixels (batch, height, width, channels) uint8 and
            present (batch,).
        columns: in the order of the pixels.

    Returns:
        The same, with pixels as normalised pictures (batch, channels, height, width) float32; a picture that is not
        there is all zeros.
    """
    first = len(inputs) - 2 * len(columns)
    prepared = list(inputs[:first])
    for place, column in enumerate(columns):
        pixels, present = inputs[first + 2 * place : first + 2 * place + 2]
        pictures = column.pictures.prepare(pixels)
        prepared += [pictures * present.view(-1, 1, 1, 1), present]
    return tuple(prepared)


def change_mixed(
    inputs: tuple[Tensor, ...],
    targets: Tensor,
    draws: Draws,
    *,
    columns: Sequence[PictureColumn],
    augment: Callable[[Tensor, Draws], Tensor],
    layout: torch.memory_format = torch.contiguous_format,
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Augment and normalise the pictures of a training batch, each in its own way; all else stays.

    Args:
        inputs: the table's own tensors, then for each column pictures (batch, channels, height, width) uint8 and
            present (batch,).
        targets: of any kind; they stay.
        draws: of all randomness.
        columns: in the order of the pictures.
        augment: as `augment_pictures`; gives numbers from 0 to 1.
        layout: of the pictures in memory.
    """
    first = len(inputs) - 2 * len(columns)
    changed = list(inputs[:first])
    for place, column in enumerate(columns):
        pixels, present = inputs[first + 2 * place : first + 2 * place + 2]
        pictures = augment(pixels.contiguous(memory_format=layout), draws)
        pictures = column.pictures.normalise(pictures, overwrite=True) * present.view(-1, 1, 1, 1)
        changed += [pictures.contiguous(memory_format=layout), present]
    return tuple(changed), targets
