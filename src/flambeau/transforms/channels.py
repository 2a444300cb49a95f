"""The layout of pictures as tensors, and how one number of channels becomes another."""

from __future__ import annotations

import torch
from torch import Tensor

# ITU-R BT.601, the weights that Pillow and torchvision use for grey from colour.
LUMA = (0.299, 0.587, 0.114)


def check_pictures(pictures: Tensor) -> None:
    """Raise ValueError unless pictures are (batch, channels, height, width) with at least one pixel."""
    if pictures.ndim != 4 or min(pictures.shape[1:]) < 1:
        got = f"got shape {tuple(pictures.shape)}"
        raise ValueError(f"pictures must be (batch, channels, height, width) with at least one pixel, {got}")


def match_channels(pictures: Tensor, channels: int) -> Tensor:
    """Grey from colour by luma, colour from grey by repeating; alpha is dropped; equal counts stay.

    Args:
        pictures: (batch, channels, height, width), integers or floats.
        channels: how many are wanted.

    Raises:
        ValueError: where there is no usual way from one number of channels to the other.
    """
    check_pictures(pictures)
    got = pictures.shape[1]
    if got == channels:
        return pictures
    if got == 1:
        return pictures.expand(-1, channels, -1, -1)
    if got == 4 and channels in (1, 3):
        return match_channels(pictures[:, :3], channels)
    if got == 3 and channels == 1:
        weights = torch.tensor(LUMA, device=pictures.device).view(1, 3, 1, 1)
        grey = (pictures.to(torch.float32) * weights).sum(1, keepdim=True)
        return (grey if pictures.dtype.is_floating_point else grey.round_()).to(pictures.dtype)
    raise ValueError(f"cannot make pictures of {channels} channels from pictures of {got}")
