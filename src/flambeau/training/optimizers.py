"""Optimizers over parameter groups: what decays, what does not, and which part learns at which rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop

from flambeau.models.freezing import layers_from_head

ParameterGroup = dict[str, Any]

NAMES_A_LINE = 3


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    body: Iterable[str] = (),
    body_lr: float = 1.0,
    layer_decay: float = 1.0,
) -> list[ParameterGroup]:
    """Trainable parameters in groups: body or head, decayed or not, and a group a layer where layers differ in rate.

    Matrices and filters decay; biases, normalisation and other vectors do not (the usual practice since
    Loshchilov and Hutter 2019). Each group keeps its largest rate under "peak_lr", which the loop multiplies by
    the schedule.

    Args:
        model: the module.
        lr: the largest learning rate of the head.
        weight_decay: decay of matrices and filters.
        body: names of parameters of a pretrained body.
        body_lr: the body's rate as a share of `lr`.
        layer_decay: each layer's rate as a share of the next one's (Howard and Ruder 2018), counted from the head;
            layers are those of `layers_from_head`.

    Raises:
        ValueError: no parameter of the model is trainable.
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
    return slow_layers(result, layers_from_head(model), layer_decay) if layer_decay < 1.0 else result


def slow_layers(
    groups: list[ParameterGroup], layers: Sequence[Sequence[str]], layer_decay: float
) -> list[ParameterGroup]:
    """Divide groups by layers, each of which learns at a share of the rate of the one before it.

    Args:
        groups: from `parameter_groups`.
        layers: names of parameters, the head first.
        layer_decay: that share.
    """
    result = []
    for group in groups:
        for distance, names in enumerate(layers):
            part = [entry for entry in group["params"] if entry[0] in set(names)]
            rate = group["peak_lr"] * layer_decay**distance
            if part:
                result.append({**group, "params": part, "lr": rate, "peak_lr": rate})
    return result


def describe_groups(groups: Sequence[ParameterGroup]) -> list[str]:
    """A line for each group of an optimizer: how many tensors and numbers, at which rate and decay, and which."""
    lines = []
    for group in groups:
        entries = list(group["params"])
        names = [str(entry[0]) for entry in entries if isinstance(entry, tuple)] or group.get(
            "param_names", []
        )
        tensors: list[Tensor] = [entry[1] if isinstance(entry, tuple) else entry for entry in entries]
        count = sum(tensor.numel() for tensor in tensors)
        rule = " by Muon" if group.get("hidden") else ""
        rate, decay = group.get("peak_lr", group["lr"]), group.get("weight_decay", 0.0)
        listed = ", ".join(names[:NAMES_A_LINE]) + (", …" if len(names) > NAMES_A_LINE else "")
        tensor_word = "tensor" if len(tensors) == 1 else "tensors"
        line = f"{len(tensors):,} {tensor_word}, {count:,} numbers{rule}, rate {rate:.3g}, decay {decay:.3g}"
        lines.append(f"{line}: {listed}" if listed else line)
    return lines


def make_sgd(
    groups: list[ParameterGroup], *, momentum: float, nesterov: bool = True, device: torch.device
) -> Optimizer:
    """SGD with momentum, Nesterov's or plain (none where momentum is 0), fused where the device has it."""
    looks_ahead = nesterov and momentum > 0
    optimizer = SGD(groups, momentum=momentum, nesterov=looks_ahead, fused=device.type in ("cpu", "cuda"))
    if momentum > 0:
        # torch makes them at a parameter's first gradient, and its fused kernel fails where only some have one, as
        # in gradual unfreezing; m · 0 + g is g, so nothing else changes
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def make_adam(
    groups: list[ParameterGroup], *, beta1: float, beta2: float, eps: float = 1e-8, device: torch.device
) -> Optimizer:
    """Adam (Kingma and Ba 2015), whose decay is part of the gradient; fused where the device has it."""
    return Adam(groups, betas=(beta1, beta2), eps=eps, fused=device.type in ("cpu", "cuda"))


def make_adamw(
    groups: list[ParameterGroup], *, beta1: float, beta2: float, eps: float = 1e-8, device: torch.device
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019), fused into one kernel a step where the device has it."""
    return AdamW(groups, betas=(beta1, beta2), eps=eps, fused=device.type in ("cpu", "cuda"))


def make_nadam(
    groups: list[ParameterGroup], *, beta1: float, beta2: float, eps: float = 1e-8, device: torch.device
) -> Optimizer:
    """NAdam (Dozat 2016): Adam with Nesterov's momentum. On a CPU, lists of tensors at once would be a loss."""
    return NAdam(groups, betas=(beta1, beta2), eps=eps, foreach=device.type == "cuda")


def make_rmsprop(
    groups: list[ParameterGroup], *, momentum: float, alpha: float, eps: float = 1e-8, device: torch.device
) -> Optimizer:
    """RMSprop (Hinton 2012), with momentum. On a CPU, lists of tensors at once would be a loss.

    Args:
        alpha: share of the old mean of squares that a step keeps.
    """
    return RMSprop(groups, momentum=momentum, alpha=alpha, eps=eps, foreach=device.type == "cuda")


def make_adagrad(groups: list[ParameterGroup], *, eps: float = 1e-10, device: torch.device) -> Optimizer:
    """Adagrad (Duchi et al. 2011), fused on a CPU."""
    on_cpu = device.type == "cpu"
    return Adagrad(groups, eps=eps, fused=on_cpu, foreach=device.type == "cuda")


def make_lbfgs(groups: list[ParameterGroup], *, device: torch.device) -> Optimizer:
    """LBFGS with a line search (strong Wolfe conditions), for losses that are the same function at every step.

    It asks for the gradients up to 25 times a step and knows neither weight decay nor groups.

    Raises:
        ValueError: groups that differ in rate, or that decay, and filters that lie in memory channels last.
    """
    rates = {group["peak_lr"] for group in groups}
    if len(rates) > 1 or any(group["weight_decay"] for group in groups):
        raise ValueError(
            "lbfgs has one rate and no weight decay: got groups that differ, expected equal ones"
        )
    named = [entry for group in groups for entry in group["params"]]
    if not all(parameter.is_contiguous() for _, parameter in named):
        raise ValueError(
            "LBFGS takes all gradients as one row of numbers: got weights that lie in memory channels last, "
            "expected module.to(memory_format=torch.contiguous_format)"
        )
    rate = rates.pop()
    one = {"params": named, "peak_lr": rate}
    return LBFGS([one], lr=rate, history_size=10, line_search_fn="strong_wolfe")


def make_own_optimizer(
    own: Callable[..., Any], groups: list[ParameterGroup], lr: float, arguments: Mapping[str, Any]
) -> Optimizer:
    """An optimizer of a person's own class: own(groups, lr=lr, **arguments).

    The groups hold plain parameters and their "lr", "peak_lr" and "weight_decay".

    Raises:
        TypeError: it takes other arguments, or is no torch.optim.Optimizer.
    """
    plain = [{**group, "params": [parameter for _, parameter in group["params"]]} for group in groups]
    optimizer = own(plain, lr=lr, **arguments)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"got {type(optimizer).__name__}, expected a class derived from torch.optim.Optimizer"
        )
    for group in optimizer.param_groups:
        group.setdefault("peak_lr", group["lr"])
    return optimizer
