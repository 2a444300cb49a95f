"""Raw columns to the two arrays that a table model takes, inside an exported graph.

The arithmetic is that of `flambeau.transforms.scaling`, in float64, column by column; tests compare both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flambeau.deploy.export.dates import date_part
from flambeau.deploy.export.normal import float64, normal_quantiles
from flambeau.transforms.scaling import (
    DATE_PARTS,
    LARGEST_NORMAL,
    LARGEST_SCALED,
    LARGEST_VALUE,
    NumberFeature,
)
from flambeau.transforms.table import TablePreparation


class QuantileScale(nn.Module):
    """Several columns mapped through their training distributions to a normal one, as `to_normal_quantiles`.

    The place of a value among the quantiles is found by bisection: as many gathers as the number of quantiles has
    binary digits, whatever the batch.

    Args:
        features: with their quantiles, whose number may differ.

    Shapes: (batch, features) float64, finite → the same.
    """

    knots: Tensor
    levels: Tensor
    counts: Tensor
    starts: Tensor

    def __init__(self, features: Sequence[NumberFeature]) -> None:
        super().__init__()
        counts = [len(feature.quantiles) for feature in features]
        knots = [torch.tensor(feature.quantiles, dtype=torch.float64) for feature in features]
        levels = [torch.linspace(0, 1, count, dtype=torch.float64) for count in counts]
        self.register_buffer("knots", torch.cat(knots))
        self.register_buffer("levels", torch.cat(levels))
        self.register_buffer("counts", torch.tensor(counts))
        self.register_buffer("starts", torch.tensor([0, *counts[:-1]]).cumsum(0))
        self.steps = [2**power for power in reversed(range(max(counts).bit_length()))]

    def forward(self, values: Tensor) -> Tensor:
        from_below = self._interpolate(values, self._count_knots(values, below_only=False) - 1)
        from_above = self._interpolate(values, self._count_knots(values, below_only=True) - 1)
        return _within(normal_quantiles((from_below + from_above) / 2), LARGEST_NORMAL)

    def _count_knots(self, values: Tensor, *, below_only: bool) -> Tensor:
        """How many knots are below each value, or at it: (batch, features) int64."""
        count = torch.zeros_like(values, dtype=torch.int64)
        for step in self.steps:
            tried = (count + step).minimum(self.counts)
            knots = self._pick(self.knots, tried - 1)
            count = torch.where(knots < values if below_only else knots <= values, tried, count)
        return count

    def _interpolate(self, values: Tensor, left: Tensor) -> Tensor:
        """The level between knot `left` and the next; -1 stands for before the first knot."""
        last = self.counts - 1
        inside = left.clamp(min=0).minimum(last - 1)
        start, end = self._pick(self.knots, inside), self._pick(self.knots, inside + 1)
        first, second = self._pick(self.levels, inside), self._pick(self.levels, inside + 1)
        gap = torch.where(end > start, end - start, torch.ones_like(start))
        share = ((values - start) / gap).clamp(0.0, 1.0)
        share = torch.where(left >= last, torch.ones_like(share), share)
        share = torch.where(left < 0, torch.zeros_like(share), share)
        return first + share * (second - first)

    def _pick(self, table: Tensor, places: Tensor) -> Tensor:
        """Entries of a flat table at places (batch, features) counted from each feature's own start."""
        return table.index_select(0, (places + self.starts).flatten()).reshape(places.shape)


class TableAndText(nn.Module):
    """What tables with texts take: scaled numbers and category indices, if there are such columns, and tokens.

    Args:
        columns: of numbers and categories; None where there are only texts.
        text: raw texts (batch, any) → tokens (batch, length).

    Shapes: the raw columns, then the text → what the model takes, in its order.
    """

    def __init__(self, columns: nn.Module | None, text: nn.Module) -> None:
        super().__init__()
        self.columns, self.text = columns, text

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        tokens = self.text(raw[-1])
        return (tokens,) if self.columns is None else (*self.columns(*raw[:-1]), tokens)


class TableColumns(nn.Module):
    """Raw columns to scaled numbers and category indices; equal to `TablePreparation.transform`.

    Args:
        preparation: of the bundle.
        columns: names of the inputs that are numbers, booleans or dates, in order; the categories follow in the
            order of the preparation.

    Shapes: number columns (batch,) float64, NaN for missing (dates in seconds since 1970), then category columns
    (batch,) int64 → numbers (batch, number_features) float32 and categories (batch, columns) int64.
    """

    fill: Tensor

    def __init__(self, preparation: TablePreparation, columns: Sequence[str]) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.parts = [(self.columns.index(f.column), f.part) for f in preparation.numbers]
        self.categories = len(preparation.categories)
        groups: dict[str, list[int]] = {}
        for position, feature in enumerate(preparation.numbers):
            groups.setdefault("constant" if _is_constant(feature) else feature.scaling, []).append(position)
        self.groups = groups
        self.quantile: nn.Module = nn.Identity()
        if "quantile" in groups:
            self.quantile = QuantileScale([preparation.numbers[i] for i in groups["quantile"]])
        order = [position for members in groups.values() for position in members]
        inverse = [order.index(position) for position in range(len(order))]
        self.register_buffer("inverse", torch.tensor(inverse, dtype=torch.int64))
        for name in ("fill", "centre", "spread"):
            values = [getattr(feature, name) for feature in preparation.numbers]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))
        for name, members in groups.items():
            self.register_buffer(f"of_{name}", torch.tensor(members, dtype=torch.int64))

    def forward(self, *raw: Tensor) -> tuple[Tensor, Tensor]:
        numbers, categories = raw[: len(self.columns)], raw[len(self.columns) :]
        batch = raw[0].shape[0]
        prepared = torch.zeros((batch, 0), dtype=torch.float32, device=raw[0].device)
        if self.parts:
            values = torch.stack([self._part(numbers[column], part) for column, part in self.parts], dim=1)
            prepared = self._scale(values).to(torch.float32)
        if not categories:
            return prepared, torch.zeros((batch, 0), dtype=torch.int64, device=raw[0].device)
        return prepared, torch.stack(list(categories), dim=1)

    def _part(self, values: Tensor, part: str) -> Tensor:
        if part == "missing":
            return (~_is_finite(values)).to(torch.float64)
        return date_part(values, part) if part in DATE_PARTS else values

    def _scale(self, values: Tensor) -> Tensor:
        """(batch, features) raw float64 with NaN → the same shape, scaled."""
        filled = torch.where(_is_finite(values), values, self.fill)
        bounded = _within(filled, LARGEST_VALUE)
        bounded = torch.where(bounded.abs() < float64(1 / LARGEST_VALUE), torch.zeros_like(bounded), bounded)
        blocks = []
        for name in self.groups:
            members = self.get_buffer(f"of_{name}")
            part = bounded.index_select(1, members)
            if name == "constant":
                part = torch.zeros_like(part)
            elif name == "quantile":
                part = self.quantile(part)
            elif name != "none":
                centre, spread = self.fixed("centre", members), self.fixed("spread", members)
                part = _within((part - centre) / spread, LARGEST_SCALED)
                if name == "robust":
                    part = part / torch.sqrt(1.0 + (part / 3.0) * (part / 3.0))
            blocks.append(part)
        return torch.cat(blocks, dim=1).index_select(1, self.get_buffer("inverse"))

    def fixed(self, name: str, members: Tensor) -> Tensor:
        """The fitted values of these features."""
        return self.get_buffer(name).index_select(0, members)


def _is_constant(feature: NumberFeature) -> bool:
    return feature.spread == 0 and feature.scaling != "none"


def _is_finite(values: Tensor) -> Tensor:
    # a comparison with NaN is false, which every format agrees on
    return values.abs() < math.inf


def _within(values: Tensor, limit: float) -> Tensor:
    """Values cut to ±limit."""
    return torch.minimum(torch.maximum(values, float64(-limit)), float64(limit))
