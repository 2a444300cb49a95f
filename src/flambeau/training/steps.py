"""How an optimizer makes its step: once from the gradients, or asking for them again and again."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

Step = Callable[
    [Optimizer, Callable[[], Tensor], Callable[[], Tensor | None], GradScaler | None],
    tuple[Tensor, Tensor | None],
]


def step_once(
    optimizer: Optimizer,
    gradients: Callable[[], Tensor],
    clip: Callable[[], Tensor | None],
    scaler: GradScaler | None,
) -> tuple[Tensor, Tensor | None]:
    """One step from the gradients of one batch.

    Args:
        optimizer: its gradients are cleared before the call.
        gradients: computes them and returns the loss.
        clip: clips them and returns their norm before, where that is known.
        scaler: of fp16; a step whose gradients overflowed is left out, and the scale falls.

    Returns:
        The loss and the norm.
    """
    value = gradients()
    if scaler is None:
        norm = clip()
        optimizer.step()
    else:
        scaler.unscale_(optimizer)
        norm = clip()
        scaler.step(optimizer)
        scaler.update()
    return value, norm


def step_with_closure(
    optimizer: Optimizer,
    gradients: Callable[[], Tensor],
    clip: Callable[[], Tensor | None],
    scaler: GradScaler | None,
) -> tuple[Tensor, Tensor | None]:
    """A step in which the optimizer asks for loss and gradients as often as it needs, as LBFGS does.

    Dropout and other randomness inside the model are the same each time, because `gradients` seeds them.

    Returns:
        The loss and the norm of the gradients at the weights from which the step began.

    Raises:
        ValueError: with a scaler, because LBFGS compares losses of different steps, which scales would change.
    """
    if scaler is not None:
        raise ValueError(
            "precision: got 'fp16' with an optimizer that asks for its gradients again, "
            "as LBFGS does; expected 'fp32' or 'bf16'"
        )
    seen: list[tuple[Tensor, Tensor | None]] = []

    def closure() -> float:
        optimizer.zero_grad(set_to_none=True)
        seen.append((gradients(), clip()))
        return seen[-1][0].item()

    optimizer.step(closure)
    return seen[0]
