"""Random numbers of samples: a function of (seed, epoch, sample, number of the call), whatever batch a sample is in.

So equal samples are changed in equal ways by one process and by many, in large batches and in small ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

# The step of splitmix64: 2^64 divided by the golden ratio.
GOLDEN = 0x9E3779B97F4A7C15
LARGEST_BITS = 2**64 - 1


def scramble_bits(numbers: np.ndarray) -> np.ndarray:
    """The output function of splitmix64 (Steele, Lea and Flood 2014): (n,) uint64 → (n,) uint64, one to one."""
    numbers = (numbers ^ (numbers >> 30)) * 0xBF58476D1CE4E5B9
    numbers = (numbers ^ (numbers >> 27)) * 0x94D049BB133111EB
    return numbers ^ (numbers >> 31)


class Draws:
    """Numbers drawn for the samples of a batch; each call gives the next stream of them.

    Args:
        seed: of all draws, from 0 to 2^64 - 1.
        epoch: the numbers of another epoch are others.
        rows: (batch,) int64 on the CPU: which sample each one is.
        device: where the numbers are wanted. They are computed on the CPU, where so few are done soonest.
        sizes: samples of each batch where several lie one behind the other; none for one batch.
    """

    def __init__(
        self, seed: int, epoch: int, rows: Tensor, device: torch.device, sizes: Sequence[int] = ()
    ) -> None:
        self.epoch = epoch
        self.rows = rows
        self.device = device
        self.sizes = tuple(sizes) or (len(rows),)
        self._calls = 0
        places = (rows.numpy().astype(np.uint64) + 1) * GOLDEN
        self._same_each_epoch = scramble_bits(places + seed)
        self._state = scramble_bits(self._same_each_epoch + ((epoch + 1) * GOLDEN & LARGEST_BITS))

    def uniform(self) -> Tensor:
        """(batch,) float32 numbers from 0 to below 1 on the device."""
        return self._on_device(self._next())

    def uniform_for_all_epochs(self) -> Tensor:
        """(batch,) float32 numbers from 0 to below 1 on the device, the same ones in each epoch and call."""
        return self._on_device(_to_shares(self._same_each_epoch))

    def beta(self, alpha: float) -> Tensor:
        """(batch,) float32 numbers of the distribution Beta(alpha, alpha) on the device.

        Raises:
            ValueError: for an alpha that is not above 0.
        """
        if alpha <= 0:
            raise ValueError(f"alpha of mixup must be above 0, got {alpha}")
        # float64, because the quantiles near 0 and 1 are steep
        shares = self._next().astype(np.float64)
        return self._on_device(betaincinv(alpha, alpha, shares).astype(np.float32))

    def partners(self) -> Tensor:
        """(batch,) int64 on the device: each sample's neighbour, 0 with 1, 2 with 3; an odd last one is its own.

        As batches lie in a random order, neighbours are random pairs; a batch cut between pairs keeps them.
        """
        sizes = np.asarray(self.sizes)
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        places = np.arange(len(starts)) - starts
        neighbours = places ^ 1
        alone = neighbours >= np.repeat(sizes, sizes)
        return self._on_device(starts + np.where(alone, places, neighbours))

    def _next(self) -> np.ndarray:
        self._calls += 1
        return _to_shares(scramble_bits(self._state + (self._calls * GOLDEN & LARGEST_BITS)))

    def _on_device(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers).to(self.device, non_blocking=True)


def _to_shares(numbers: np.ndarray) -> np.ndarray:
    """The upper 24 bits of (n,) uint64 as float32 from 0 to below 1, all of them exact."""
    return (numbers >> 40).astype(np.float32) * np.float32(2.0**-24)
