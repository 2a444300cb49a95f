"""Optimizers over parameter groups: what decays, what does not, and which part learns at which rate."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

ParameterGroup = dict[str, object]


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, body: Iterable[str] = (), body_lr: float = 1.0
) -> list[ParameterGroup]:
    """Trainable parameters in up to four groups: body or head, decayed or not.

    Matrices and filters decay; biases, normalisation and other vectors do not (the usual practice since
    Loshchilov and Hutter 2019). Each group keeps its largest rate under "peak_lr", which the loop multiplies by
    the schedule.

    Args:
        model: the module.
        lr: the largest learning rate of the head.
        weight_decay: decay of matrices and filters.
        body: names of parameters of a pretrained body.
        body_lr: the body's rate as a share of `lr`.
    """
    body_names = set(body)
    groups: dict[tuple[bool, bool], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name in body_names, parameter.ndim >= 2), []).append((name, parameter))
    if not groups:
        raise ValueError(
            "the model has no trainable parameter: got none with requires_grad, expected at least one"
        )
    result: list[ParameterGroup] = []
    for (is_body, decays), named in sorted(groups.items()):
        rate = lr * body_lr if is_body else lr
        decay = weight_decay if decays else 0.0
        result.append({"params": named, "lr": rate, "peak_lr": rate, "weight_decay": decay})
    return result


def make_adamw(
    groups: list[ParameterGroup], *, beta1: float, beta2: float, device: torch.device
) -> Optimizer:
    """AdamW, fused into one kernel a step where the device has it."""
    return AdamW(groups, betas=(beta1, beta2), fused=device.type in ("cpu", "cuda"))


def make_sgd(groups: list[ParameterGroup], *, momentum: float, device: torch.device) -> Optimizer:
    """SGD with Nesterov momentum (none where momentum is 0), fused where the device has it."""
    return SGD(groups, momentum=momentum, nesterov=momentum > 0, fused=device.type in ("cpu", "cuda"))
