"""Initialisations by their moments, repeated by their generator; what they leave alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from flambeau.models.cnn import SmallCNN
from flambeau.models.init import initialise_weights, set_batch_norm_momentum

NAMES = [
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "orthogonal",
    "trunc_normal",
    "dirac",
]


def drawn(layer: nn.Module, name: str) -> Tensor:
    initialise_weights(layer, name, torch.Generator().manual_seed(0))
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach()


FAN_IN, FAN_OUT = 64 * 9, 128 * 9
DEVIATIONS = {
    "xavier_uniform": math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "xavier_normal": math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "kaiming_uniform": math.sqrt(2 / FAN_IN),
    "kaiming_normal": math.sqrt(2 / FAN_IN),
    "trunc_normal": 0.02,
}


@pytest.mark.parametrize("name", sorted(DEVIATIONS))
def test_moments(name: str) -> None:
    weight = drawn(nn.Conv2d(64, 128, 3), name).double()
    deviation = DEVIATIONS[name]
    count = weight.numel()  # 73,728: the mean is known to 0.4 %, the deviation to 0.3 % of the deviation
    assert abs(weight.mean()) < 5 * deviation / math.sqrt(count)
    assert weight.std().item() == pytest.approx(deviation, rel=0.02)
    largest = weight.abs().max().item()
    kurtosis = ((weight / weight.std()) ** 4).mean().item()
    if name.endswith("uniform"):
        assert largest <= deviation * math.sqrt(3) * 1.0001
        assert kurtosis == pytest.approx(1.8, abs=0.05)
    else:
        assert largest > 3.5 * deviation
        assert kurtosis == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("shape", [(16, 4), (4, 16), (8, 8)])
def test_orthogonal_rows_or_columns(shape: tuple[int, int]) -> None:
    weight = drawn(nn.Linear(shape[1], shape[0]), "orthogonal")
    small = min(shape)
    product = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
    torch.testing.assert_close(product, torch.eye(small), rtol=0, atol=1e-5)
    filters = drawn(nn.Conv2d(4, 8, 3), "orthogonal").flatten(1)
    torch.testing.assert_close(filters @ filters.T, torch.eye(8), rtol=0, atol=1e-5)


def test_dirac_filters_hand_channels_on() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1)
    drawn(layer, "dirac")
    pictures = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(layer(pictures), pictures)
    wide = nn.Conv2d(3, 5, 3, padding=1)
    before = wide.weight.detach().clone()
    drawn(wide, "dirac")
    torch.testing.assert_close(wide(pictures)[:, :3], pictures)
    assert torch.equal(wide.weight[3:], before[3:])
    grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)
    drawn(grouped, "dirac")
    pictures = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(grouped(pictures), pictures)
    linear = nn.Linear(3, 3)
    kept = linear.weight.detach().clone()
    assert torch.equal(drawn(linear, "dirac"), kept)


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_alone_decides(name: str) -> None:
    torch.manual_seed(5)
    first = SmallCNN(1, 2, size=(8, 8), width=4)
    torch.manual_seed(5)
    second = SmallCNN(1, 2, size=(8, 8), width=4)
    initialise_weights(first, name, torch.Generator().manual_seed(1))
    torch.rand(3)
    initialise_weights(second, name, torch.Generator().manual_seed(1))
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    if name != "dirac":
        assert not first.head.bias.any() and first.head.weight.any()


def test_normalisation_and_embeddings_keep_what_they_have() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.LayerNorm(3), nn.Embedding(4, 3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    initialise_weights(model, "orthogonal")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown initialisation 'zeros'; known are xavier_uniform, "):
        initialise_weights(nn.Linear(2, 2), "zeros")


def test_statistics_follow_at_the_momentum_that_is_set() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.BatchNorm1d(4)))
    set_batch_norm_momentum(model, 1.0)
    inputs = torch.randn(50, 3)
    model(inputs)
    torch.testing.assert_close(model[1].running_mean, model[0](inputs).mean(0))
    assert model[2][0].momentum == 1.0
