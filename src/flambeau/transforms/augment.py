"""Random changes of training pictures: whole batches, numbers drawn for each sample, one resampling at most."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from flambeau.transforms.channels import check_pictures
from flambeau.transforms.draws import Draws
from flambeau.transforms.moves import crop_pictures, flip_pictures

# Zhong et al. 2017, "Random Erasing Data Augmentation": area and aspect ratio of the rectangle.
ERASED_AREA = (0.02, 0.25)
ERASED_ASPECT = (0.3, 1 / 0.3)


def change_pictures(
    inputs: tuple[Tensor, ...],
    targets: Tensor,
    draws: Draws,
    *,
    augment: Callable[[Tensor, Draws], Tensor],
    normalise: Callable[[Tensor], Tensor],
    mixup: float = 0.0,
    classes: int = 0,
    layout: torch.memory_format = torch.contiguous_format,
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Augment, blend and normalise a training batch.

    Args:
        inputs: one tensor (batch, channels, height, width) that `augment` takes.
        targets: class indices (batch,), 0 and 1 (batch, labels), or numbers (batch,).
        draws: of all randomness.
        augment: as `augment_pictures`; gives numbers from 0 to 1.
        normalise: what the model's inputs are made by in the end; may overwrite the pictures.
        mixup: alpha of `mixup_pictures`; 0 for none.
        classes: how many class indices there are; 0 where targets are something else.
        layout: of the result in memory.
    """
    # Pixels are laid out before they become floats, which are four times as many bytes to move.
    pictures = augment(inputs[0].contiguous(memory_format=layout), draws)
    if mixup:
        pictures, partner, weight = mixup_pictures(pictures, draws, mixup)
        targets = blend_targets(targets, partner, weight, classes)
    return (normalise(pictures).contiguous(memory_format=layout),), targets


def blend_targets(targets: Tensor, partner: Tensor, weight: Tensor, classes: int) -> Tensor:
    """The targets of blended samples: probabilities (batch, classes), or blended numbers where `classes` is 0."""
    plain = F.one_hot(targets, classes).float() if classes else targets
    shaped = weight.view(-1, *[1] * (plain.ndim - 1))
    return shaped * plain + (1 - shaped) * plain[partner]


def augment_pictures(
    pictures: Tensor,
    draws: Draws,
    *,
    largest: float = 1.0,
    crop: int = 0,
    flip_horizontal: bool = False,
    flip_alternate: bool = False,
    flip_vertical: bool = False,
    shift: float = 0.0,
    scale: float = 0.0,
    rotate: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
    erase: float = 0.0,
) -> Tensor:
    """Each picture changed in its own way; the result depends on the draws alone.

    Args:
        pictures: (batch, channels, height, width), before normalising: floats from 0 to 1, or integers.
        draws: of all randomness, one number a picture and change.
        largest: what integers are divided by, after the changes that only move whole pixels.
        crop: pixels of `crop_pictures`; 0 for none.
        flip_horizontal, flip_vertical: mirror half of the pictures.
        flip_alternate: of `flip_horizontal`: every second time instead of by chance, see `flip_pictures`.
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
    if crop:
        pictures = crop_pictures(pictures, draws, crop)
    if flip_horizontal:
        pictures = flip_pictures(pictures, draws, axis=-1, alternate=flip_alternate)
    if flip_vertical:
        pictures = flip_pictures(pictures, draws, axis=-2)
    if not pictures.dtype.is_floating_point:
        pictures = pictures.to(torch.float32).div_(largest)
    if shift or scale or rotate:
        pictures = random_affine(pictures, draws, shift=shift, scale=scale, rotate=rotate)
    if contrast:
        pictures = change_contrast(pictures, draws, contrast)
    if brightness:
        pictures = change_brightness(pictures, draws, brightness)
    if erase:
        pictures = erase_rectangles(pictures, draws, erase)
    return pictures


def random_affine(
    pictures: Tensor,
    draws: Draws,
    *,
    shift: float,
    scale: float,
    rotate: float,
) -> Tensor:
    """Shift, change of size and rotation about the centre in one bilinear resampling of the whole batch.

    Args:
        pictures: (batch, channels, height, width) float.
        draws: where the four numbers a picture come from.
        shift, scale, rotate: see `augment_pictures`.
    """
    height, width = pictures.shape[-2:]
    angle = _numbers_between(draws, -1.0, 1.0) * math.radians(rotate)
    # Zooming in and out by the same factor are equally likely: uniform in the logarithm.
    zoom = torch.exp(_numbers_between(draws, -1.0, 1.0) * math.log1p(scale))
    # grid_sample counts -1 to 1 across the picture, so a share of the side is twice as much there.
    right = _numbers_between(draws, -2.0, 2.0) * shift
    down = _numbers_between(draws, -2.0, 2.0) * shift
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


def change_brightness(pictures: Tensor, draws: Draws, largest: float) -> Tensor:
    """Add one number to each picture of (batch, channels, height, width)."""
    return pictures + _numbers_between(draws, -largest, largest).view(-1, 1, 1, 1)


def change_contrast(pictures: Tensor, draws: Draws, largest: float) -> Tensor:
    """Stretch each picture of (batch, channels, height, width) about its own mean."""
    factor = 1.0 + _numbers_between(draws, -largest, largest).view(-1, 1, 1, 1)
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return mean + (pictures - mean) * factor


def erase_rectangles(pictures: Tensor, draws: Draws, probability: float) -> Tensor:
    """Random erasing (Zhong et al. 2017): with this probability a rectangle takes the picture's mean colour.

    Args:
        pictures: (batch, channels, height, width) float.
        draws: where chance, area, aspect and place come from.
        probability: of a rectangle in a picture.
    """
    height, width = pictures.shape[-2:]
    chosen = draws.uniform() < probability
    area = _numbers_between(draws, *ERASED_AREA) * (height * width)
    low, high = (math.log(aspect) for aspect in ERASED_ASPECT)
    aspect = torch.exp(_numbers_between(draws, low, high))
    tall = torch.sqrt(area * aspect).round().clamp(1, height)
    wide = torch.sqrt(area / aspect).round().clamp(1, width)
    top = torch.floor(draws.uniform() * (height - tall + 1))
    left = torch.floor(draws.uniform() * (width - wide + 1))
    rows = torch.arange(height, device=pictures.device)
    columns = torch.arange(width, device=pictures.device)
    in_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])  # (batch, height)
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])  # (batch, width)
    inside = chosen[:, None, None] & in_rows[:, :, None] & in_columns[:, None, :]
    return torch.where(inside[:, None], pictures.mean((2, 3), keepdim=True), pictures)


def mixup_pictures(pictures: Tensor, draws: Draws, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mixup (Zhang et al. 2018): x = w · x_i + (1 - w) · x_j with w from Beta(alpha, alpha).

    Args:
        pictures: (batch, ...) float.
        draws: where partners and weights come from; partners are neighbours in the batch, which lie there by chance.
        alpha: parameter of the Beta distribution, above 0.

    Returns:
        The blended pictures, the index of each one's partner (batch,), and the weight of the picture itself
        (batch,); the loss is w · loss(target) + (1 - w) · loss(target of the partner).

    Raises:
        ValueError: for an alpha that is not above 0.
    """
    partner, weight = draws.partners(), draws.beta(alpha)
    shaped = weight.view(-1, *[1] * (pictures.ndim - 1))
    return shaped * pictures + (1 - shaped) * pictures[partner], partner, weight


def _numbers_between(draws: Draws, low: float, high: float) -> Tensor:
    return low + (high - low) * draws.uniform()
