"""Resizing, scaling and normalising against torchvision, and random changes against their definitions."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from flambeau.data.pictures.load import load_picture
from flambeau.transforms import image
from flambeau.transforms.augment import (
    augment_pictures,
    change_brightness,
    change_contrast,
    erase_rectangles,
    mixup_pictures,
    random_affine,
    sample_affine,
)
from flambeau.transforms.channels import match_channels
from flambeau.transforms.draws import Draws
from flambeau.transforms.image import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PicturePreparation,
    fit_pictures,
    normalise_pictures,
    resize_pictures,
)

ALL_CHANGES = {
    "crop": 2,
    "flip_horizontal": True,
    "flip_vertical": True,
    "shift": 0.1,
    "scale": 0.2,
    "rotate": 20.0,
    "brightness": 0.2,
    "contrast": 0.3,
    "erase": 0.5,
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws_for(pictures: Tensor, seed: int = 0, epoch: int = 0) -> Draws:
    return Draws(seed, epoch, torch.arange(len(pictures)), torch.device("cpu"))


def some_pictures(batch: int = 4, channels: int = 3, height: int = 17, width: int = 23) -> Tensor:
    return torch.rand(batch, channels, height, width, generator=seeded(7))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [(8, 8), (40, 30), (17, 5)])
def test_resize_of_floats_equals_torchvision(interpolation: str, size: tuple[int, int]) -> None:
    mode = {"nearest": "nearest-exact"}.get(interpolation, interpolation)
    expected = reference.resize(
        some_pictures(), list(size), interpolation=reference.InterpolationMode(mode), antialias=True
    )
    resized = resize_pictures(some_pictures(), size, interpolation=interpolation)  # type: ignore[arg-type]
    torch.testing.assert_close(resized, expected, rtol=0, atol=1e-6)


def test_resize_of_bytes_differs_from_torchvision_by_rounding_only() -> None:
    pictures = (some_pictures() * 255).round().to(torch.uint8)
    expected = reference.resize(pictures, [9, 31], antialias=True)
    resized = resize_pictures(pictures, (9, 31))
    assert resized.dtype == torch.uint8
    assert (resized.int() - expected.int()).abs().max() <= 1


def test_bicubic_overshoot_is_clamped_to_the_range_of_the_dtype() -> None:
    edge = torch.zeros(1, 1, 8, 8, dtype=torch.int32)
    edge[..., 4:] = 65_535
    resized = resize_pictures(edge, (20, 20), interpolation="bicubic")
    assert (int(resized.min()), int(resized.max())) == (0, 65_535)


def test_pad_keeps_the_aspect_ratio_and_crop_keeps_the_centre() -> None:
    wide = torch.zeros(1, 1, 10, 20)
    wide[..., 5:15] = 1.0
    padded = resize_pictures(wide, (10, 10), fit="pad")
    assert padded[0, 0, :2].sum() == 0 and padded[0, 0, 8:].sum() == 0
    assert padded[0, 0, 5].sum() > 4
    torch.testing.assert_close(resize_pictures(wide, (10, 10), fit="crop"), torch.ones(1, 1, 10, 10))


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_pictures_of_one_pixel(fit: str) -> None:
    one = torch.full((2, 3, 1, 1), 200, dtype=torch.uint8)
    assert resize_pictures(one, (5, 5), fit=fit).unique().tolist() == [200]  # type: ignore[arg-type]
    shrunk = resize_pictures(some_pictures(), (1, 1), fit=fit)  # type: ignore[arg-type]
    assert shrunk.shape == (4, 3, 1, 1)
    changed = augment_pictures(torch.rand(2, 3, 1, 1), draws_for(torch.empty(2)), **ALL_CHANGES)  # type: ignore[arg-type]
    assert changed.shape == (2, 3, 1, 1) and changed.isfinite().all()


def test_another_layout_is_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(batch, channels, height, width\).*\(3, 8, 8\)"):
        resize_pictures(torch.zeros(3, 8, 8), (4, 4))
    with pytest.raises(ValueError, match="unknown fit 'squeeze'; known are stretch"):
        resize_pictures(some_pictures(), (4, 4), fit="squeeze")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown interpolation 'lanczos'"):
        resize_pictures(some_pictures(), (4, 4), interpolation="lanczos")  # type: ignore[arg-type]


def test_normalise_equals_torchvision() -> None:
    expected = reference.normalize(some_pictures(), list(IMAGENET_MEAN), list(IMAGENET_STD))
    torch.testing.assert_close(normalise_pictures(some_pictures(), IMAGENET_MEAN, IMAGENET_STD), expected)
    with pytest.raises(ValueError, match="expected 3, got 1 and 1"):
        normalise_pictures(some_pictures(), (0.5,), (0.5,))


def test_grey_equals_torchvision_and_grey_becomes_colour_by_repeating() -> None:
    colour = (some_pictures() * 255).round().to(torch.uint8)
    grey = match_channels(colour, 1)
    assert (grey.int() - reference.rgb_to_grayscale(colour).int()).abs().max() <= 1
    assert torch.equal(match_channels(grey, 3)[:, 2], grey[:, 0])
    assert torch.equal(match_channels(torch.cat([colour, grey], dim=1), 3), colour)
    with pytest.raises(ValueError, match="cannot make pictures of 3 channels from pictures of 5"):
        match_channels(torch.zeros(1, 5, 2, 2), 3)


def test_fitted_preparation_gives_mean_zero_and_deviation_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (50, 6, 9, 3), dtype=np.uint8)
    preparation = fit_pictures(pixels, size=(6, 9), channels=3, bits=8)
    prepared = preparation.prepare(torch.from_numpy(pixels))
    assert prepared.shape == (50, 3, 6, 9)
    torch.testing.assert_close(prepared.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(prepared.std((0, 2, 3)), torch.ones(3), rtol=0, atol=1e-3)
    assert PicturePreparation.from_json(json.loads(json.dumps(preparation.to_json()))) == preparation


def test_sixteen_bits_and_resizing_inside_a_preparation() -> None:
    deep = np.full((3, 4, 4, 1), 65_535, dtype=np.uint16)
    plain = fit_pictures(deep, size=(2, 2), channels=1, bits=16, normalise="none")
    torch.testing.assert_close(plain.prepare(torch.from_numpy(deep.astype(np.int32))), torch.ones(3, 1, 2, 2))
    constant = fit_pictures(deep, size=(2, 2), channels=1, bits=16)
    assert constant.prepare(torch.from_numpy(deep.astype(np.int32))).abs().max() < 1e-4
    with pytest.raises(ValueError, match="must be integers"):
        plain.prepare(torch.zeros(1, 2, 2, 1))
    with pytest.raises(ValueError, match="statistics of ImageNet are for 1 or 3 channels, got 2"):
        fit_pictures(deep, size=(2, 2), channels=2, bits=16, normalise="imagenet")


def test_affine_without_amount_is_the_identity() -> None:
    unchanged = random_affine(some_pictures(), draws_for(some_pictures()), shift=0.0, scale=0.0, rotate=0.0)
    torch.testing.assert_close(unchanged, some_pictures(), rtol=0, atol=1e-5)


def test_affine_equals_torchvision_inside_the_picture() -> None:
    pictures = some_pictures(batch=1, height=31, width=31)
    angle = math.radians(10)
    matrix = torch.tensor(
        [[[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]]]
    )
    expected = reference.rotate(pictures, 10, interpolation=reference.InterpolationMode.BILINEAR)
    middle = (..., slice(8, 23), slice(8, 23))
    torch.testing.assert_close(sample_affine(pictures, matrix)[middle], expected[middle], rtol=0, atol=1e-4)


def test_rotation_keeps_lengths_in_a_picture_that_is_not_square() -> None:
    bar = torch.zeros(64, 1, 41, 61)
    bar[:, 0, 20, 22:39] = 1.0
    turned = random_affine(bar, draws_for(bar, 3), shift=0.0, scale=0.0, rotate=90.0)
    mass = turned.sum((1, 2, 3))
    down, across = (torch.arange(41.0) - 20).square(), (torch.arange(61.0) - 30).square()
    spread_down = (turned.sum((1, 3)) * down).sum(1) / mass
    spread_across = (turned.sum((1, 2)) * across).sum(1) / mass
    # The bar's own spread of (17² - 1) / 12 pixels², wherever it points; interpolation adds a little.
    torch.testing.assert_close(spread_down + spread_across, torch.full((64,), 24.0), rtol=0.05, atol=0)
    assert spread_down.max() > 20


def test_shift_of_a_share_moves_by_that_share_of_the_side() -> None:
    dot = torch.zeros(500, 1, 41, 41)
    dot[:, 0, 20, 20] = 1.0
    moved = random_affine(dot, draws_for(dot), shift=0.25, scale=0.0, rotate=0.0)
    places = torch.arange(41.0)
    mass = moved.sum((1, 2, 3))
    rows = (moved.sum((1, 3)) * places).sum(1) / mass - 20
    assert 9.5 < float(rows.abs().max()) <= 10.3


def test_brightness_adds_one_number_a_picture_and_contrast_keeps_the_mean() -> None:
    pictures = some_pictures()
    added = change_brightness(pictures, draws_for(pictures), 0.3) - pictures
    assert added.flatten(1).std(1).max() < 1e-6 and added.abs().max() <= 0.3
    stretched = change_contrast(pictures, draws_for(pictures), 0.5)
    torch.testing.assert_close(stretched.mean((1, 2, 3)), pictures.mean((1, 2, 3)))
    ratio = stretched.flatten(1).std(1) / pictures.flatten(1).std(1)
    assert ratio.min() >= 0.5 and ratio.max() <= 1.5 and ratio.std() > 0


def test_erasing_touches_the_chosen_share_and_one_rectangle_each() -> None:
    pictures = some_pictures(batch=400, height=16, width=16)
    erased = erase_rectangles(pictures, draws_for(pictures), 0.25)
    touched = (erased != pictures).any(1)
    assert 70 < int(touched.flatten(1).any(1).sum()) < 130
    for mask in touched[touched.flatten(1).any(1)][:20]:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        height, width = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
        assert int(mask.sum()) == height * width
    assert torch.equal(erase_rectangles(pictures, draws_for(pictures), 0.0), pictures)


def test_mixup_is_the_weighted_sum_with_the_partner() -> None:
    pictures = some_pictures(batch=64)
    mixed, partner, weight = mixup_pictures(pictures, draws_for(pictures), 0.4)
    assert partner.tolist() == [place ^ 1 for place in range(64)]
    shaped = weight.view(-1, 1, 1, 1)
    torch.testing.assert_close(mixed, shaped * pictures + (1 - shaped) * pictures[partner])
    assert weight.min() >= 0 and weight.max() <= 1 and 0.3 < weight.mean() < 0.7
    with pytest.raises(ValueError, match="above 0, got 0"):
        mixup_pictures(pictures, draws_for(pictures), 0.0)


def test_equal_seeds_give_equal_pictures_and_each_picture_its_own_change() -> None:
    pictures = some_pictures(batch=1).expand(6, -1, -1, -1)
    torch.manual_seed(1)
    first = augment_pictures(pictures, draws_for(pictures, 5), **ALL_CHANGES)  # type: ignore[arg-type]
    torch.manual_seed(2)
    second = augment_pictures(pictures, draws_for(pictures, 5), **ALL_CHANGES)  # type: ignore[arg-type]
    other = augment_pictures(pictures, draws_for(pictures, 6), **ALL_CHANGES)  # type: ignore[arg-type]
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert len({tuple(picture.flatten()[:5].tolist()) for picture in first}) == 6
    assert torch.equal(augment_pictures(pictures, draws_for(pictures)), pictures)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_large_pictures_are_resampled_channel_by_channel_to_equal_bits(
    interpolation: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = 256 if dtype == torch.uint8 else 65_536
    pixels = torch.randint(0, largest, (2, 67, 91, 3), generator=seeded(3)).to(dtype).permute(0, 3, 1, 2)
    for size in ((16, 24), (100, 7), (5, 1), (67, 30)):
        whole = resize_pictures(pixels, size, interpolation=interpolation)  # type: ignore[arg-type]
        monkeypatch.setattr(image, "LARGE_VALUES", 1)
        parts = resize_pictures(pixels, size, interpolation=interpolation)  # type: ignore[arg-type]
        monkeypatch.undo()
        assert torch.equal(whole, parts) and whole.dtype == parts.dtype


def test_load_options_are_what_a_loader_takes() -> None:
    options = PicturePreparation((4, 6), 1, 16, "pad", "bicubic").load_options
    named = set(inspect.signature(load_picture).parameters) - {"source", "max_pixels"}
    assert set(options) == named and options["size"] == (4, 6) and options["fit"] == "pad"
