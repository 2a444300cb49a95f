"""Compiled training of a model by torch.compile, exact with itself, and evaluated as it is written."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class CompiledTraining:
    """The forward pass of a model: compiled in training mode, as written otherwise and in copies.

    Args:
        forward: the model's own, a bound method.
        model: whose mode decides.
        graphs: replay CUDA graphs, which spares launching kernels one by one.
    """

    def __init__(self, forward: Callable[..., Any], model: nn.Module, *, graphs: bool) -> None:
        self.forward = forward
        self.model = model
        # Shapes that were seen before must not decide which kernel computes: a resumed training saw others.
        mode = "reduce-overhead" if graphs else None
        self.compiled = torch.compile(forward, dynamic=False, mode=mode)

    def __call__(self, *inputs: Any) -> Any:
        return self.compiled(*inputs) if self.model.training else self.forward(*inputs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.forward, memo)


def compile_in_place(model: nn.Module, *, graphs: bool = False) -> nn.Module:
    """Compile a model's training in place; names of weights stay, as with `nn.Module.compile`.

    What was compiled for earlier models is forgotten, so that torch's limit of recompilations is never met by
    several trainings of one run together.
    """
    torch.compiler.reset()
    setattr(model, "forward", CompiledTraining(model.forward, model, graphs=graphs))  # noqa: B010
    return model
