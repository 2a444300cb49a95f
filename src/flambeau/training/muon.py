"""Muon: momentum whose matrices are made orthogonal, for hidden layers; AdamW for everything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from flambeau.models.whiten import WhitenFirst
from flambeau.training.optimizers import ParameterGroup

# Jordan 2024, "Muon: an optimizer for hidden layers in neural networks": a polynomial as steep as possible at 0.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
LEAST_MATRIX_NORM = 1e-7
# The size of a usual update of AdamW, to which that of Muon is brought (Liu et al. 2025, "Muon is scalable").
ADAMW_UPDATE_SIZE = 0.2
# On a CPU, products of thinner matrices are quicker in fp32 than in bf16.
FEWEST_ROWS_IN_BF16 = 32


@torch.no_grad()
def orthogonalise(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest orthogonal matrices, roughly: singular values between about 0.7 and 1.2, by Newton-Schulz.

    Args:
        matrices: (count, rows, columns).
        dtype: in which the products are computed; fp32 or bf16.

    Returns:
        (count, rows, columns) of that dtype.
    """
    first, second, third = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    result = (matrices.mT if tall else matrices).to(dtype)
    result = result / result.norm(dim=(-2, -1), keepdim=True).clamp(min=LEAST_MATRIX_NORM)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = result @ result.mT
        update = torch.baddbmm(square, square, square, beta=second, alpha=third)
        result = torch.baddbmm(result, update, result, beta=first)
    return result.mT if tall else result


class Muon(Optimizer):
    """Momentum + Newton-Schulz for groups with "hidden", AdamW for the others (Jordan 2024).

    Updates are scaled by 0.2 · √max(rows, columns), so that one learning rate and one weight decay suit both kinds of
    groups, and are what suits AdamW (Liu et al. 2025; `adjust_lr_fn="match_rms_adamw"` of torch.optim.Muon, which
    this equals for matrices). Filters are matrices of (filters, everything else). Matrices of one shape are
    computed together.

    Args:
        groups: with "lr", "weight_decay" and "hidden".
        momentum: of the hidden matrices.
        nesterov: whether it looks ahead.
        beta1, beta2, eps: of AdamW.
        dtype: of the Newton-Schulz products.
    """

    def __init__(
        self,
        groups: list[ParameterGroup],
        *,
        momentum: float,
        nesterov: bool,
        beta1: float,
        beta2: float,
        eps: float,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0, "hidden": False})
        self.momentum = momentum
        self.nesterov = nesterov
        self.betas = (beta1, beta2)
        self.eps = eps
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step from the gradients; those without one stay. Returns what the closure gives, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            if group["hidden"]:
                self._step_hidden(parameters, group["lr"], group["weight_decay"])
            else:
                self._step_rest(parameters, group["lr"], group["weight_decay"])
        return loss

    def _step_hidden(self, parameters: list[Tensor], lr: float, weight_decay: float) -> None:
        by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            state = self.state[parameter]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            average = state["momentum_buffer"].lerp_(gradient, 1 - self.momentum)
            update = gradient.lerp(average, self.momentum) if self.nesterov else average
            matrix = update.flatten(1)
            by_shape.setdefault((matrix.shape[0], matrix.shape[1]), []).append((parameter, matrix))
        for shape, pairs in by_shape.items():
            thin = min(shape) < FEWEST_ROWS_IN_BF16 and pairs[0][0].device.type == "cpu"
            dtype = torch.float32 if thin else self.dtype
            together = orthogonalise(torch.stack([matrix for _, matrix in pairs]), dtype)
            size = ADAMW_UPDATE_SIZE * math.sqrt(max(shape))
            for (parameter, _), update in zip(pairs, together, strict=True):
                parameter.mul_(1 - lr * weight_decay)
                parameter.add_(update.view(parameter.shape), alpha=-lr * size)

    def _step_rest(self, parameters: list[Tensor], lr: float, weight_decay: float) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        states = [self.state[parameter] for parameter in parameters]
        fused = parameters[0].device.type in ("cpu", "cuda")
        if not fused:
            # the plain kernel counts its steps on the CPU; a restored count lies where the parameter does
            for state in states:
                state["step"] = state["step"].cpu()
        adamw(
            parameters,
            [parameter.grad for parameter in parameters],  # type: ignore[misc]  # those without were left out
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=fused,
            foreach=False,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=lr,
            weight_decay=weight_decay,
            eps=self.eps,
            maximize=False,
        )


def hidden_weights(model: nn.Module) -> list[str]:
    """Names of the matrices and filters between the first layer and the head, for which Muon is made.

    Weights of linear layers and convolutions count; embeddings, vectors and parameters that a module holds by itself
    do not. The last such layer is the head, unless the model holds a matrix of its own with "head" in its name. Behind
    `WhitenFirst` the first trained layer is a hidden one.
    """
    inner = [
        f"{name}.weight".removeprefix(".")
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    known = set(inner)
    own_head = any(
        "head" in name and parameter.ndim >= 2 and name not in known
        for name, parameter in model.named_parameters()
    )
    first = 0 if isinstance(model, WhitenFirst) else 1
    return inner[first:] if own_head else inner[first:-1]


def make_muon(
    groups: list[ParameterGroup],
    *,
    hidden: Iterable[str],
    momentum: float,
    nesterov: bool = True,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    precision: str = "fp32",
    device: torch.device,
) -> Optimizer:
    """Muon for the hidden weights, AdamW for the rest.

    Args:
        groups: from `parameter_groups`; each is divided where some of its parameters are hidden weights.
        hidden: from `hidden_weights`.
        momentum: of the hidden weights.
        beta1, beta2, eps: of AdamW.
        precision: of the training; in bf16, and on a GPU, the orthogonalisation is computed in bf16.
    """
    names = set(hidden)
    divided: list[ParameterGroup] = []
    for group in groups:
        for is_hidden in (False, True):
            part = [entry for entry in group["params"] if (entry[0] in names) == is_hidden]
            if part:
                divided.append({**group, "params": part, "hidden": is_hidden})
    low = device.type == "cuda" or precision == "bf16"
    return Muon(
        divided,
        momentum=momentum,
        nesterov=nesterov,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        dtype=torch.bfloat16 if low else torch.float32,
    )
