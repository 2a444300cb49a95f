"""A person's loss in `fit`: of a step, and as the mean over validation batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from flambeau.evaluation.validation import Validation
from flambeau.training.losses import Loss, one_each
from flambeau.training.own_batches import OwnBatches


def one_number(outputs: Any, targets: Tensor, *, function: Callable[[Any, Tensor], Tensor]) -> Tensor:
    """A person's loss as one number; of outputs that are a tensor it gets what `one_each` gives.

    Raises:
        ValueError: it gives something else than one number.
    """
    if isinstance(outputs, Tensor):
        outputs = one_each(outputs, targets)
    value = function(outputs, targets)
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss: got {got}, expected one number, the mean over the batch (reduction='mean')")
    return value.reshape(())


def mean_loss(
    module: nn.Module, batches: OwnBatches, loss: Loss, weight_of: Callable[[Tensor], int] = len
) -> Validation:
    """The mean loss over batches, in fp32, each weighed by its samples, or the terms of which its loss is a mean."""
    module.eval()
    losses, weights = [], []
    # not inference_mode, whose tensors could not be trained with where a module keeps some
    with torch.no_grad():
        for inputs, targets, _ in batches.epoch(0):
            weight = int(weight_of(targets))
            if weight:
                losses.append(loss(module(*inputs), targets))
                weights.append(weight)
    if not weights:
        raise ValueError(f"{batches.name}: got targets without a term by weight_of, expected at least one")
    # read at the end, so that a GPU is waited for once
    values = torch.stack(losses).cpu().double()
    value = float((values * torch.tensor(weights)).sum() / sum(weights))
    return Validation(loss=value, score=value)
