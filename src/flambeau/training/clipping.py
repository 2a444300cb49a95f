"""Clipping of gradients, and the sizes of gradients and updates at the end of an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Clip = Callable[[list[Tensor]], Tensor | None]


def no_clipping(parameters: list[Tensor]) -> Tensor | None:
    """Leave gradients as they are."""
    return None


def clip_gradients(parameters: list[Tensor], *, norm: float = 0.0, value: float = 0.0) -> Tensor | None:
    """Clip the gradients in place, each entry first where both are asked for (Pascanu et al. 2013).

    Args:
        parameters: those without a gradient are passed over.
        norm: largest 2-norm of all gradients together; 0 for no clipping.
        value: largest size of each entry; 0 for no clipping.

    Returns:
        The norm before it was clipped, a scalar; None where the norm is not clipped.
    """
    if value > 0:
        nn.utils.clip_grad_value_(parameters, value)
    return nn.utils.clip_grad_norm_(parameters, norm) if norm > 0 else None


class MeasuredClip:
    """A clip function that also measures: the gradient's norm before clipping by norm, and how far the step went.

    It is used once an epoch, because it keeps a copy of the weights. The copy is made when the gradients are
    computed and the activations are gone, so that it is not on top of a step's most memory.

    Args:
        clip: what it stands for.
        parameters: those that are trained.
    """

    def __init__(self, clip: Clip, parameters: list[Tensor]) -> None:
        self.clip = clip
        self.parameters = parameters
        self.before: list[Tensor] = []
        self.norm = torch.tensor(math.nan)

    def __call__(self, parameters: list[Tensor]) -> Tensor | None:
        """Clip; of several calls in one step (LBFGS makes them) the first is measured.

        The norm is that which `clip` gives, as on other steps; its own where `clip` gives none.
        """
        if self.before:
            self.clip(parameters)
            return self.norm
        self.before = [parameter.detach().clone() for parameter in self.parameters]
        measured = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        known = self.clip(parameters)
        self.norm = measured if known is None else known
        return self.norm

    def update_ratio(self) -> float:
        """‖Δw‖ / ‖w‖ of the step that was made since; about 1e-3 is usual; NaN where no step was measured."""
        if not self.before:
            return math.nan
        changes = [now.detach() - old for now, old in zip(self.parameters, self.before, strict=True)]
        weights = nn.utils.get_total_norm(self.before).item()
        return nn.utils.get_total_norm(changes).item() / max(1e-30, weights)
