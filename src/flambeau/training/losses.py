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


def in_full(outputs: Tensor) -> Tensor:
    """Outputs in fp32 at least: a softmax of bf16 numbers would lose the small probabilities."""
    return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs


def classification_loss(
    outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of logits (batch, classes) against class indices (batch,) or probabilities (batch, classes).

    Each sample's loss is multiplied by the weight of its class and the sum divided by the number of samples
    (not by the sum of the weights, as torch does), which keeps the mean exact when a batch is accumulated in parts.
    """
    outputs, targets = members_as_rows(in_full(outputs), targets)
    if class_weights is None:
        return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)
    losses = F.cross_entropy(outputs, targets, reduction="none", label_smoothing=label_smoothing)
    return (losses * weights_of(targets, class_weights)).mean()


def weights_of(targets: Tensor, class_weights: Tensor) -> Tensor:
    """(batch,) weights of samples, from the weights of their classes; of blended targets, their mean."""
    return targets @ class_weights.to(targets) if targets.is_floating_point() else class_weights[targets]


def as_probabilities(targets: Tensor, outputs: Tensor, label_smoothing: float) -> Tensor:
    """Class indices (batch,) or probabilities (batch, classes) as smoothed probabilities, in the outputs' dtype."""
    classes = outputs.shape[1]
    shares = targets.to(outputs) if targets.is_floating_point() else F.one_hot(targets, classes).to(outputs)
    return shares * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else shares


def focal_loss(
    outputs: Tensor,
    targets: Tensor,
    *,
    gamma: float,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy in which samples that are right already count less: −(1 − p)^gamma · log p (Lin et al. 2017).

    Args:
        outputs: logits (batch, classes).
        targets: class indices (batch,), or probabilities (batch, classes), of which each class's part is weighed.
        gamma: 0 is cross-entropy.
        label_smoothing, class_weights: as for `classification_loss`.
    """
    outputs, targets = members_as_rows(in_full(outputs), targets)
    log_p = F.log_softmax(outputs, dim=1)
    shares = as_probabilities(targets, outputs, label_smoothing)
    losses = -(shares * unsure(log_p, gamma) * log_p).sum(1)
    if class_weights is not None:
        losses = losses * weights_of(targets, class_weights)
    return losses.mean()


def unsure(log_p: Tensor, gamma: float) -> Tensor:
    """(1 − p)^gamma from log p, with a gradient that stays finite where p is 1."""
    return (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny) ** gamma


def kl_loss(
    outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Kullback-Leibler divergence of the softmax of logits (batch, classes) from target probabilities, a sample's mean.

    Targets may be class indices too; the loss is then cross-entropy less what smoothing makes unavoidable.
    """
    outputs, targets = members_as_rows(in_full(outputs), targets)
    shares = as_probabilities(targets, outputs, label_smoothing)
    losses = F.kl_div(F.log_softmax(outputs, dim=1), shares, reduction="none").sum(1)
    if class_weights is not None:
        losses = losses * weights_of(targets, class_weights)
    return losses.mean()


def balance_classes(targets: np.ndarray, classes: int) -> Tensor:
    """A weight a class (classes,) by which all classes count alike: rows / (classes · rows of the class).

    Args:
        targets: (n,) class indices of the training rows.
        classes: how many there are.
    """
    counts = np.maximum(1, np.bincount(targets, minlength=classes))
    return torch.tensor(len(targets) / (len(counts) * counts), dtype=torch.float32)


def multilabel_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of logits (batch, labels) against numbers from 0 to 1 (batch, labels)."""
    outputs, targets = members_as_rows(in_full(outputs), targets)
    return F.binary_cross_entropy_with_logits(outputs, targets)


def multilabel_focal_loss(outputs: Tensor, targets: Tensor, *, gamma: float) -> Tensor:
    """The binary form of `focal_loss`, of logits (batch, labels) against numbers from 0 to 1 (batch, labels)."""
    outputs, targets = members_as_rows(in_full(outputs), targets)
    yes, no = F.logsigmoid(outputs), F.logsigmoid(-outputs)
    losses = targets * unsure(yes, gamma) * yes + (1 - targets) * unsure(no, gamma) * no
    return -losses.mean()


def token_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of logits (batch, length, vocabulary) against token ids (batch, length), the mean over tokens.

    Negative targets are padding and count for nothing.
    """
    return F.cross_entropy(in_full(outputs).flatten(0, 1), targets.flatten().clamp(min=-1), ignore_index=-1)


def count_tokens(targets: Tensor) -> int:
    """Over how many tokens `token_loss` is a mean of these targets (batch, length)."""
    return int((targets >= 0).sum())


def regression_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of (batch, 1) against (batch,), both in scaled units."""
    outputs, targets = members_as_rows(in_full(outputs), targets)
    return F.mse_loss(outputs.squeeze(1), targets)


def l1_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error of (batch, 1) against (batch,), both in scaled units."""
    outputs, targets = members_as_rows(in_full(outputs), targets)
    return F.l1_loss(outputs.squeeze(1), targets)


def smooth_l1_loss(outputs: Tensor, targets: Tensor, *, beta: float) -> Tensor:
    """Absolute error, rounded by a parabola where it is below `beta` (Girshick 2015), both in scaled units."""
    outputs, targets = members_as_rows(in_full(outputs), targets)
    return F.smooth_l1_loss(outputs.squeeze(1), targets, beta=beta)


def huber_loss(outputs: Tensor, targets: Tensor, *, delta: float) -> Tensor:
    """Half the squared error, from `delta` on a straight line (Huber 1964), both in scaled units."""
    outputs, targets = members_as_rows(in_full(outputs), targets)
    return F.huber_loss(outputs.squeeze(1), targets, delta=delta)


def quantile_loss(outputs: Tensor, targets: Tensor, *, quantile: float) -> Tensor:
    """The pinball loss, which is least at a quantile of the target (Koenker and Bassett 1978)."""
    outputs, targets = members_as_rows(in_full(outputs), targets)
    errors = targets - outputs.squeeze(1)
    return torch.maximum(quantile * errors, (quantile - 1) * errors).mean()


def one_each(outputs: Tensor, targets: Tensor) -> Tensor:
    """Outputs in fp32 at least, and (batch, 1) as (batch,) where the targets are numbers (batch,).

    Otherwise the difference of outputs and targets would be a table of all pairs.
    """
    outputs = in_full(outputs)
    numbers = targets.is_floating_point() and targets.ndim == 1
    return outputs.squeeze(1) if numbers and outputs.shape[1:] == (1,) else outputs


def own_loss(outputs: Tensor, targets: Tensor, *, function: Loss, members: bool = False) -> Tensor:
    """A person's own function of (outputs, targets), which never gets a stray dimension; see `one_each`.

    Args:
        outputs, targets: of the model, and what they should be.
        function: (outputs, targets) → their mean, one number.
        members: whether outputs are (batch, members, outputs), which it gets as rows with repeated targets.
    """
    if members:
        outputs, targets = members_as_rows(outputs, targets)
    return function(one_each(outputs, targets), targets)


def supervised_contrastive_loss(embeddings: Tensor, labels: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Samples of one class are drawn together, others apart (Khosla et al. 2020, "Supervised contrastive learning").

    For anchor i with positives P(i), among all other samples A(i), of unit vectors z:

        −1/|P(i)| · Σ_{p ∈ P(i)} log( exp(z_i·z_p / t) / Σ_{a ∈ A(i)} exp(z_i·z_a / t) ),

    and the mean over the anchors that have positives (0 where none has). It compares the samples of a batch with each
    other, so it is no mean over samples: a batch accumulated in parts is another loss than the whole batch.

    Args:
        embeddings: (batch, features), or (batch, views, features) with several views of each sample; not normalised.
        labels: (batch,) class indices.
        temperature: t.
    """
    embeddings, labels = members_as_rows(in_full(embeddings), labels)
    directions = F.normalize(embeddings, dim=1)
    likeness = directions @ directions.mT / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    log_shares = likeness - likeness.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    counts = positive.sum(1)
    # not multiplied by 0: of a batch of one, the share of nothing in nothing is infinite
    losses = -log_shares.masked_fill(~positive, 0.0).sum(1) / counts.clamp(min=1)
    return losses.sum() / (counts > 0).sum().clamp(min=1)
