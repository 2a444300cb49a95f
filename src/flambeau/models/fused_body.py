"""A fused model with a frozen body for pictures: what that says is computed once, and all else learns on it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from flambeau.models.backbone import copy_head, find_head
from flambeau.models.fusion import Fusion


def body_features(
    body: nn.Module, prepare: Callable[[Tensor], Tensor], pixels: np.ndarray, size: int, device: torch.device
) -> np.ndarray:
    """(pictures, features) float32: what a body says of each picture, in fp32.

    Args:
        body: pictures (batch, channels, height, width) → (batch, features, …), in evaluation mode.
        prepare: (batch, height, width, channels) integers on the device → pictures.
        pixels: (pictures, height, width, channels), in memory or in a memory map.
        size: pictures at once.
        device: of the body.
    """
    with torch.inference_mode():
        blocks = [
            body(prepare(torch.from_numpy(pixels[start : start + size].copy()).to(device)))
            for start in range(0, len(pixels), size)
        ]
    return torch.cat(blocks).flatten(1).cpu().numpy()


def as_it_is(block: Tensor) -> Tensor:
    """Features need no preparation."""
    return block


def without_picture_body(model: Fusion, channels: int, size: tuple[int, int]) -> Fusion:
    """A copy of a fused model that takes features in the place of pictures: of its encoder it has the head.

    Args:
        model: with pictures; in evaluation mode, as its encoder is tried on two pictures of zeros.
        channels, size: of these, as the model sees pictures: some encoders know only one height and width.

    Raises:
        ValueError: it has no pictures.
    """
    if model.pictures is None:
        raise ValueError("a model without pictures has no body that sees them, expected one with pictures")
    encoder = model.pictures.encoder
    device = next(encoder.parameters()).device
    alone = copy_head(encoder, torch.zeros(2, channels, *size, device=device))
    model.pictures.encoder = nn.Identity()
    small = copy.deepcopy(model)
    model.pictures.encoder = encoder
    small.pictures.encoder = alone  # type: ignore[union-attr]
    return small


def join_picture_body(small: Fusion, whole: Fusion) -> Fusion:
    """The whole model with what was learnt on features, in evaluation mode.

    Args:
        small: from `without_picture_body`, trained.
        whole: that it was made of; changed in place.
    """
    own, target = small.pictures.encoder, whole.pictures.encoder  # type: ignore[union-attr]
    head = target.get_submodule(find_head(target))
    head.load_state_dict(own.get_submodule(find_head(own)).state_dict())
    tensors = small.state_dict()
    rest = {name: one for name, one in tensors.items() if not name.startswith("pictures.encoder.")}
    whole.load_state_dict(rest, strict=False)
    return whole.eval()
