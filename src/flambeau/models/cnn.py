"""Small fast nets for small pictures: any number of channels and any size from one pixel up."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# A side is halved only while at least this much is left of it, so that filters still see a neighbourhood.
SMALLEST_HALVED_SIDE = 4

# Pictures with a longer side are halved by the very first filters: detail is plenty there, and time is not.
LARGEST_FULL_SIDE = 40


def halving(size: tuple[int, int]) -> tuple[int, int]:
    """The steps (down, across) of one pooling for pictures of this height and width; 1 keeps a side."""
    return (
        2 if size[0] >= SMALLEST_HALVED_SIDE else 1,
        2 if size[1] >= SMALLEST_HALVED_SIDE else 1,
    )


def _pooled_size(size: tuple[int, int]) -> tuple[int, int]:
    steps = halving(size)
    return size[0] // steps[0], size[1] // steps[1]


class ConvNorm(nn.Module):
    """3x3 convolution, pooling where asked, batch normalisation, SiLU."""

    def __init__(self, channels_in: int, channels_out: int, pool: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.pool = pool

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels_in, height, width) → (batch, channels_out, height / pool, width / pool)."""
        features = self.conv(features)
        if self.pool != (1, 1):
            features = F.max_pool2d(features, self.pool)
        return F.silu(self.norm(features))


class SmallCNN(nn.Module):
    """A plain convolutional net: three stages, each a pooled and an unpooled convolution.

    Args:
        channels: of the pictures.
        outputs: logits or numbers a picture.
        size: height and width of the pictures, which decides how often they are halved.
        width: filters of the first stage; each stage doubles them.
        dropout: share of the last features dropped in training.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        size: tuple[int, int],
        width: int = 32,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNorm(channels, width)]
        filters = width
        for _ in range(3):
            layers += [ConvNorm(filters, filters * 2, halving(size)), ConvNorm(filters * 2, filters * 2)]
            size = _pooled_size(size)
            filters *= 2
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters, outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, channels, height, width) → (batch, outputs)."""
        return self.head(self.dropout(pool_features(self.body(pictures))))


class SmallResidual(nn.Module):
    """Two 3x3 convolutions around which the input is added: x + f(x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) → the same shape."""
        return features + self.second(self.first(features))


class SmallResNet(nn.Module):
    """A short residual net for pictures up to about 64 pixels, after ResNet-9 of the DAWNBench entries.

    Convolution, then three stages of a pooled convolution and a residual block (Page 2018, "How to train your
    ResNet"; pooling before the normalisation and SiLU in place of ReLU as in Jordan 2024, "94% on CIFAR-10 in
    3.29 seconds"). The last features are pooled by mean and by maximum, and both are summed.

    Args:
        channels: of the pictures.
        outputs: logits or numbers a picture.
        size: height and width of the pictures, which decides how often they are halved.
        width: filters of the first convolution; each stage doubles them.
        blocks: residual blocks a stage.
        dropout: share of the last features dropped in training.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        size: tuple[int, int],
        width: int = 32,
        blocks: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        early = halving(size) if max(size) > LARGEST_FULL_SIDE else (1, 1)
        self.stem = ConvNorm(channels, width, early)
        if early != (1, 1):
            size = _pooled_size(size)
        stages: list[nn.Module] = []
        filters = width
        for _ in range(3):
            stages.append(ConvNorm(filters, filters * 2, halving(size)))
            stages += [SmallResidual(filters * 2) for _ in range(blocks)]
            size = _pooled_size(size)
            filters *= 2
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters, outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, channels, height, width) → (batch, outputs)."""
        return self.head(self.dropout(pool_features(self.stages(self.stem(pictures)))))


def pool_features(features: Tensor) -> Tensor:
    """(batch, channels, height, width) → (batch, channels): the mean plus the maximum over all places."""
    return features.mean((2, 3)) + torch.amax(features, (2, 3))
