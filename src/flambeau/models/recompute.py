"""Activation checkpointing by block: keep only what enters a block, and compute the rest again backwards."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

# Convolution, normalisation and activation are one block, not three.
LAYERS_A_BLOCK = 3


class Recomputed:
    """The forward pass of a module, whose inner activations are not kept in training (Chen et al. 2016).

    It gives the very gradients of a pass that keeps them: dropout draws the same numbers again, and batch
    normalisation does not count the second pass in its statistics. Copies of the module keep their activations.

    Args:
        forward: the module's own.
        modules: whose normalisations are inside it.
    """

    def __init__(self, forward: Callable[..., Any], modules: list[nn.Module]) -> None:
        self.forward = forward
        self.norms = [norm for module in modules for norm in module.modules() if isinstance(norm, _BatchNorm)]

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.forward(*inputs, **named)
        return checkpoint(self.forward, *inputs, use_reentrant=False, context_fn=self.contexts, **named)

    def contexts(self) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        """Of the first pass, and of the second."""
        return nullcontext(), without_statistics(self.norms)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.forward, memo)


@contextmanager
def without_statistics(norms: list[_BatchNorm]) -> Iterator[None]:
    """Batch normalisations normalise as in training, and leave their running statistics as they are."""
    momenta = [norm.momentum for norm in norms]
    counts = [
        None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone() for norm in norms
    ]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)


class Segments:
    """The forward pass of a flat sequence of layers, in runs of about √n layers that are each computed again."""

    def __init__(self, layers: nn.Sequential) -> None:
        size = max(1, math.isqrt(len(layers)))
        runs: list[list[nn.Module]] = []
        for layer in layers:
            # a layer that overwrites its input must not begin a run, whose input is what is kept
            if not runs or (len(runs[-1]) >= size and not getattr(layer, "inplace", False)):
                runs.append([])
            runs[-1].append(layer)
        self.forward = layers.forward
        self.runs = [Recomputed(nn.Sequential(*run).forward, run) for run in runs]

    def __call__(self, features: Tensor) -> Any:
        for run in self.runs:
            features = run(features)
        return features

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.forward, memo)


def find_blocks(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Name and module of each block: the parts of the outermost sequences (nn.Sequential, nn.ModuleList) of a model.

    A sequence of plain layers is one block, which is cut when it is computed; so is a model without a sequence.
    """
    found: list[tuple[str, nn.Module]] = []
    inside = ""
    for name, module in model.named_modules():
        if inside and name.startswith(inside):
            continue
        if not isinstance(module, nn.Sequential | nn.ModuleList) or len(module) < 2:
            continue
        inside = f"{name}." if name else "."
        parts = [(f"{name}.{key}".lstrip("."), part) for key, part in module.named_children()]
        deep = [(key, part) for key, part in parts if any(True for _ in part.children())]
        if deep:
            found += deep
        elif isinstance(module, nn.Sequential):
            found.append((name, module))
        else:
            found += parts
        if not name:
            break
    return found


def recompute_blocks(model: nn.Module) -> nn.Module:
    """Let every block of a model be computed again backwards, in place; names and values of weights stay.

    Args:
        model: whose blocks are called with tensors; one without a sequence of layers stays as it is.
    """
    for _, block in find_blocks(model):
        if _overwrites_its_input(block):
            continue
        # setattr, because a type checker knows `forward` as a method, which stays as it is in the class
        if isinstance(block, nn.Sequential) and _is_flat(block):
            setattr(block, "forward", Segments(block))  # noqa: B010
        else:
            setattr(block, "forward", Recomputed(block.forward, [block]))  # noqa: B010
    return model


def _overwrites_its_input(block: nn.Module) -> bool:
    """Whether its first layer works in place: what enters such a block is not there a second time."""
    first = next((part for part in block.modules() if not any(True for _ in part.children())), block)
    return bool(getattr(first, "inplace", False))


def _is_flat(block: nn.Sequential) -> bool:
    """Whether it is a row of plain layers, longer than a block."""
    return len(block) > LAYERS_A_BLOCK and not any(True for part in block for _ in part.children())
