"""A moving average of the weights, which is usually better than the last weights and costs almost nothing."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def averaged_copy(model: nn.Module) -> nn.Module:
    """A copy of the model to hold the average; it is never trained."""
    average = copy.deepcopy(model)
    return average.requires_grad_(False).eval()


def average_tensors(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors that are averaged (parameters and float buffers) and tensors that are copied (counters)."""
    tensors = [*model.parameters(), *model.buffers()]
    return [t for t in tensors if t.is_floating_point()], [t for t in tensors if not t.is_floating_point()]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, decay: float, step: int) -> None:
    """average ← d · average + (1 − d) · model, with d = min(decay, (1 + step) / (10 + step)).

    The bound lets the average follow quickly while the first steps move far (as in TensorFlow's
    ExponentialMovingAverage with num_updates).
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    averaged, copied = average_tensors(average)
    current, counters = average_tensors(model)
    torch._foreach_lerp_(averaged, current, share)
    for old, new in zip(copied, counters, strict=True):
        old.copy_(new)
