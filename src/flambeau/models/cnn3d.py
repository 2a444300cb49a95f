"""A net for volumes: the slices of a scan are the channels of a picture, and convolutions run across them too."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Sides shorter than this are not halved any more.
SHORTEST_HALVED_VOLUME = 4
VOLUME_STAGES = 3


def halve_volume(sides: tuple[int, int, int]) -> tuple[int, int, int]:
    """By how much depth, height and width are pooled: 2 where at least 4 are left, else 1."""
    deep, high, wide = (2 if side >= SHORTEST_HALVED_VOLUME else 1 for side in sides)
    return deep, high, wide


class VolumeBlock(nn.Module):
    """A pooled 3x3x3 convolution and one around which its input is added, each with batch normalisation and SiLU."""

    def __init__(self, filters_in: int, filters_out: int, pool: tuple[int, int, int]) -> None:
        super().__init__()
        self.first = nn.Conv3d(filters_in, filters_out, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm3d(filters_out)
        self.second = nn.Conv3d(filters_out, filters_out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm3d(filters_out)
        self.pool = pool

    def forward(self, features: Tensor) -> Tensor:
        """(batch, filters_in, depth, height, width) → (batch, filters_out, each side / its pool)."""
        features = F.max_pool3d(self.first(features), self.pool)
        features = F.silu(self.first_norm(features))
        return features + F.silu(self.second_norm(self.second(features)))


class CNN3D(nn.Module):
    """A small residual 3-D net for grey volumes (3-D convolutions in residual blocks as in Tran et al. 2018, R3D).

    Args:
        channels: slices of a volume.
        outputs: logits or numbers a volume.
        size: height and width of the slices, which decides with the slices how often they are halved.
        width: filters of the first convolution; each of the three stages doubles them.
        dropout: share of the last features dropped in training.
    """

    def __init__(
        self, channels: int, outputs: int, *, size: tuple[int, int], width: int = 8, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stem = nn.Conv3d(1, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm3d(width)
        sides = (channels, *size)
        stages: list[nn.Module] = []
        for _ in range(VOLUME_STAGES):
            pool = halve_volume(sides)
            stages.append(VolumeBlock(width, 2 * width, pool))
            sides = (sides[0] // pool[0], sides[1] // pool[1], sides[2] // pool[2])
            width *= 2
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs)

    def forward(self, volumes: Tensor) -> Tensor:
        """(batch, slices, height, width) → (batch, outputs)."""
        features = F.silu(self.stem_norm(self.stem(volumes.unsqueeze(1))))
        features = self.stages(features)
        pooled = features.mean((2, 3, 4)) + torch.amax(features, (2, 3, 4))
        return self.head(self.dropout(pooled))
