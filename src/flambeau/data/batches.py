"""Seeded batches: whole batches gathered by index, changed on the device, a function of (seed, epoch, step) alone.

The state of the data is therefore two integers, and a run resumes in the middle of an epoch without replaying it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Inputs = tuple[Tensor, ...]
Gather = Callable[[Tensor], Inputs]
Change = Callable[[Inputs, Tensor, torch.Generator], tuple[Inputs, Tensor]]

ORDER_STREAM, CHANGE_STREAM, DROPOUT_STREAM, INIT_STREAM = 1, 2, 3, 4
LARGEST_BATCH = 512
PIXELS_A_BATCH = LARGEST_BATCH * 128 * 128
_MASK = (1 << 64) - 1


def mix_seed(*parts: int) -> int:
    """A 63-bit seed from several integers, by rounds of splitmix64 (Steele et al. 2014).

    Neighbouring epochs and steps give unrelated seeds, which adding them up would not.
    """
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


@dataclass(frozen=True)
class Batches:
    """Training batches over given rows, in a new order each epoch.

    Args:
        gather: (rows,) int64 → the inputs of those rows, each (rows, ...), on the training device.
        targets: (all rows, ...) on the training device.
        rows: (count,) int64, the rows to train on.
        batch_size: samples a step; an epoch is cut into steps of equal size, give or take one sample, so that
            no last step is tiny (a batch of one has no batch statistics).
        seed: of the order and of the changes.
        change: random changes of a batch, such as augmentation and mixup: (inputs, targets, generator) → both.
    """

    gather: Gather
    targets: Tensor
    rows: Tensor
    batch_size: int
    seed: int
    change: Change | None = None

    def __len__(self) -> int:
        """Steps an epoch."""
        return max(1, round(len(self.rows) / self.batch_size))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """The batches of one epoch from step `start` on."""
        device = self.targets.device
        generator = torch.Generator()
        generator.manual_seed(mix_seed(self.seed, ORDER_STREAM, epoch))
        order = self.rows[torch.randperm(len(self.rows), generator=generator)]
        for step, rows in enumerate(order.tensor_split(len(self))):
            if step < start:
                continue
            inputs, targets = self.gather(rows), self.targets[rows.to(device)]
            if self.change is not None:
                generator.manual_seed(mix_seed(self.seed, CHANGE_STREAM, epoch, step))
                inputs, targets = self.change(inputs, targets, generator)
            yield inputs, targets


def evaluation_batch(pixels: int = 0) -> int:
    """Samples to evaluate at once: fewer of larger pictures (of so many pixels each), so that memory is bounded."""
    return max(1, min(LARGEST_BATCH, PIXELS_A_BATCH // max(1, pixels)))


def ordered_batches(gather: Gather, rows: Tensor, batch_size: int) -> Iterator[Inputs]:
    """The inputs of the given rows (count,) int64 in their order, unchanged: for evaluation."""
    for start in range(0, len(rows), batch_size):
        yield gather(rows[start : start + batch_size])


def gather_tensors(*tensors: Tensor) -> Gather:
    """A gather over tensors that share their first dimension; they stay where they are."""

    def gather(rows: Tensor) -> Inputs:
        return tuple(tensor[rows.to(tensor.device)] for tensor in tensors)

    return gather


def gather_pixels(pixels: np.ndarray, prepare: Callable[[Tensor], Tensor], device: torch.device) -> Gather:
    """A gather over pixels (count, height, width, channels) in memory or in a memory map.

    `prepare` turns (batch, height, width, channels) integers on the device into what the model takes.
    16-bit pixels travel as int32, because few operations know uint16.
    """

    def gather(rows: Tensor) -> Inputs:
        block = pixels[rows.numpy()]
        if block.dtype == np.uint16:
            block = block.astype(np.int32)
        return (prepare(torch.from_numpy(block).to(device, non_blocking=True)),)

    return gather
