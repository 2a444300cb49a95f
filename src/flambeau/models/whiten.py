"""A fixed first layer that decorrelates patches of pixels, in front of any model for pictures.

Neighbouring pixels are nearly equal, so a net's first steps go into undoing that. The filters that undo it are known
from the training pictures alone, without a gradient (Page 2019, "How to train your ResNet 8"; Jordan 2024, "94% on
CIFAR-10 in 3.29 seconds", arXiv 2404.00498, section 3.1).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH_SIDE = 2

# The covariance of so few numbers is known well from this many pictures; more would only take memory.
MOST_WHITENED_PICTURES = 1000
PICTURES_AT_ONCE = 100

# Added to the variance of each direction, as a share of their mean: directions of mere noise are not blown up.
WHITENING_FLOOR = 5e-4


def whitened_channels(channels: int) -> int:
    """How many maps the whitening layer makes of pictures with so many channels: each direction and its negative."""
    return 2 * channels * PATCH_SIDE**2


def whitened_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width after the whitening layer. Raises ValueError for pictures smaller than one patch."""
    if min(size) < PATCH_SIDE:
        raise ValueError(
            f"whitening takes patches of {PATCH_SIDE}x{PATCH_SIDE} pixels, and these pictures have "
            f"{size[0]}x{size[1]}"
        )
    return size[0] - PATCH_SIDE + 1, size[1] - PATCH_SIDE + 1


class WhitenFirst(nn.Module):
    """A convolution that is fitted once and never trained, GELU, and then a model.

    Its filters are the principal directions of 2x2 patches, each divided by its deviation, and their negatives, so
    that the GELU loses nothing. They are a buffer: no optimizer, decay or freezing touches them. A bias is learnt.
    Until `fit_filters` is called, each filter picks one pixel of the patch.

    Args:
        channels: of the pictures.
        inner: a model for (batch, whitened_channels(channels), *whitened_size(size)).
    """

    filters: Tensor

    def __init__(self, channels: int, inner: nn.Module) -> None:
        super().__init__()
        pixels = torch.eye(channels * PATCH_SIDE**2).view(-1, channels, PATCH_SIDE, PATCH_SIDE)
        self.register_buffer("filters", torch.cat([pixels, -pixels]))
        self.bias = nn.Parameter(torch.zeros(whitened_channels(channels)))
        self.inner = inner

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, channels, height, width) → whatever the inner model answers."""
        return self.inner(F.gelu(F.conv2d(pictures, self.filters, self.bias)))

    def fit_filters(self, pictures: Tensor) -> None:
        """Set the filters from (count, channels, height, width) normalised training pictures."""
        self.filters.copy_(whitening_filters(pictures))


def whitening_filters(pictures: Tensor) -> Tensor:
    """The filters that turn 2x2 patches into uncorrelated numbers of equal size, and their negatives.

    Everything is done on the CPU in float64, so that equal pictures give equal filters on any device.

    Args:
        pictures: (count, channels, height, width), normalised as the model sees them.

    Returns:
        (2 x channels x 4, channels, 2, 2) float32, from the direction that varies least to the one that varies most.
    """
    channels = pictures.shape[1]
    covariance = patch_covariance(pictures)  # (channels x 4, channels x 4)
    variances, directions = torch.linalg.eigh(covariance)
    directions = directions.T  # (direction, channels x 4)
    # A direction is as good as its negative; which one a library returns is its own affair, so it is settled here.
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = torch.where(largest < 0, -directions, directions)
    floor = max(WHITENING_FLOOR * float(variances.mean()), torch.finfo(torch.float32).tiny)
    filters = directions / (variances.clamp(min=0) + floor).sqrt()[:, None]
    filters = filters.view(-1, channels, PATCH_SIDE, PATCH_SIDE).float()
    return torch.cat([filters, -filters])


def patch_covariance(pictures: Tensor) -> Tensor:
    """(channels x 4, channels x 4) float64 mean products of the numbers in all 2x2 patches of the pictures."""
    width = pictures.shape[1] * PATCH_SIDE**2
    total, patches = torch.zeros(width, width, dtype=torch.float64), 0
    for block in pictures.split(PICTURES_AT_ONCE):
        columns = F.unfold(block.cpu().double(), PATCH_SIDE)  # (count, channels x 4, patches)
        flat = columns.transpose(1, 2).reshape(-1, width)
        total += flat.T @ flat
        patches += len(flat)
    return total / patches


def rows_to_whiten(rows: np.ndarray) -> np.ndarray:
    """Some of the training rows, evenly spread, whose pictures the filters are fitted on."""
    return rows[:: -(-len(rows) // MOST_WHITENED_PICTURES)]
