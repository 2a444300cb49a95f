"""Numbers and categories of a table as vectors that a network learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


class PiecewiseLinearEmbedding(nn.Module):
    """Each number becomes a vector by a learned, continuous, piecewise-linear function.

    Feature x with bin edges b_0 < … < b_T is encoded as (Gorishniy et al. 2022, "On Embeddings for Numerical
    Features in Tabular Deep Learning", eq. 1)

        e_t = (x - b_{t-1}) / (b_t - b_{t-1}), not below 0 for t > 1 and not above 1 for t < T,

    so values beyond the outer edges go on linearly. The vector is  v x + W e  with its own v and W for every feature,
    W starting at 0 (the variant of Gorishniy et al. 2024, "TabM", section A): the network starts linear in x and
    bends only where that helps. Bins of no width, which pad features with few distinct values, encode as 0.

    Args:
        features: how many numbers.
        bins: bins of each.
        width: length of the vector of one number.

    Shapes: (batch, features) → (batch, features, width).
    """

    edges: Tensor

    def __init__(self, features: int, bins: int, width: int) -> None:
        super().__init__()
        self.register_buffer("edges", torch.linspace(-1.0, 1.0, bins + 1).repeat(features, 1))
        self.linear = nn.Parameter(torch.empty(features, width).uniform_(-1, 1))
        self.bias = nn.Parameter(torch.empty(features, width).uniform_(-1, 1))
        self.bends = nn.Parameter(torch.zeros(features, bins, width))

    def set_edges(self, edges: Tensor) -> None:
        """Take bin edges (features, bins + 1), ascending along the second dimension; they become state."""
        if edges.shape != self.edges.shape:
            raise ValueError(f"edges must have shape {tuple(self.edges.shape)}, got {tuple(edges.shape)}")
        self.edges.copy_(edges)

    def encode(self, numbers: Tensor) -> Tensor:
        """The encoding e: (batch, features) → (batch, features, bins)."""
        low, high = self.edges[:, :-1], self.edges[:, 1:]
        gap = high - low
        shares = (numbers.unsqueeze(-1) - low) / torch.where(gap > 0, gap, torch.ones_like(gap))
        first, last = self._outer_bins()
        shares = torch.where(first, shares, shares.clamp(min=0))
        shares = torch.where(last, shares, shares.clamp(max=1))
        return torch.where(gap > 0, shares, torch.zeros_like(shares))

    def _outer_bins(self) -> tuple[Tensor, Tensor]:
        positions = torch.arange(self.edges.shape[1] - 1, device=self.edges.device)
        used = (self.edges[:, 1:] > self.edges[:, :-1]).sum(dim=1, keepdim=True)
        return positions == 0, positions >= used - 1

    def forward(self, numbers: Tensor) -> Tensor:
        encoded = self.encode(numbers.float())
        bent = torch.bmm(encoded.transpose(0, 1), self.bends).transpose(0, 1)
        return torch.addcmul(self.bias, numbers.unsqueeze(-1), self.linear) + bent


class CategoryEmbedding(nn.Module):
    """Categories as vectors, side by side; index 0 (rare or unknown) is the zero vector.

    Columns with few values are one-hot; the others have a learned vector a value, because a one-hot vector of
    thousands would cost more than it tells.

    Args:
        cardinalities: indices of each column.
        one_hot_limit: the largest cardinality that is one-hot encoded.

    Shapes: (batch, columns) int64 → (batch, width), width as in the attribute of that name.
    """

    def __init__(self, cardinalities: Sequence[int], one_hot_limit: int = 64) -> None:
        super().__init__()
        self.cardinalities = tuple(cardinalities)
        self.widths = tuple(
            size - 1 if size <= one_hot_limit else min(64, round(1.6 * size**0.56)) for size in cardinalities
        )
        self.width = sum(self.widths)
        self.tables = nn.ModuleDict()
        for position, (size, width) in enumerate(zip(self.cardinalities, self.widths, strict=True)):
            if width != size - 1:
                table = nn.Embedding(size, width, padding_idx=0)
                nn.init.normal_(table.weight[1:], std=1 / math.sqrt(width))
                self.tables[str(position)] = table

    def forward(self, categories: Tensor) -> Tensor:
        blocks = []
        for position, size in enumerate(self.cardinalities):
            column = categories[:, position]
            if str(position) in self.tables:
                blocks.append(self.tables[str(position)](column))
            else:
                known = torch.arange(1, size, device=column.device)
                blocks.append((column.unsqueeze(-1) == known).float())
        if not blocks:
            return categories.new_zeros((len(categories), 0), dtype=torch.float32)
        return torch.cat(blocks, dim=1)


def quantile_bins(numbers: np.ndarray, bins: int) -> np.ndarray:
    """Bin edges at the quantiles of training values.

    Args:
        numbers: (rows, features) finite.
        bins: bins a feature; features with fewer distinct quantiles repeat their last edge.

    Returns:
        (features, bins + 1) float32, ascending along the second dimension.
    """
    levels = np.linspace(0, 1, bins + 1)
    edges = np.empty((numbers.shape[1], bins + 1), dtype=np.float32)
    for feature in range(numbers.shape[1]):
        distinct = np.unique(np.quantile(numbers[:, feature], levels).astype(np.float32))
        edges[feature, : len(distinct)] = distinct
        edges[feature, len(distinct) :] = distinct[-1]
    return edges
