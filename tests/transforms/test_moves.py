"""Flips and crops against torchvision and their definitions, in both layouts of memory and for every dtype."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as reference

from flambeau.transforms.augment import augment_pictures
from flambeau.transforms.draws import Draws
from flambeau.transforms.moves import crop_pictures, cut_by_pixels, cut_by_runs, flip_pictures

LAYOUTS = [torch.contiguous_format, torch.channels_last]
DTYPES = [torch.uint8, torch.int32, torch.float32]


def some_pictures(batch: int = 200, channels: int = 3, height: int = 7, width: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (batch, channels, height, width), generator=generator)


def draws_for(pictures: Tensor, epoch: int = 0) -> Draws:
    return Draws(1, epoch, torch.arange(len(pictures)), torch.device("cpu"))


@pytest.mark.parametrize("layout", LAYOUTS, ids=["planes", "channels last"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("axis", [-1, -2])
def test_flips_are_torchvisions_for_a_half_of_the_batch(
    axis: int, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    pictures = some_pictures().to(dtype).contiguous(memory_format=layout)
    before = pictures.clone()
    flipped = flip_pictures(pictures, draws_for(pictures), axis=axis)
    flip = reference.horizontal_flip if axis == -1 else reference.vertical_flip
    mirrored = flip(pictures)
    moved = (flipped != pictures).flatten(1).any(1)
    assert 70 < int(moved.sum()) < 130
    assert torch.equal(flipped[moved], mirrored[moved])
    assert flipped.is_contiguous(memory_format=layout) and torch.equal(pictures, before)


def test_alternating_flips_show_each_side_every_second_time() -> None:
    pictures = some_pictures()
    first, second, third = (
        flip_pictures(pictures, draws_for(pictures, epoch), axis=-1, alternate=True) for epoch in range(3)
    )
    assert torch.equal(first, third) and torch.equal(second, first.flip(-1))
    assert 70 < int((first != pictures).flatten(1).any(1).sum()) < 130
    both = augment_pictures(pictures, draws_for(pictures, 1), flip_alternate=True, flip_horizontal=True)
    assert torch.equal(both, second)
    # where pictures must not be mirrored at all, none is
    assert torch.equal(augment_pictures(pictures, draws_for(pictures, 1), flip_alternate=True), pictures)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["planes", "channels last"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(3, 7, 5), (1, 6, 6), (3, 1, 1), (2, 1, 4), (4, 9, 1)])
@pytest.mark.parametrize("border", [1, 3, 64])
def test_crops_are_cut_out_of_pictures_padded_by_reflection(
    border: int, shape: tuple[int, int, int], dtype: torch.dtype, layout: torch.memory_format
) -> None:
    pictures = some_pictures(20, *shape).to(dtype).contiguous(memory_format=layout)
    down, across = (min(border, side - 1) for side in shape[1:])
    draws = draws_for(pictures)
    top = (draws.uniform() * (2 * down + 1)).long()
    left = (draws.uniform() * (2 * across + 1)).long()
    padded = F.pad(pictures.double(), (across, across, down, down), mode="reflect").to(dtype)
    expected = torch.stack(
        [
            one[:, y : y + shape[1], x : x + shape[2]]
            for one, y, x in zip(padded, top.tolist(), left.tolist(), strict=True)
        ]
    )
    cropped = crop_pictures(pictures, draws_for(pictures), border)
    assert torch.equal(cropped, expected) and cropped.dtype == dtype
    assert cropped.is_contiguous(memory_format=layout)
    assert torch.equal(cut_by_pixels(pictures, top, left, down, across), expected)
    assert torch.equal(cut_by_runs(pictures, top, left, down, across), expected)


def test_all_places_of_a_crop_are_equally_likely() -> None:
    dot = torch.zeros(9000, 1, 9, 9, dtype=torch.uint8)
    dot[:, 0, 4, 4] = 1
    cropped = crop_pictures(dot, draws_for(dot), 1)
    counts = cropped[:, 0, 3:6, 3:6].sum(0)
    assert int(counts.sum()) == 9000 and counts.min() > 850 and counts.max() < 1150


@pytest.mark.parametrize("largest", [255.0, 65_535.0])
def test_pixels_moved_as_integers_are_those_moved_as_floats(largest: float) -> None:
    pixels = (some_pictures().to(torch.int32) * int(largest // 255)).contiguous()
    options = {"crop": 2, "flip_horizontal": True, "flip_vertical": True, "brightness": 0.2, "shift": 0.1}
    late = augment_pictures(pixels, draws_for(pixels), largest=largest, **options)  # type: ignore[arg-type]  # mixed
    early = augment_pictures(pixels.float() / largest, draws_for(pixels), **options)  # type: ignore[arg-type]  # mixed
    assert torch.equal(late, early)
