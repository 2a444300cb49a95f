"""Decoded pixels of any size to what a picture model takes, inside an exported graph.

`flambeau.transforms.image` resamples with torch's own operators, which ONNX does not have in the same arithmetic. Here
the same resampling is written as two matrix products, whose weights are computed from the size that comes in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flambeau.transforms.image import TIE, PicturePreparation


def filter_weights(distances: Tensor, interpolation: str) -> Tensor:
    """The triangle filter, or Keys' cubic filter with a = -0.5 (Keys 1981), at these distances of any shape."""
    if interpolation == "bilinear":
        return (1.0 - distances).clamp(min=0.0)
    near = (1.5 * distances - 2.5) * distances * distances + 1.0
    far = ((-0.5 * distances + 2.5) * distances - 4.0) * distances + 2.0
    outside = torch.zeros_like(distances)
    return torch.where(distances < 1.0, near, torch.where(distances < 2.0, far, outside))


def resampling_weights(
    positions: Tensor, length: Tensor, inner: Tensor, size: int, interpolation: str
) -> Tensor:
    """The matrix that resamples one axis, cut or padded evenly to a fixed size.

    Row i holds what each input pixel counts in output pixel i; the rows of a padded border are zero. As torch's
    antialiased `interpolate`: the filter is as wide as a pixel of the coarser side, and cut at the border.

    Args:
        positions: (length,) float64: 0, 1, 2 and so on.
        length: (1,) float64, pixels that come in.
        inner: (1,) float64, pixels that they are resampled to, of which the centre is taken.
        size: pixels that go out.
        interpolation: bilinear, bicubic or nearest.

    Returns:
        (size, length) float64.
    """
    cut = torch.floor((inner - size).clamp(min=0.0) / 2.0)
    padded = torch.floor((size - inner).clamp(min=0.0) / 2.0)
    places = torch.arange(size, dtype=torch.float64, device=positions.device) + cut - padded
    inside = ((places >= 0.0) & (places < inner)).unsqueeze(1)  # (size, 1)
    if interpolation == "nearest":
        # torch finds the nearest pixel in float32
        ratio = length.to(torch.float32) / inner.to(torch.float32)
        nearest = torch.floor((places.to(torch.float32) + 0.5) * ratio).to(torch.float64)
        chosen = torch.minimum(nearest, length - 1.0).unsqueeze(1) == positions.unsqueeze(0)
        return (chosen & inside).to(torch.float64)
    scale = length / inner
    centres = (places + 0.5) * scale
    distances = (positions.unsqueeze(0) + 0.5 - centres.unsqueeze(1)).abs() / scale.clamp(min=1.0)
    weights = filter_weights(distances, interpolation)
    total = torch.where(inside, weights.sum(dim=1, keepdim=True), torch.ones_like(centres).unsqueeze(1))
    return torch.where(inside, weights / total, torch.zeros_like(weights))


class PicturePixels(nn.Module):
    """Pixels as they are decoded to pictures as the model takes them; equal to `PicturePreparation.prepare`.

    Args:
        preparation: of the bundle.

    Shapes: (batch, height, width, channels) uint8, or int32 for 16 bits → (batch, channels, *size) float32.
    """

    def __init__(self, preparation: PicturePreparation) -> None:
        super().__init__()
        self.size: tuple[int, int] = (preparation.size[0], preparation.size[1])
        self.fit: str = preparation.fit
        self.interpolation: str = preparation.interpolation
        self.largest: float = float(2**preparation.bits - 1)
        self.tie: float = TIE
        channels = preparation.channels
        mean, std = preparation.mean or (0.0,) * channels, preparation.std or (1.0,) * channels
        # declared here because TorchScript reads the annotations of a class, and not as strings
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        rows = torch.arange(pixels.shape[1], dtype=torch.float64, device=pixels.device)
        columns = torch.arange(pixels.shape[2], dtype=torch.float64, device=pixels.device)
        height, width = rows[-1:] + 1.0, columns[-1:] + 1.0
        inner_height, inner_width = self.inner_size(height, width)
        down = resampling_weights(rows, height, inner_height, self.size[0], self.interpolation)
        across = resampling_weights(columns, width, inner_width, self.size[1], self.interpolation)
        # rows first, where the channels may stay innermost; moving them is cheap in what is left
        batch, _, wide, channels = pixels.shape
        resampled = torch.matmul(
            down, pixels.to(torch.float64).flatten(2)
        )  # (batch, size[0], width * channels)
        resampled = resampled.reshape(batch, self.size[0], wide, channels).permute(0, 3, 1, 2)
        values = torch.matmul(resampled, across.transpose(0, 1))
        levels = (values + self.tie).round().clamp(0.0, self.largest)
        return (levels.to(torch.float32) / self.largest - self.mean) / self.std

    def inner_size(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """The size that a picture is resampled to before its centre is cut out or its border is padded."""
        tall, wide = torch.full_like(height, self.size[0]), torch.full_like(width, self.size[1])
        if self.fit == "stretch":
            return tall, wide
        ratio = torch.minimum(tall / height, wide / width)
        if self.fit == "crop":
            ratio = torch.maximum(tall / height, wide / width)
        return (height * ratio).round().clamp(min=1.0), (width * ratio).round().clamp(min=1.0)
