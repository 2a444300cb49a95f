"""A moving average of the weights, which is usually better than the last weights and costs almost nothing."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn


class AveragedTensors(NamedTuple):
    """Tensors of an average beside those that it follows; listed once, because listing costs more than averaging.

    Args:
        averages, values: parameters and float buffers, which are averaged.
        copies, counters: all others, which are copied; also masks with -inf, whose mean would be NaN.
    """

    averages: list[Tensor]
    values: list[Tensor]
    copies: list[Tensor]
    counters: list[Tensor]


def averaged_copy(model: nn.Module) -> nn.Module:
    """A copy of the model to hold the average; it is never trained."""
    average = copy.deepcopy(model)
    return average.requires_grad_(False).eval()


def pair_tensors(average: nn.Module, model: nn.Module) -> AveragedTensors:
    """The tensors of both modules, which stay the same tensors as long as the training lasts."""
    old, new = ([*module.parameters(), *module.buffers()] for module in (average, model))
    masks = {id(buffer) for buffer in model.buffers() if not bool(torch.isfinite(buffer).all())}
    means = [tensor.is_floating_point() and id(tensor) not in masks for tensor in new]
    lists = [
        [tensor.detach() for tensor, mean in zip(tensors, means, strict=True) if mean == wanted]
        for wanted in (True, False)
        for tensors in (old, new)
    ]
    return AveragedTensors(*lists)


@torch.no_grad()
def update_average(tensors: AveragedTensors, *, decay: float, step: int) -> None:
    """average ← d · average + (1 − d) · model, with d = min(decay, (1 + step) / (10 + step)).

    The bound lets the average follow quickly while the first steps move far (as in TensorFlow's
    ExponentialMovingAverage with num_updates).
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(tensors.averages, tensors.values, share)
    for old, new in zip(tensors.copies, tensors.counters, strict=True):
        old.copy_(new)
