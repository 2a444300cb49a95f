"""The standard residual net, for larger pictures; depth and width are plain numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Wider late stages cost more than they give on data that a person brings.
STAGES = 4

# Below this side a picture is too small to be divided by four before the first block.
SMALLEST_STRIDED_SIDE = 64


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: relu(x + f(x)) (He et al. 2015, figure 2).

    Where the shape changes, the shortcut is a pooled 1x1 convolution (ResNet-D of He et al. 2018).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.last_norm = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            # ceil_mode keeps the sizes of both branches equal for odd sides, down to one pixel.
            pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
            project = nn.Conv2d(channels_in, channels_out, 1, bias=False)
            self.shortcut = nn.Sequential(pool, project, nn.BatchNorm2d(channels_out))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels_in, height, width) → (batch, channels_out, height / stride, width / stride)."""
        inside = F.relu(self.first_norm(self.first(features)))
        return F.relu(self.shortcut(features) + self.last_norm(self.second(inside)))


class ResNet(nn.Module):
    """Residual net with four stages of basic blocks (He et al. 2015; width 64 and depth 2 make ResNet-18).

    Args:
        channels: of the pictures.
        outputs: logits or numbers a picture.
        size: height and width of the pictures; small ones are not divided by four before the first block.
        width: filters of the first stage; each stage doubles them.
        depth: blocks a stage.
        dropout: share of the last features dropped in training.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        size: tuple[int, int] = (224, 224),
        width: int = 64,
        depth: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        large = min(size) >= SMALLEST_STRIDED_SIDE
        kernel, stride = (7, 2) if large else (3, 1)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity(),
        )
        blocks: list[nn.Module] = []
        filters = width
        for stage in range(STAGES):
            wider = width * 2**stage
            blocks.append(BasicBlock(filters, wider, stride=1 if stage == 0 else 2))
            blocks += [BasicBlock(wider, wider) for _ in range(depth - 1)]
            filters = wider
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters, outputs)
        start_as_identity(self)

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, channels, height, width) → (batch, outputs)."""
        features = self.blocks(self.stem(pictures))
        return self.head(self.dropout(features.mean((2, 3))))


@torch.no_grad()
def start_as_identity(model: nn.Module) -> None:
    """Filters by He et al. 2015; a zero scale of each block's last normalisation (Goyal et al. 2017)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, BasicBlock):
            nn.init.zeros_(module.last_norm.weight)
