"""Seeded batches: whole batches gathered by index, changed on the device, a function of (seed, epoch, step) alone.

The state of the data is therefore two integers, and a run resumes in the middle of an epoch without replaying it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from flambeau.data.sampling import count_earlier, draw_places
from flambeau.transforms.draws import Draws

Inputs = tuple[Tensor, ...]
Gather = Callable[[Tensor], Inputs]
Change = Callable[[Inputs, Tensor, Draws], tuple[Inputs, Tensor]]
Arrange = Callable[[Tensor, int, torch.Generator], Tensor]

ORDER_STREAM, CHANGE_STREAM, DROPOUT_STREAM, INIT_STREAM = 1, 2, 3, 4
LARGEST_BATCH = 512
PIXELS_A_BATCH = LARGEST_BATCH * 128 * 128
# What is gathered and changed at once, several small steps or a piece of a large one: few enough values to stay in
# the processor's cache meanwhile, and in memory that the allocator need not ask the system for each time.
BLOCK_VALUES = 2**19
BLOCK_STEPS = 64
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


class Batch(NamedTuple):
    """One step's samples.

    Args:
        inputs: of the model, each (batch, ...).
        targets: (batch, ...).
        count: samples of this step over all processes.
    """

    inputs: Inputs
    targets: Tensor
    count: int  # type: ignore[assignment]  # tuple's own count is of no use here


@dataclass(frozen=True)
class Batches:
    """Training batches over given rows, in a new order each epoch.

    Args:
        gather: (rows,) int64 → the inputs of those rows, each (rows, ...), on the training device.
        targets: (all rows, ...) on the training device.
        rows: (count,) int64, the rows to train on.
        batch_size: samples a step, over all processes; an epoch is cut into steps of equal size, give or take
            one sample, so that no last step is tiny (a batch of one has no batch statistics).
        seed: of the order and of the changes.
        change: random changes of samples, such as augmentation and mixup: (inputs, targets, draws) → both.
            Several batches may come at once, one behind the other.
        rank: which of the processes this is.
        ranks: how many processes share the samples of each step; pairs of neighbours stay together.
        arrange: (random order, steps, generator) → the order of an epoch, such as one whose steps hold samples of
            about one length. Each step is then gathered by itself.
        weights: (count,) float64 of `rows`: an epoch draws each as often as its weight asks for; None takes each once.

    Raises:
        ValueError: on iteration, where a step has fewer pairs of samples than there are processes.
    """

    gather: Gather
    targets: Tensor
    rows: Tensor
    batch_size: int
    seed: int
    change: Change | None = None
    rank: int = 0
    ranks: int = 1
    arrange: Arrange | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        """Steps an epoch."""
        return max(1, round(len(self.rows) / self.batch_size))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step `start` on."""
        generator = torch.Generator()
        generator.manual_seed(mix_seed(self.seed, ORDER_STREAM, epoch))
        if self.weights is None:
            order = self.rows[torch.randperm(len(self.rows), generator=generator)]
        else:
            order = self.rows[draw_places(self.weights, generator)]
        if self.arrange is not None:
            order = self.arrange(order, len(self), generator)
        size = len(order) // len(self)
        if (size + 1) // 2 < self.ranks:
            least = 2 * self.ranks - 1
            raise ValueError(f"{self.ranks} processes need steps of {least} samples or more, got {size}")
        values = max(1, sum(part.numel() for part in self.gather(order[:1])))
        together = max(1, min(BLOCK_STEPS, BLOCK_VALUES // (values * size)))
        together = 1 if self.arrange is not None else together
        if self.weights is not None:
            # a sample that comes again is changed in another way
            order = order + len(self.targets) * count_earlier(order)
        # Blocks begin at multiples of their length also where an epoch is resumed in the middle of one: the place
        # of a batch in memory decides how a matrix product sums up, so it must be the same.
        for first in range(start - start % together, len(self), together):
            steps = range(first, min(first + together, len(self)))
            block = self._block(order, epoch, steps, most=max(2, BLOCK_VALUES // values // 2 * 2))
            yield from islice(block, max(0, start - first), None)

    def _block(self, order: Tensor, epoch: int, steps: range, most: int) -> Iterator[Batch]:
        """The batches of neighbouring steps, gathered and changed at once, or up to `most` samples of one step."""
        size, longer = divmod(len(order), len(self))
        begins = [step * size + min(step, longer) for step in (*steps, steps.stop)]
        counts = [end - begin for begin, end in pairwise(begins)]
        shares = [share_of_step(count, self.rank, self.ranks) for count in counts]
        sizes = [end - begin for begin, end in shares]
        if self.ranks == 1:
            rows = order[begins[0] : begins[-1]]
        else:
            places = zip(begins, shares, strict=False)
            rows = torch.cat([order[at + begin : at + end] for at, (begin, end) in places])
        if len(steps) > 1 or self.change is None or self.targets.device.type != "cpu":
            most = len(rows)
        pieces = (self._changed(piece, epoch, sizes) for piece in rows.split(most))
        made = join_pieces(pieces, len(rows))
        for count, *own, aims in zip(counts, *(part.split(sizes) for part in made), strict=True):
            yield Batch(tuple(own), aims, count)

    def _changed(self, rows: Tensor, epoch: int, sizes: list[int]) -> tuple[Tensor, ...]:
        """The changed inputs of these rows, and last their targets."""
        device = self.targets.device
        keys = rows
        if self.weights is not None:
            rows = keys % len(self.targets)
        inputs, targets = self.gather(rows), self.targets.index_select(0, rows.to(device))
        if self.change is not None:
            whole = sizes if sum(sizes) == len(rows) else [len(rows)]
            draws = Draws(mix_seed(self.seed, CHANGE_STREAM), epoch, keys, device, whole)
            inputs, targets = self.change(inputs, targets, draws)
        return *inputs, targets


def join_pieces(pieces: Iterator[tuple[Tensor, ...]], count: int) -> tuple[Tensor, ...]:
    """Tensors (count, ...) on the CPU, whose neighbouring samples come in pieces."""
    whole: tuple[Tensor, ...] = ()
    end = 0
    for piece in pieces:
        if len(piece[0]) == count:
            return piece
        whole = whole or tuple(room_for(part, count) for part in piece)
        begin, end = end, end + len(piece[0])
        for one, part in zip(whole, piece, strict=True):
            one[begin:end] = part
    return whole


def room_for(part: Tensor, count: int) -> Tensor:
    """An empty tensor (count, ...) on the CPU that lies in memory as `part` does."""
    last = (
        part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last) and not part.is_contiguous()
    )
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty((count, *part.shape[1:]), dtype=part.dtype, memory_format=layout)


def share_of_step(count: int, rank: int, ranks: int) -> tuple[int, int]:
    """Where the samples of one process begin and end in a step of so many samples, cut between pairs."""
    pairs = (count + 1) // 2
    return 2 * (pairs * rank // ranks), min(count, 2 * (pairs * (rank + 1) // ranks))


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
        return tuple(tensor.index_select(0, rows.to(tensor.device)) for tensor in tensors)

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
        host = torch.from_numpy(block)
        if device.type == "cuda":
            # only from pinned memory can a device copy while it computes
            host = host.pin_memory()
        return (prepare(host.to(device, non_blocking=True)),)

    return gather


def gather_present(
    pixels: np.ndarray, places: np.ndarray, prepare: Callable[[Tensor], Tensor], device: torch.device
) -> Gather:
    """A gather over the pictures of a column, some rows of which have none.

    Args:
        pixels: (pictures, height, width, channels) uint8 in memory or in a memory map.
        places: (rows,) int64 position of each row's picture, -1 where there is none.
        prepare: turns (batch, height, width, channels) uint8 on the device into what the model takes.
        device: of the result.

    Returns:
        rows → what `prepare` gives, of zeros where there is no picture, and present (batch,) float32.
    """

    def gather(rows: Tensor) -> Inputs:
        wanted = places[rows.numpy()]
        there = wanted >= 0
        block = np.zeros((len(wanted), *pixels.shape[1:]), dtype=pixels.dtype)
        block[there] = pixels[wanted[there]]
        present = torch.from_numpy(there.astype(np.float32)).to(device)
        return prepare(torch.from_numpy(block).to(device)), present

    return gather


def join_gathers(gathers: Sequence[Gather]) -> Gather:
    """One gather whose inputs are those of all, in their order."""

    def gather(rows: Tensor) -> Inputs:
        return tuple(part for one in gathers for part in one(rows))

    return gather
