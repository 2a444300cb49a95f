"""The residual net for larger pictures."""

from __future__ import annotations

import pytest
import torch

from flambeau.models.resnet import BasicBlock, ResNet


@pytest.mark.parametrize("size", [(1, 1), (9, 33), (64, 64), (97, 65)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_channels_and_sizes(size: tuple[int, int], channels: int) -> None:
    model = ResNet(channels, 3, size=size, width=4, depth=1)
    outputs = model(torch.rand(2, channels, *size))
    assert outputs.shape == (2, 3)
    outputs.sum().backward()


def test_only_large_pictures_are_divided_by_four_before_the_first_block() -> None:
    assert ResNet(1, 2, size=(32, 32), width=4).stem(torch.rand(1, 1, 32, 32)).shape[-1] == 32
    assert ResNet(1, 2, size=(64, 64), width=4).stem(torch.rand(1, 1, 64, 64)).shape[-1] == 16


def test_width_64_and_depth_2_have_the_parameters_of_resnet18() -> None:
    from torchvision.models import resnet18

    with torch.device("meta"):
        model, reference = ResNet(3, 1000, size=(224, 224), width=64, depth=2), resnet18(weights=None)
    counts = [sum(parameter.numel() for parameter in one.parameters()) for one in (model, reference)]
    assert counts[0] == counts[1]


def test_a_block_starts_as_its_shortcut() -> None:
    block = ResNet(3, 2, size=(64, 64), width=4, depth=2).blocks[1]
    assert isinstance(block, BasicBlock)
    features = torch.rand(2, 4, 5, 5)
    torch.testing.assert_close(block(features), features)


def test_depth_counts_blocks_a_stage() -> None:
    assert len(ResNet(3, 2, size=(64, 64), width=4, depth=3).blocks) == 12
