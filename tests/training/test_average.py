"""The moving average of a model whose buffers are not all numbers to be averaged."""

from __future__ import annotations

import torch
from torch import nn

from flambeau.training.average import averaged_copy, pair_tensors, update_average


class Causal(nn.Module):
    """A layer with a mask of -inf, a statistic and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
        self.register_buffer("statistic", torch.zeros(3))
        self.register_buffer("counter", torch.tensor(0))


def test_a_mask_of_infinities_is_copied() -> None:
    model = Causal()
    average = averaged_copy(model)
    pairs = pair_tensors(average, model)
    mask = model.mask.clone()
    for step in range(3):
        model.statistic += 1.0
        model.counter += 1
        with torch.no_grad():
            model.layer.weight += 1.0
        update_average(pairs, decay=0.9, step=step)
    assert torch.equal(average.mask, mask)
    assert average.counter == 3
    assert torch.isfinite(average.layer.weight).all()
    assert 0.0 < average.statistic[0] < 3.0
    assert not torch.equal(average.layer.weight, model.layer.weight)
