"""The layer table against counts that are worked out by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flambeau.insight.layers import layer_table


class Net(nn.Module):
    """A convolution, a recurrent layer used twice, attention, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, pictures: Tensor) -> Tensor:
        steps = self.norm(self.conv(pictures)).flatten(2).mT
        states, _ = self.lstm(steps)
        mixed, _ = self.attention(states, states, states, need_weights=False)
        return self.head(mixed.mean(1))


def test_shapes_parameters_and_multiply_adds_are_those_of_the_formulas() -> None:
    batch, side = 2, 4
    table = layer_table(Net(), [torch.zeros(batch, 3, side, side)])
    rows = {row.name: row for row in table.rows}
    places = batch * side * side
    assert rows["conv"].output == ((batch, 8, side, side),)
    assert (rows["conv"].parameters, rows["conv"].multiply_adds) == (3 * 8 * 9, places * 3 * 8 * 9)
    assert (rows["norm"].parameters, rows["norm"].multiply_adds) == (16, 0)
    # four gates, each from the input and from the state, with two biases
    assert rows["lstm"].parameters == 4 * 16 * (8 + 16 + 2)
    assert rows["lstm"].multiply_adds == places * 4 * 16 * (8 + 16)
    projections, scores = places * 4 * 16 * 16, batch * 2 * (side * side) ** 2 * 16
    assert rows["attention"].multiply_adds == projections + scores
    assert (rows["head"].parameters, rows["head"].multiply_adds) == (16 * 5 + 5, batch * 16 * 5)
    assert table.total("parameters") == sum(p.numel() for p in Net().parameters())
    assert table.output == ((batch, 5),)
    assert table.counted_on == "meta"
    assert rows["conv"].output_bytes == 4 * places * 8


def test_the_module_stays_as_it_is() -> None:
    module = Net().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    layer_table(module, [torch.zeros(2, 3, 4, 4)])
    assert module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert not any(layer._forward_hooks for layer in module.modules())


class Dynamic(nn.Module):
    """How often its layer runs depends on the numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, numbers: Tensor) -> Tensor:
        for _ in range(2 + int(numbers.sum().item())):
            numbers = self.layer(numbers)
        return numbers


def test_a_way_that_depends_on_the_numbers_is_counted_by_running_it() -> None:
    table = layer_table(Dynamic(), [torch.zeros(1, 4)])
    assert table.counted_on == "cpu"
    assert [(row.calls, row.multiply_adds) for row in table.rows] == [(2, 2 * 16)]


def test_shared_weights_count_once_and_frozen_ones_do_not_learn() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    module[2].weight = module[0].weight
    module[0].bias.requires_grad_(False)
    table = layer_table(module, [torch.zeros(1, 3)])
    assert [row.parameters for row in table.rows] == [12, 0, 3]
    assert [row.trainable for row in table.rows] == [9, 0, 3]


def test_a_module_that_is_one_layer_is_its_own_row() -> None:
    table = layer_table(nn.Linear(3, 2), [torch.zeros(5, 3)])
    assert [(row.name, row.kind, row.multiply_adds) for row in table.rows] == [("", "Linear", 30)]
