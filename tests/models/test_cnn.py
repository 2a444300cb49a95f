"""The small nets: any channels and sizes, and able to learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from flambeau.models.cnn import SmallCNN, SmallResNet, halving, pool_features
from flambeau.models.init import initialise_weights


@pytest.mark.parametrize("kind", [SmallCNN, SmallResNet])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (8, 8), (28, 28), (64, 48)])
def test_any_channels_and_sizes(kind: type[nn.Module], channels: int, size: tuple[int, int]) -> None:
    model = kind(channels, 4, size=size, width=4)
    outputs = model(torch.rand(2, channels, *size))
    assert outputs.shape == (2, 4)
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("size", "steps"), [((1, 1), (1, 1)), ((3, 9), (1, 2)), ((4, 3), (2, 1)), ((28, 28), (2, 2))]
)
def test_a_side_is_halved_only_where_enough_is_left(size: tuple[int, int], steps: tuple[int, int]) -> None:
    assert halving(size) == steps


def test_large_pictures_are_halved_once_more_so_that_the_work_stays() -> None:
    small, large = (SmallResNet(3, 2, size=(side, side), width=4) for side in (32, 64))
    with torch.no_grad():
        assert small.stem(torch.rand(1, 3, 32, 32)).shape[-1] == 32
        assert large.stem(torch.rand(1, 3, 64, 64)).shape[-1] == 32


def test_blocks_width_and_dropout_do_what_they_say() -> None:
    def count(model: nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    plain = SmallResNet(1, 3, size=(8, 8), width=4)
    assert count(SmallResNet(1, 3, size=(8, 8), width=4, blocks=2)) > count(plain)
    assert count(SmallResNet(1, 3, size=(8, 8), width=8)) > 3 * count(plain)
    dropping = SmallResNet(1, 3, size=(8, 8), width=4, dropout=0.9).train()
    pictures = torch.rand(16, 1, 8, 8)
    assert not torch.equal(dropping(pictures), dropping(pictures))
    assert torch.equal(dropping.eval()(pictures), dropping(pictures))


def test_pooled_features_are_mean_plus_maximum() -> None:
    features = torch.tensor([[[[1.0, 3.0], [0.0, 0.0]]]])
    assert pool_features(features).tolist() == [[4.0]]


@pytest.mark.parametrize("kind", [SmallCNN, SmallResNet])
def test_bars_across_and_down_are_told_apart(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    pictures, targets = torch.zeros(32, 1, 8, 8), torch.arange(32) % 2
    for position in range(32):
        line = position % 8
        if targets[position]:
            pictures[position, 0, line, :] = 1.0
        else:
            pictures[position, 0, :, line] = 1.0
    model = kind(1, 2, size=(8, 8), width=8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(pictures), targets).backward()
        optimizer.step()
    assert bool((model.eval()(pictures).argmax(1) == targets).all())


@pytest.mark.parametrize("name", ["kaiming_normal", "xavier_uniform", "orthogonal"])
def test_named_initialisation_is_a_function_of_the_generator(name: str) -> None:
    first, second = (SmallCNN(1, 2, size=(8, 8), width=4) for _ in range(2))
    initialise_weights(first, name, torch.Generator().manual_seed(1))
    initialise_weights(second, name, torch.Generator().manual_seed(1))
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert not first.head.bias.any() and first.head.weight.any()


def test_orthogonal_rows_and_an_unknown_name() -> None:
    layer = nn.Linear(16, 4)
    initialise_weights(layer, "orthogonal", torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(4), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="unknown initialisation 'zeros'; known are xavier_uniform"):
        initialise_weights(layer, "zeros")
