"""Whether a loss fits outputs and targets, found out before the first step."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from flambeau.training.losses import Loss


def check_targets(name: str, targets: Tensor, outputs: int) -> None:
    """Whether targets are what a loss of that name expects.

    Args:
        name: a loss by its name in the recipe.
        targets: of all training samples: (n,) or (n, outputs).
        outputs: how many numbers the model gives for a sample.

    Raises:
        ValueError: of another shape, kind or range; the message says which.
    """
    shape = tuple(targets.shape)
    if targets.is_floating_point() and not bool(torch.isfinite(targets).all()):
        row = int(torch.nonzero(~torch.isfinite(targets.flatten(1) if targets.ndim > 1 else targets))[0][0])
        raise ValueError(
            f"targets: got {targets[row].flatten()[0].item()} at sample {row}, expected finite numbers"
        )
    if name in ("cross_entropy", "focal", "kl_div") and targets.ndim == 1:
        if targets.is_floating_point():
            raise ValueError(
                f"targets: got {targets.dtype} of shape {shape}, expected class indices (integers), or probabilities "
                f"of shape (samples, {outputs})"
            )
        if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < outputs:
            raise ValueError(
                f"targets: got class indices from {int(targets.min())} to {int(targets.max())}, "
                f"expected 0 to {outputs - 1} for {outputs} outputs"
            )
    elif name in ("cross_entropy", "focal", "kl_div", "bce_with_logits"):
        if shape[1:] != (outputs,):
            raise ValueError(f"targets: got shape {shape}, expected (samples, {outputs})")
        if len(targets) and not 0 <= float(targets.min()) <= float(targets.max()) <= 1:
            raise ValueError(
                f"targets: got numbers from {float(targets.min()):g} to {float(targets.max()):g}, expected 0 to 1"
            )
    elif not targets.is_floating_point() or targets.numel() != len(targets) * outputs:
        raise ValueError(
            f"targets: got {targets.dtype} of shape {shape}, expected floating-point numbers, {outputs} a sample"
        )


def try_loss(loss: Loss, outputs: Tensor, targets: Tensor) -> float:
    """The loss of a trial batch, after it was found to be one: a finite scalar with a finite gradient.

    Args:
        loss: (outputs, targets) → a scalar.
        outputs: of the model for some samples; nothing is remembered of them.
        targets: of the same samples.

    Raises:
        ValueError: what the loss gave instead.
    """
    leaf = outputs.detach().clone().requires_grad_()
    shapes = f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} of {targets.dtype}"
    with warnings.catch_warnings():
        # torch warns where it is about to compare all pairs of outputs and targets
        warnings.filterwarnings("error", message="Using a target size")
        try:
            value = loss(leaf, targets)
        except Exception as error:  # a person's own loss may raise anything
            got = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            raise ValueError(f"the loss fails on {shapes}: {got}") from error
    if not isinstance(value, Tensor):
        raise ValueError(f"the loss gave a {type(value).__name__}, expected a tensor that is one number")
    if value.numel() != 1:
        raise ValueError(
            f"the loss gave a tensor of shape {tuple(value.shape)} for {shapes}, expected one number: their mean"
        )
    if not value.requires_grad:
        raise ValueError(
            "the loss has no gradient: expected torch functions of the outputs, without .item(), .detach() or numpy"
        )
    if not bool(torch.isfinite(value)):
        raise ValueError(f"the loss gave {value.item()} for {shapes}, expected a finite number")
    (slope,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    if slope is None:
        raise ValueError("the loss does not depend on the outputs")
    if not bool(torch.isfinite(slope).all()):
        raise ValueError(f"the gradient of the loss is not finite for {shapes}")
    return float(value.detach())
