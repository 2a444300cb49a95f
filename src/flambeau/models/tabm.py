"""TabM: many small networks for tables in one, sharing almost all of their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flambeau.models.embeddings import TableFeatures


class TabM(nn.Module):
    """An ensemble of multilayer perceptrons that share their layers (TabM-mini, Gorishniy et al. 2024, "TabM:
    Advancing Tabular Deep Learning with Parameter-Efficient Ensembling").

    Member k sees the feature vector x through its own scale r_k and speaks through its own head:

        h_k = MLP(r_k ⊙ x),   y_k = V_k h_k + b_k,   k = 1 … members,

    with one MLP (Linear → ReLU → dropout, `depth` times) for all. r_k is drawn once a feature, not once a unit of its
    embedding, so that members differ in how they weigh features. Each member is trained on every sample with its own
    loss; the prediction is the mean of the members' predictions.

    Args:
        number_features: numbers a row; 0 for none.
        cardinalities: indices of each category column; empty for none.
        outputs: classes, labels, or 1 for a regression.
        members: networks in the ensemble.
        width: units of each hidden layer.
        depth: hidden layers, at least 1.
        dropout: share of units dropped in training.
        bins: bins of the piecewise-linear embedding of a number; 0 for none.
        embedding_width: length of the vector of one number, where bins is not 0.

    Shapes: numbers (batch, number_features), categories (batch, columns) int64 → (batch, members, outputs).

    Raises:
        ValueError: depth or members below 1.
    """

    def __init__(
        self,
        number_features: int,
        cardinalities: Sequence[int],
        outputs: int,
        *,
        members: int = 16,
        width: int = 128,
        depth: int = 2,
        dropout: float = 0.0,
        bins: int = 0,
        embedding_width: int = 8,
    ) -> None:
        super().__init__()
        if depth < 1 or members < 1:
            raise ValueError(f"depth and members must be at least 1, got depth {depth} and members {members}")
        self.features = TableFeatures(
            number_features, cardinalities, bins=bins, embedding_width=embedding_width
        )
        self.scales = nn.Parameter(draw_scales(members, self.features.widths, signs_only=bins == 0))
        self.first = nn.Linear(self.features.width, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.dropout = dropout
        bound = 1 / math.sqrt(width)
        self.heads = nn.Parameter(torch.empty(members, width, outputs).uniform_(-bound, bound))
        self.head_biases = nn.Parameter(torch.empty(members, outputs).uniform_(-bound, bound))

    def set_bins(self, numbers: np.ndarray) -> None:
        """Put the bin edges at quantiles of prepared training numbers (rows, number_features). They become state."""
        self.features.set_bins(numbers)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        features = self.features(numbers, categories)  # (batch, features)
        units = self._activate(self._apply_first(features))  # (batch, members, width)
        for layer in self.hidden:
            units = self._activate(layer(units))
        outputs = torch.bmm(units.transpose(0, 1), self.heads).transpose(0, 1)
        return outputs + self.head_biases

    def _apply_first(self, features: Tensor) -> Tensor:
        # W (r ⊙ x) = (W ⊙ r) x: scaling the weights spares a copy of the features for every member.
        weights = self.scales.unsqueeze(1) * self.first.weight  # (members, width, features)
        units = F.linear(features, weights.flatten(0, 1))
        return units.unflatten(1, weights.shape[:2]) + self.first.bias

    def _activate(self, units: Tensor) -> Tensor:
        return F.dropout(torch.relu(units), self.dropout, self.training)


def draw_scales(members: int, widths: Sequence[int], *, signs_only: bool) -> Tensor:
    """(members, sum of widths): one random number for each member and feature, repeated over the feature's units."""
    drawn = torch.randn(members, len(widths))
    if signs_only:
        drawn = torch.where(drawn < 0, -1.0, 1.0)
    return drawn.repeat_interleave(torch.tensor(widths, dtype=torch.int64), dim=1)
