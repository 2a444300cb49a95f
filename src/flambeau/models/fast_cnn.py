"""The net of the CIFAR-10 speed records: few wide layers, no shortcuts, quick to learn small pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flambeau.models.cnn import halving
from flambeau.models.init import hand_channels_on

# Filters of the three blocks, as multiples of the first one's.
FAST_BLOCK_WIDTHS = (1, 4, 4)


class FastBlock(nn.Module):
    """Two 3x3 convolutions, the first one pooled, each with batch normalisation and GELU.

    Each convolution begins as a copy of its input beside a few random filters (Jordan 2024, section 3.2), so that
    a fresh net lets pictures through instead of mixing them up.
    """

    def __init__(self, channels_in: int, channels_out: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels_out)
        self.pool = pool
        hand_channels_on(self.first)
        hand_channels_on(self.second)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels_in, height, width) → (batch, channels_out, height / pool, width / pool)."""
        # Pooling before the normalisation leaves it and the GELU a quarter of the work.
        features = F.max_pool2d(self.first(features), self.pool)
        features = F.gelu(self.first_norm(features))
        return F.gelu(self.second_norm(self.second(features)))


class FastCNN(nn.Module):
    """Three blocks of two convolutions, the largest answer of each filter, and a small linear head.

    The net of Jordan 2024 ("94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498) without its first
    layer, which is `WhitenFirst` and can stand in front of any net.

    Args:
        channels: of the pictures, or of the whitened maps.
        outputs: logits or numbers a picture.
        size: height and width of the pictures, which decides how often they are halved.
        width: filters of the first block; the others have four times as many.
        dropout: share of the last features dropped in training.

    Raises:
        ValueError: no channels, no outputs, or a side below one pixel.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        size: tuple[int, int],
        width: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(channels, outputs, width, *size) < 1:
            raise ValueError(
                f"FastCNN needs at least one channel, output, filter and pixel; got {channels} channels, "
                f"{outputs} outputs, width {width}, pictures of {size[0]}x{size[1]}"
            )
        blocks: list[nn.Module] = []
        filters = channels
        for factor in FAST_BLOCK_WIDTHS:
            steps = halving(size)
            blocks.append(FastBlock(filters, width * factor, steps))
            size = size[0] // steps[0], size[1] // steps[1]
            filters = width * factor
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters, outputs)
        # The largest of many answers is large; a small head lets the first outputs be nearly equal all the same.
        nn.init.normal_(self.head.weight, std=1 / filters)
        nn.init.zeros_(self.head.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, channels, height, width) → (batch, outputs)."""
        return self.head(self.dropout(torch.amax(self.blocks(pictures), (2, 3))))
