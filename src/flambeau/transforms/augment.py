"""Random changes of training pictures: whole batches, an explicit generator, one resampling at most."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from flambeau.transforms.image import check_pictures

# Zhong et al. 2017, "Random Erasing Data Augmentation": area and aspect ratio of the rectangle.
ERASED_AREA = (0.02, 0.25)
ERASED_ASPECT = (0.3, 1 / 0.3)


def change_pictures(
    inputs: tuple[Tensor, ...],
    targets: Tensor,
    generator: torch.Generator,
    *,
    augment: Callable[[Tensor, torch.Generator], Tensor],
    normalise: Callable[[Tensor], Tensor],
    mixup: float = 0.0,
    classes: int = 0,
    layout: torch.memory_format = torch.contiguous_format,
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Augment, blend and normalise a training batch.

    Args:
        inputs: one tensor (batch, channels, height, width) of numbers from 0 to 1.
        targets: class indices (batch,), 0 and 1 (batch, labels), or numbers (batch,).
        generator: of all randomness.
        augment: as `augment_pictures`.
        normalise: what the model's inputs are made by in the end.
        mixup: alpha of `mixup_pictures`; 0 for none.
        classes: how many class indices there are; 0 where targets are something else.
        layout: of the result in memory.
    """
    pictures = augment(inputs[0], generator)
    if mixup and len(pictures) > 1:
        pictures, partner, weight = mixup_pictures(pictures, generator, mixup)
        targets = blend_targets(targets, partner, weight, classes)
    return (normalise(pictures).contiguous(memory_format=layout),), targets


def blend_targets(targets: Tensor, partner: Tensor, weight: Tensor, classes: int) -> Tensor:
    """The targets of blended samples: probabilities (batch, classes), or blended numbers where `classes` is 0."""
    plain = F.one_hot(targets, classes).float() if classes else targets
    shaped = weight.view(-1, *[1] * (plain.ndim - 1))
    return shaped * plain + (1 - shaped) * plain[partner]


def augment_pictures(
    pictures: Tensor,
    generator: torch.Generator,
    *,
    flip_horizontal: bool = False,
    flip_vertical: bool = False,
    shift: float = 0.0,
    scale: float = 0.0,
    rotate: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
    erase: float = 0.0,
) -> Tensor:
    """Each picture changed in its own way; the result depends on the state of the generator alone.

    Args:
        pictures: (batch, channels, height, width) float on the scale 0 to 1, before normalising.
        generator: on the CPU or on the pictures' device.
        flip_horizontal, flip_vertical: mirror half of the pictures.
        shift: largest shift as a share of the side, each way.
        scale: largest change of size as a share; 0.1 is 1 / 1.1 to 1.1.
        rotate: largest rotation in degrees, each way.
        brightness: largest number added, each way.
        contrast: largest change of the distance from the picture's mean, as a share.
        erase: probability that a rectangle is erased.

    Returns:
        A tensor of the same shape; what moves in from outside repeats the border.
    """
    check_pictures(pictures)
    if flip_horizontal:
        pictures = flip_pictures(pictures, generator, axis=-1)
    if flip_vertical:
        pictures = flip_pictures(pictures, generator, axis=-2)
    if shift or scale or rotate:
        pictures = random_affine(pictures, generator, shift=shift, scale=scale, rotate=rotate)
    if contrast:
        pictures = change_contrast(pictures, generator, contrast)
    if brightness:
        pictures = change_brightness(pictures, generator, brightness)
    if erase:
        pictures = erase_rectangles(pictures, generator, erase)
    return pictures


def flip_pictures(pictures: Tensor, generator: torch.Generator, *, axis: int) -> Tensor:
    """Mirror a random half of (batch, channels, height, width) along an axis."""
    flipped = _uniform_numbers(pictures, generator) < 0.5
    return torch.where(flipped.view(-1, 1, 1, 1), pictures.flip(axis), pictures)


def random_affine(
    pictures: Tensor,
    generator: torch.Generator,
    *,
    shift: float,
    scale: float,
    rotate: float,
) -> Tensor:
    """Shift, change of size and rotation about the centre in one bilinear resampling of the whole batch.

    Args:
        pictures: (batch, channels, height, width) float.
        generator: where the four numbers a picture come from.
        shift, scale, rotate: see `augment_pictures`.
    """
    height, width = pictures.shape[-2:]
    angle = _numbers_between(pictures, generator, -1.0, 1.0) * math.radians(rotate)
    # Zooming in and out by the same factor are equally likely: uniform in the logarithm.
    zoom = torch.exp(_numbers_between(pictures, generator, -1.0, 1.0) * math.log1p(scale))
    # grid_sample counts -1 to 1 across the picture, so a share of the side is twice as much there.
    right = _numbers_between(pictures, generator, -2.0, 2.0) * shift
    down = _numbers_between(pictures, generator, -2.0, 2.0) * shift
    cosine, sine = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    # The sides' ratio keeps a rotation a rotation where the picture is not square.
    matrix = torch.stack(
        [
            torch.stack([cosine, -sine * (height / width), right], dim=1),
            torch.stack([sine * (width / height), cosine, down], dim=1),
        ],
        dim=1,
    )
    return sample_affine(pictures, matrix)


def sample_affine(pictures: Tensor, matrix: Tensor) -> Tensor:
    """Resample (batch, channels, height, width) by (batch, 2, 3) matrices from output to input places."""
    grid = F.affine_grid(matrix.to(pictures.dtype), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def change_brightness(pictures: Tensor, generator: torch.Generator, largest: float) -> Tensor:
    """Add one number to each picture of (batch, channels, height, width)."""
    return pictures + _numbers_between(pictures, generator, -largest, largest).view(-1, 1, 1, 1)


def change_contrast(pictures: Tensor, generator: torch.Generator, largest: float) -> Tensor:
    """Stretch each picture of (batch, channels, height, width) about its own mean."""
    factor = 1.0 + _numbers_between(pictures, generator, -largest, largest).view(-1, 1, 1, 1)
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return mean + (pictures - mean) * factor


def erase_rectangles(pictures: Tensor, generator: torch.Generator, probability: float) -> Tensor:
    """Random erasing (Zhong et al. 2017): with this probability a rectangle takes the picture's mean colour.

    Args:
        pictures: (batch, channels, height, width) float.
        generator: where chance, area, aspect and place come from.
        probability: of a rectangle in a picture.
    """
    height, width = pictures.shape[-2:]
    chosen = _uniform_numbers(pictures, generator) < probability
    area = _numbers_between(pictures, generator, *ERASED_AREA) * (height * width)
    low, high = (math.log(aspect) for aspect in ERASED_ASPECT)
    aspect = torch.exp(_numbers_between(pictures, generator, low, high))
    tall = torch.sqrt(area * aspect).round().clamp(1, height)
    wide = torch.sqrt(area / aspect).round().clamp(1, width)
    top = torch.floor(_uniform_numbers(pictures, generator) * (height - tall + 1))
    left = torch.floor(_uniform_numbers(pictures, generator) * (width - wide + 1))
    rows = torch.arange(height, device=pictures.device)
    columns = torch.arange(width, device=pictures.device)
    in_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])  # (batch, height)
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])  # (batch, width)
    inside = chosen[:, None, None] & in_rows[:, :, None] & in_columns[:, None, :]
    return torch.where(inside[:, None], pictures.mean((2, 3), keepdim=True), pictures)


def mixup_pictures(
    pictures: Tensor, generator: torch.Generator, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Mixup (Zhang et al. 2018): x = w · x_i + (1 - w) · x_j with w from Beta(alpha, alpha).

    Args:
        pictures: (batch, ...) float.
        generator: where partners and weights come from.
        alpha: parameter of the Beta distribution, above 0.

    Returns:
        The blended pictures, the index of each one's partner (batch,), and the weight of the picture itself
        (batch,); the loss is w · loss(target) + (1 - w) · loss(target of the partner).

    Raises:
        ValueError: for an alpha that is not above 0.
    """
    if alpha <= 0:
        raise ValueError(f"alpha of mixup must be above 0, got {alpha}")
    count = len(pictures)
    partner = torch.randperm(count, generator=generator, device=generator.device).to(pictures.device)
    # torch draws Beta only from its global generator; numpy from one of its own, seeded here.
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    drawn = np.random.default_rng(seed).beta(alpha, alpha, count)
    weight = torch.from_numpy(drawn).to(device=pictures.device, dtype=pictures.dtype)
    shaped = weight.view(-1, *[1] * (pictures.ndim - 1))
    return shaped * pictures + (1 - shaped) * pictures[partner], partner, weight


def _uniform_numbers(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """(batch,) numbers from 0 to 1, drawn where the generator lives so that its seed alone decides."""
    return torch.rand(len(pictures), generator=generator, device=generator.device).to(pictures.device)


def _numbers_between(pictures: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    return low + (high - low) * _uniform_numbers(pictures, generator)
