"""The whitening layer: patches come out uncorrelated, it never trains, and any net for pictures fits behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from flambeau.errors import ModelError
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec, picture_spec, table_spec
from flambeau.models.whiten import (
    MOST_WHITENED_PICTURES,
    WhitenFirst,
    patch_covariance,
    rows_to_whiten,
    whitened_channels,
    whitened_size,
    whitening_filters,
)
from flambeau.recipe.options import ModelOptions


def smooth_pictures(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    """Pictures whose neighbouring pixels and channels are alike, as in photographs."""
    generator = torch.Generator().manual_seed(0)
    rough = torch.randn(count, channels, height // 2 + 1, width // 2 + 1, generator=generator)
    smooth = F.interpolate(rough, size=(height, width), mode="bilinear")
    return smooth + smooth.mean(1, keepdim=True)


@pytest.mark.parametrize(("channels", "size"), [(1, (8, 8)), (3, (32, 32)), (5, (9, 14)), (3, (2, 2))])
def test_whitened_patches_are_uncorrelated_and_of_equal_size(channels: int, size: tuple[int, int]) -> None:
    pictures = smooth_pictures(300, channels, *size)
    filters = whitening_filters(pictures)
    maps = F.conv2d(pictures.double(), filters.double())
    assert maps.shape[1:] == (whitened_channels(channels), *whitened_size(size))
    half = whitened_channels(channels) // 2
    torch.testing.assert_close(maps[:, half:], -maps[:, :half])
    flat = maps[:, :half].transpose(0, 1).flatten(1)  # (direction, patches)
    products = flat @ flat.T / flat.shape[1]
    strong = products.diagonal() > 0.99  # the others are damped: their own variance is near the floor
    assert strong.sum() >= half // 2
    expected = torch.diag(products.diagonal())
    torch.testing.assert_close(products, expected, rtol=0, atol=1e-4)
    assert bool((products.diagonal() <= 1.0001).all())


def test_the_scale_of_the_pictures_does_not_matter() -> None:
    pictures = smooth_pictures(50, 3, 12, 12)
    torch.testing.assert_close(whitening_filters(pictures * 100) * 100, whitening_filters(pictures))


def test_patches_are_averaged_over_all_blocks_of_pictures() -> None:
    pictures = smooth_pictures(250, 2, 6, 5)
    patches = pictures.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 8).double()
    torch.testing.assert_close(patch_covariance(pictures), patches.T @ patches / len(patches))


def test_directions_have_one_sign_and_equal_pictures_equal_filters() -> None:
    filters = whitening_filters(smooth_pictures(40, 3, 8, 8))
    flat = filters[: len(filters) // 2].flatten(1)
    assert bool((flat.gather(1, flat.abs().argmax(1, keepdim=True)) > 0).all())
    assert torch.equal(filters, whitening_filters(smooth_pictures(40, 3, 8, 8)))


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_pictures_of_one_colour_give_finite_filters(value: float) -> None:
    assert bool(torch.isfinite(whitening_filters(torch.full((4, 3, 6, 6), value))).all())


def test_filters_are_no_parameters_and_stay_while_the_rest_learns() -> None:
    torch.manual_seed(0)
    model = build_model(spec_of("small_cnn"))
    assert isinstance(model, WhitenFirst)
    pictures = smooth_pictures(8, 3, 16, 16)
    model.fit_filters(pictures)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert "filters" in before and "filters" not in dict(model.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    F.cross_entropy(model(pictures), torch.arange(8) % 4).backward()
    optimizer.step()
    after = model.state_dict()
    assert torch.equal(after["filters"], before["filters"])
    assert not torch.equal(after["bias"], before["bias"])
    assert not torch.equal(after["inner.head.weight"], before["inner.head.weight"])


def test_before_it_is_fitted_each_filter_passes_one_pixel_on() -> None:
    model = WhitenFirst(1, nn.Identity())
    pictures = torch.rand(2, 1, 3, 3)
    torch.testing.assert_close(model(pictures)[:, 0], F.gelu(pictures[:, 0, :2, :2]))


@pytest.mark.parametrize("name", ["small_cnn", "small_resnet", "fast_cnn", "resnet", "torchvision/resnet18"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_picture_model_can_stand_behind_it(name: str, channels: int) -> None:
    spec = spec_of(name, channels=channels)
    assert ModelSpec.from_json(spec.to_json()) == spec
    model = build_model(spec).eval()
    assert isinstance(model, WhitenFirst)
    with torch.no_grad():
        assert model(torch.rand(2, channels, 16, 16)).shape == (2, 4)


def spec_of(name: str, *, channels: int = 3, size: tuple[int, int] = (16, 16)) -> ModelSpec:
    width = None if "/" in name else 4
    options = ModelOptions(name=name, width=width, whiten=True)
    return picture_spec(options, channels=channels, size=size, outputs=4)


OWN = """
from torch import nn

class Told(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.first = nn.Conv2d(in_channels, 4, 3)
        self.last = nn.Linear(4, num_classes)

    def forward(self, pictures):
        return self.last(self.first(pictures).mean((2, 3)))

class Fixed(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.first = nn.Conv2d(3, num_classes, 3)

    def forward(self, pictures):
        return self.first(pictures).mean((2, 3))
"""


def test_an_own_model_is_told_how_many_maps_it_gets(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    model = build_model(spec_of(f"{file}:Told"))
    assert isinstance(model, WhitenFirst) and model(torch.rand(2, 3, 16, 16)).shape == (2, 4)
    with pytest.raises(ModelError, match="makes 24 maps of 3 channels, and this model cannot be told so"):
        spec_of(f"{file}:Fixed")


def test_too_small_pictures_and_tables_are_refused() -> None:
    with pytest.raises(ModelError, match="too small for a whitening layer") as caught:
        spec_of("fast_cnn", size=(1, 9))
    assert "patches of 2x2 pixels, and these pictures have 1x9" in str(caught.value)
    with pytest.raises(ModelError, match=r"model\.whiten is for pictures, and this is a table"):
        table_spec(ModelOptions(whiten=True), number_features=2, cardinalities=(), outputs=2, bins=0)


def test_rows_for_the_filters_are_spread_evenly_and_not_too_many() -> None:
    few = np.arange(10, 400)
    assert np.array_equal(rows_to_whiten(few), few)
    many = rows_to_whiten(np.arange(MOST_WHITENED_PICTURES * 7 + 1))
    assert len(many) <= MOST_WHITENED_PICTURES and len(many) > MOST_WHITENED_PICTURES // 2
    assert len(set(np.diff(many))) == 1 and many[0] == 0


def test_an_exported_graph_has_the_filters() -> None:
    model = build_model(spec_of("fast_cnn")).eval()
    pictures = smooth_pictures(4, 3, 16, 16)
    model.fit_filters(pictures)
    exported = torch.export.export(model, (pictures,))
    torch.testing.assert_close(exported.module()(pictures), model(pictures), rtol=0, atol=1e-6)
