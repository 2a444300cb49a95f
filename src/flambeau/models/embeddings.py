"""Numbers and categories of a table as vectors that a network learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

NARROWEST_BIN = 1e-6
MOST_BIN_ROWS = 200_000


class PiecewiseLinearEmbedding(nn.Module):
    """Each number becomes a vector by a learned, continuous, piecewise-linear function.

    Feature x with bin edges b_0 < … < b_T is encoded bin by bin (Gorishniy et al. 2022, "On Embeddings for Numerical
    Features in Tabular Deep Learning", eq. 1) as

        e_t = min(1, max(0, (x - b_{t-1}) / (b_t - b_{t-1}))),   t = 1 … T

    and the vector is  v x + c + W e,  with its own v, c and W for every feature. W starts at 0, so the network starts
    linear in x and bends only where that helps (as in Gorishniy et al. 2024, "TabM"). The paper lets the outer bins
    go on beyond 1 and below 0; here only v x goes on, because a narrow outer bin would make a far value enormous.
    Bins of no width, which pad features with few distinct values, encode as 0.

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
        """Take bin edges (features, bins + 1), ascending along the second dimension; they become state.

        Raises:
            ValueError: another shape.
        """
        if edges.shape != self.edges.shape:
            raise ValueError(f"bin edges must be {tuple(self.edges.shape)}, got {tuple(edges.shape)}")
        self.edges.copy_(edges)

    def encode(self, numbers: Tensor) -> Tensor:
        """The encoding e: (batch, features) → (batch, features, bins)."""
        low, gap = self.edges[:, :-1], self.edges.diff(dim=1)
        wide = gap > NARROWEST_BIN
        slope = torch.where(wide, 1 / torch.where(wide, gap, 1.0), 0.0)
        return ((numbers.unsqueeze(-1) - low) * slope).clamp(0, 1)

    def forward(self, numbers: Tensor) -> Tensor:
        encoded = self.encode(numbers).transpose(0, 1)  # (features, batch, bins)
        bent = torch.bmm(encoded, self.bends).transpose(0, 1)
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
            return categories.new_zeros((categories.shape[0], 0), dtype=torch.float32)
        return torch.cat(blocks, dim=1)


class TableFeatures(nn.Module):
    """Numbers and categories of a row as one vector.

    Args:
        number_features: how many numbers; 0 for none.
        cardinalities: indices of each category column; empty for none.
        bins: bins of the piecewise-linear embedding of a number; 0 passes the numbers on as they are.
        embedding_width: length of the vector of one number, where bins is not 0.

    Shapes: numbers (batch, number_features), categories (batch, columns) int64 → (batch, width).
    """

    def __init__(
        self, number_features: int, cardinalities: Sequence[int], *, bins: int = 0, embedding_width: int = 8
    ) -> None:
        super().__init__()
        self.numbers: PiecewiseLinearEmbedding | None = None
        if bins and number_features:
            self.numbers = PiecewiseLinearEmbedding(number_features, bins, embedding_width)
        self.categories = CategoryEmbedding(cardinalities)
        number_width = embedding_width if self.numbers is not None else 1
        self.widths = (number_width,) * number_features + self.categories.widths
        self.width = sum(self.widths)

    def set_bins(self, numbers: np.ndarray) -> None:
        """Put the bin edges at quantiles of training numbers (rows, number_features); nothing to do without bins."""
        if self.numbers is not None:
            bins = self.numbers.edges.shape[1] - 1
            self.numbers.set_edges(torch.from_numpy(quantile_bins(numbers, bins)))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        embedded = numbers if self.numbers is None else self.numbers(numbers).flatten(1)
        return torch.cat([embedded, self.categories(categories)], dim=1)


def quantile_bins(numbers: np.ndarray, bins: int) -> np.ndarray:
    """Bin edges with about equally many training values in each bin, and an edge on every frequent value.

    Plain quantiles waste their edges where most rows share one value (a sum that is mostly 0): the rest of the
    column would fall into two or three bins. So a value that fills a bin of its own gets one edge, and the other
    edges go to the rest of the rows.

    Args:
        numbers: (rows, features) finite. Of more than `MOST_BIN_ROWS` rows, evenly spaced ones are used.
        bins: bins a feature; features with fewer distinct values repeat their last edge.

    Returns:
        (features, bins + 1) float32, ascending along the second dimension.

    Raises:
        ValueError: no rows.
    """
    if len(numbers) == 0:
        raise ValueError("bins need at least one row, got none")
    sample = numbers[:: math.ceil(len(numbers) / MOST_BIN_ROWS)]
    edges = np.empty((numbers.shape[1], bins + 1), dtype=np.float32)
    for feature in range(numbers.shape[1]):
        values, counts = np.unique(sample[:, feature].astype(np.float32), return_counts=True)
        chosen = values[_choose_edges(counts, bins + 1)]
        edges[feature, : len(chosen)] = chosen
        edges[feature, len(chosen) :] = chosen[-1]
    return edges


def _choose_edges(counts: np.ndarray, room: int) -> np.ndarray:
    """Positions of at most `room` values, given how often each occurs in ascending order of the values."""
    if len(counts) <= room:
        return np.arange(len(counts))
    chosen = np.zeros(len(counts), dtype=bool)
    chosen[[0, -1]] = True
    while (left := room - int(chosen.sum())) > 0:
        mass = np.where(chosen, 0, counts)
        frequent = np.flatnonzero(mass * left > mass.sum())
        if len(frequent) == 0:
            shares = np.cumsum(mass) / mass.sum()
            chosen[np.searchsorted(shares, (np.arange(left) + 0.5) / left)] = True
            break
        chosen[frequent[np.argsort(-mass[frequent], kind="stable")[:left]]] = True
    return np.flatnonzero(chosen)
