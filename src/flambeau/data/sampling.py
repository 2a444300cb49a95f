"""Samples drawn by weight, so that rare classes are seen as often as frequent ones; by a seeded generator alone."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_weights(targets: Tensor) -> Tensor:
    """(n,) class indices → (n,) float64 weights by which every class that occurs is drawn equally often."""
    counts = torch.bincount(targets)
    return (1.0 / counts.to(torch.float64)[targets]).cpu()


def draw_places(weights: Tensor, generator: torch.Generator) -> Tensor:
    """As many places as there are weights, each as often as its weight asks for, in a random order.

    Systematic resampling (Kitagawa 1996) of a random order: a place that is due 2.3 times comes 2 or 3 times, which
    spreads an epoch more evenly than independent draws.

    Args:
        weights: (n,) float64, none negative, on the CPU.
        generator: of all randomness.

    Returns:
        (n,) int64.
    """
    count = len(weights)
    order = torch.randperm(count, generator=generator)
    ends = weights[order].cumsum(0)
    first = torch.rand(1, generator=generator, dtype=torch.float64)
    points = (torch.arange(count, dtype=torch.float64) + first) * (ends[-1] / count)
    drawn = order[torch.searchsorted(ends, points, right=True).clamp_(max=count - 1)]
    return drawn[torch.randperm(count, generator=generator)]


def count_earlier(places: Tensor) -> Tensor:
    """(n,) int64 → (n,) how many times each one came before in the list."""
    ordered, positions = places.sort(stable=True)
    index = torch.arange(len(places))
    begins = torch.cat([torch.ones(1, dtype=torch.bool), ordered[1:] != ordered[:-1]])
    starts = torch.where(begins, index, 0).cummax(0).values
    earlier = torch.empty_like(places)
    earlier[positions] = index - starts
    return earlier
