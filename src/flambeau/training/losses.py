"""Losses: (outputs, targets) → a scalar that is a true mean over samples, so that accumulation does not change it.

Outputs may have a dimension of ensemble members, (batch, members, outputs): the loss is then the mean over the
members, each of which sees the target (Gorishniy et al. 2024, TabM).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def members_as_rows(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(batch, members, outputs) → (batch · members, outputs), with each target repeated for every member."""
    if outputs.ndim != 3:
        return outputs, targets
    return outputs.flatten(0, 1), targets.repeat_interleave(outputs.shape[1], dim=0)


def classification_loss(
    outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of logits (batch, classes) against class indices (batch,) or probabilities (batch, classes).

    Each sample's loss is multiplied by the weight of its class and the sum divided by the number of samples
    (not by the sum of the weights, as torch does), which keeps the mean exact when a batch is accumulated in parts.
    """
    outputs, targets = members_as_rows(outputs.float(), targets)
    if class_weights is None:
        return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)
    losses = F.cross_entropy(outputs, targets, reduction="none", label_smoothing=label_smoothing)
    weights = targets @ class_weights if targets.is_floating_point() else class_weights[targets]
    return (losses * weights).mean()


def balance_classes(targets: np.ndarray, classes: int) -> Tensor:
    """A weight a class (classes,) by which all classes count alike: rows / (classes · rows of the class).

    Args:
        targets: (n,) class indices of the training rows.
        classes: how many there are.
    """
    counts = np.maximum(1, np.bincount(targets, minlength=classes))
    return torch.tensor(len(targets) / (len(counts) * counts), dtype=torch.float32)


def multilabel_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of logits (batch, labels) against 0 and 1 (batch, labels)."""
    outputs, targets = members_as_rows(outputs.float(), targets)
    return F.binary_cross_entropy_with_logits(outputs, targets)


def regression_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of (batch, 1) against (batch,), both in scaled units."""
    outputs, targets = members_as_rows(outputs.float(), targets)
    return F.mse_loss(outputs.squeeze(1), targets)
