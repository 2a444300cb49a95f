"""Activation checkpointing: the very weights of a training that keeps its activations, and less memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from flambeau.models.cnn import SmallCNN, SmallResNet
from flambeau.models.mlp import MLP
from flambeau.models.recompute import find_blocks, recompute_blocks
from flambeau.models.resnet import ResNet
from flambeau.models.tabm import TabM
from flambeau.stages.engine.work import largest_fitting, measure_memory, measure_work


def pictures(side: int = 12) -> tuple[Tensor, ...]:
    return (torch.randn(6, 3, side, side, generator=torch.Generator().manual_seed(1)),)


def rows() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(6, 5, generator=generator), torch.randint(3, (6, 1), generator=generator)


CASES = {
    "small_cnn": (lambda: SmallCNN(3, 4, size=(12, 12), width=4, dropout=0.3), pictures()),
    "small_resnet": (lambda: SmallResNet(3, 4, size=(12, 12), width=4, dropout=0.3), pictures()),
    "resnet": (lambda: ResNet(3, 4, size=(16, 16), width=4, depth=2, dropout=0.2), pictures(16)),
    "mlp": (lambda: MLP(5, 3, width=8, depth=4, dropout=0.2, normalisation="batch"), rows()[:1]),
    "tabm": (lambda: TabM(5, [3], 3, width=8, depth=3, dropout=0.2), rows()),
    "no sequence": (lambda: nn.Linear(5, 2), rows()[:1]),
}


def three_steps(model: nn.Module, inputs: tuple[Tensor, ...], precision: str) -> dict[str, Tensor]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    torch.manual_seed(7)
    model.train()
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(*inputs).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", CASES)
def test_weights_statistics_and_dropout_are_equal_in_every_bit(name: str, precision: str) -> None:
    make, inputs = CASES[name]
    torch.manual_seed(0)
    plain = make()
    again = recompute_blocks(copy.deepcopy(plain))
    assert list(again.state_dict()) == list(plain.state_dict())
    expected = three_steps(plain, inputs, precision)
    found = three_steps(again, inputs, precision)
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []


def test_a_copy_keeps_its_activations_and_answers_alike() -> None:
    make, inputs = CASES["resnet"]
    model = recompute_blocks(make()).eval()
    copied = copy.deepcopy(model)
    assert all("Recomputed" not in repr(getattr(part, "forward", "")) for part in copied.modules())
    assert torch.equal(model(*inputs), copied(*inputs))
    with torch.no_grad():
        next(copied.parameters()).add_(1.0)
    assert not torch.equal(model(*inputs), copied(*inputs))


def test_blocks_are_the_parts_of_the_outermost_sequences() -> None:
    names = [name for name, _ in find_blocks(ResNet(3, 4, size=(64, 64), width=4, depth=2))]
    assert names == ["stem", *(f"blocks.{number}" for number in range(8))]
    assert [name for name, _ in find_blocks(MLP(4, 2, width=4, depth=2))] == ["hidden"]
    assert find_blocks(nn.Linear(2, 2)) == []


def test_memory_is_counted_alike_each_time_and_falls_by_recomputing() -> None:
    model, inputs = SmallResNet(3, 4, size=(32, 32), width=8), pictures(32)
    targets = torch.zeros(6, dtype=torch.int64)

    def measured() -> tuple[int, float, float]:
        memory = measure_memory(
            model, nn.functional.cross_entropy, inputs, targets, precision="fp32", copies=3
        )
        return memory.fixed, memory.kept, memory.kept_recomputing

    fixed, kept, again = measured()
    assert measured() == (fixed, kept, again)
    weights = sum(p.numel() * 4 for p in model.parameters())
    assert 4 * weights <= fixed <= 4.1 * weights
    # the first convolution's output alone is 8 × 32 × 32 numbers of 4 bytes
    assert kept > 8 * 32 * 32 * 4
    assert again < 0.7 * kept
    memory = measure_memory(model, nn.functional.cross_entropy, inputs, targets, precision="fp32", copies=3)
    assert largest_fitting(memory, fixed + 10.5 * kept, 64, recompute=False) == 8
    assert largest_fitting(memory, fixed + 0.1 * again, 64, recompute=True) == 0


class Strided(nn.Module):
    def __init__(self, groups: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=groups, stride=stride)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.conv(pictures).mean((2, 3))


def test_work_is_counted_from_the_operations() -> None:
    work = measure_work(nn.Linear(10, 20, bias=False), (torch.randn(5, 10),))
    assert (work.operations, work.products, work.convolutions) == (2 * 5 * 10 * 20, 1, False)
    wide, one = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 1)
    assert measure_work(Strided(), (wide,)).operations == 2 * 2 * 9 * 4 * 4 * 9
    assert not measure_work(Strided(stride=2), (wide,)).narrow
    assert measure_work(Strided(stride=2), (one,)).narrow
    assert not measure_work(Strided(), (one,)).narrow
    assert measure_work(Strided(groups=4), (wide,)).grouped
    assert not measure_work(Strided(), (wide,)).grouped
    model = Strided().train()
    measure_work(model, (wide,))
    assert model.training
