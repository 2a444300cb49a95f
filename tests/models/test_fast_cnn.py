"""The net of the speed records: any channels and sizes, a start that passes pictures on, and able to learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from flambeau.errors import ModelError
from flambeau.models.build import build_model
from flambeau.models.fast_cnn import FastBlock, FastCNN
from flambeau.models.spec import ModelSpec, picture_spec
from flambeau.recipe.options import ModelOptions


@pytest.mark.parametrize("channels", [1, 3, 24, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (8, 8), (9, 13), (31, 31), (33, 47), (64, 64), (63, 8)])
def test_any_channels_and_sizes(channels: int, size: tuple[int, int]) -> None:
    model = FastCNN(channels, 5, size=size, width=4)
    outputs = model(torch.rand(2, channels, *size))
    assert outputs.shape == (2, 5)
    outputs.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(("size", "last"), [((31, 31), (3, 3)), ((8, 8), (2, 2)), ((64, 16), (8, 2))])
def test_each_block_halves_while_enough_is_left(size: tuple[int, int], last: tuple[int, int]) -> None:
    model = FastCNN(3, 2, size=size, width=4)
    with torch.no_grad():
        assert model.blocks(torch.rand(2, 3, *size)).shape[2:] == last


def test_a_fresh_convolution_copies_its_input_first() -> None:
    block = FastBlock(3, 8, (1, 1))
    pictures = torch.rand(2, 3, 6, 6)
    with torch.no_grad():
        assert torch.equal(block.first(pictures)[:, :3], pictures)
        features = torch.rand(2, 8, 6, 6)
        assert torch.equal(block.second(features), features)
        assert bool(block.first.weight[3:].any())


def test_fewer_filters_than_channels_copy_what_they_can() -> None:
    block = FastBlock(8, 4, (1, 1))
    features = torch.rand(2, 8, 6, 6)
    with torch.no_grad():
        assert torch.equal(block.first(features), features[:, :4])


def test_first_outputs_are_nearly_equal() -> None:
    torch.manual_seed(0)
    outputs = FastCNN(3, 10, size=(16, 16), width=8)(torch.randn(64, 3, 16, 16))
    assert float(outputs.detach().abs().max()) < 1.5
    assert bool((outputs != outputs[:1]).any())


def test_it_is_the_net_of_the_paper_at_full_width() -> None:
    model = build_model(picture_spec(
        ModelOptions(name="fast_cnn", whiten=True), channels=3, size=(32, 32), outputs=10
    ))  # fmt: skip
    shapes = [tuple(module.weight.shape) for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert model.state_dict()["filters"].shape == (24, 3, 2, 2)
    assert shapes == [
        (64, 24, 3, 3),
        (64, 64, 3, 3),
        (256, 64, 3, 3),
        (256, 256, 3, 3),
        (256, 256, 3, 3),
        (256, 256, 3, 3),
    ]
    features = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert model.inner.blocks(F.gelu(F.conv2d(features, model.filters))).shape == (1, 256, 3, 3)


@pytest.mark.parametrize(
    "wrong", [{"channels": 0}, {"outputs": 0}, {"size": (0, 8)}, {"size": (8, -1)}, {"width": 0}]
)
def test_impossible_sizes_are_told(wrong: dict[str, object]) -> None:
    arguments = {"channels": 3, "outputs": 2, "size": (8, 8), **wrong}
    with pytest.raises(ValueError, match="FastCNN needs at least one channel, output, filter and pixel; got"):
        FastCNN(**arguments)  # type: ignore[arg-type]
    spec = ModelSpec("fast_cnn", {**arguments, "size": list(arguments["size"])})  # type: ignore[call-overload]
    with pytest.raises(ModelError, match="the model 'fast_cnn' cannot be built"):
        build_model(spec)


def test_bars_across_and_down_are_told_apart() -> None:
    torch.manual_seed(0)
    pictures, targets = torch.zeros(32, 1, 8, 8), torch.arange(32) % 2
    for position in range(32):
        line = position % 8
        if targets[position]:
            pictures[position, 0, line, :] = 1.0
        else:
            pictures[position, 0, :, line] = 1.0
    model = FastCNN(1, 2, size=(8, 8), width=8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(pictures), targets).backward()
        optimizer.step()
    assert bool((model.eval()(pictures).argmax(1) == targets).all())
