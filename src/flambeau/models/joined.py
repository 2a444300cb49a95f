"""Modules that stand around others: one tensor made of a table's two, and several models judged as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class JoinedInputs(nn.Module):
    """Hands a module one tensor: the numbers, then 0/1 for each known category (index 0, unknown, is all zeros).

    Args:
        module: (batch, number_features + sum of (cardinality - 1)) → (batch, outputs).
        cardinalities: the number of indices of each category column.

    Shapes: (batch, number_features) and (batch, category_columns) → (batch, outputs).
    """

    def __init__(self, module: nn.Module, cardinalities: Sequence[int]) -> None:
        super().__init__()
        self.module = module
        self.cardinalities = tuple(cardinalities)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        blocks = [numbers]
        for position, cardinality in enumerate(self.cardinalities):
            blocks.append(F.one_hot(categories[:, position], cardinality)[:, 1:].to(numbers.dtype))
        return self.module(torch.cat(blocks, dim=1))


class Ensemble(nn.Module):
    """Several models side by side. Their predictions, not their outputs, are averaged, so all outputs are given.

    Shapes: inputs → (batch, members, outputs), where a member that is an ensemble itself counts as its members.
    """

    def __init__(self, models: Iterable[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs = [model(*inputs) for model in self.models]
        return torch.cat([part if part.ndim == 3 else part.unsqueeze(1) for part in outputs], dim=1)
