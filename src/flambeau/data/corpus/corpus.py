"""A plain text as one row of token ids: read, divided by place, and cut into windows that are views of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from flambeau.data.batches import ORDER_STREAM, Batch, Gather, Inputs, mix_seed
from flambeau.data.texts.files import TEXT_SUFFIXES, decode_text

DOCUMENT_BREAK = "\n\n"
# Blocks that choose the epoch: so many at most, and none shorter than this.
MOST_BLOCKS = 10
FEWEST_CHARACTERS_A_BLOCK = 2_000
Places = list[tuple[int, int]]


def text_files(source: Path) -> list[Path]:
    """The file itself, or all text files of a folder, to any depth, in the order of their names."""
    if source.is_file():
        return [source]
    found = (path for path in source.rglob("*") if path.suffix.lower() in TEXT_SUFFIXES and path.is_file())
    return sorted(found, key=lambda path: path.relative_to(source).as_posix())


def read_corpus(source: Path) -> str:
    """The text of a file, or of all text files of a folder with an empty line between them."""
    texts = [decode_text(path.read_bytes())[0] for path in text_files(source)]
    return DOCUMENT_BREAK.join(text for text in texts if text.strip())


def divide_places(length: int, train: float, valid: float) -> tuple[Places, Places, Places]:
    """Which places (begin, end) of a text of `length` characters train, choose the epoch, and test.

    The end tests. Blocks at equal distances before it choose the epoch, so that training reaches up to the tested
    part, which most often goes on with what stands just before.
    """
    border, chosen = round(length * (train + valid)), round(length * valid)
    count = max(1, min(MOST_BLOCKS, chosen // FEWEST_CHARACTERS_A_BLOCK))
    size = chosen // count
    starts = [round(border * (2 * number + 1) / (2 * count)) - size // 2 for number in range(count)]
    blocks = [(start, start + size) for start in starts]
    begins, ends = [0, *(end for _, end in blocks)], [*(begin for begin, _ in blocks), border]
    return list(zip(begins, ends, strict=True)), blocks, [(border, length)]


def cut_text(text: str, places: Places) -> tuple[str, ...]:
    """The text at these places."""
    return tuple(text[begin:end] for begin, end in places)


def gather_windows(tokens: Tensor, length: int) -> Gather:
    """A gather of windows of so many ids of (all,), by where they begin; nothing is copied before it is asked for."""
    windows = tokens.unfold(0, length, 1)

    def gather(begins: Tensor) -> Inputs:
        return (windows.index_select(0, begins.to(tokens.device)).long(),)

    return gather


@dataclass(frozen=True)
class WindowBatches:
    """Training batches of neighbouring windows, whose borders lie elsewhere each epoch: (seed, epoch, step) → batch.

    An epoch reads each token about once: in each piece windows stand side by side from a seeded place on, and all are
    read in a seeded order. No window reaches from one piece into another.

    Args:
        tokens: (all,) integer ids of the training part, its pieces one behind the other, on the training device.
        lengths: tokens of each piece; one of them at least is longer than the context.
        context: tokens that are read; those one further on are the targets.
        batch_size: windows a step; an epoch is cut into steps of equal size, give or take one window.
        seed: of places and order.
    """

    tokens: Tensor
    lengths: tuple[int, ...]
    context: int
    batch_size: int
    seed: int

    @property
    def windows(self) -> list[int]:
        """Windows an epoch of each piece; one or two more would fit, which leaves the first its choice of a place."""
        return [max(int(length > self.context), length // self.context - 1) for length in self.lengths]

    def __len__(self) -> int:
        """Steps an epoch."""
        return max(1, round(sum(self.windows) / self.batch_size))

    def begins(self, generator: torch.Generator) -> Tensor:
        """(windows,) int64 places where the windows of an epoch begin, in the order in which they are read."""
        places, before = [], 0
        for length, count in zip(self.lengths, self.windows, strict=True):
            if count:
                spare = length - self.context * count
                first = int(torch.randint(spare, (1,), generator=generator))
                places.append(before + first + self.context * torch.arange(count))
            before += length
        together = torch.cat(places)
        return together[torch.randperm(len(together), generator=generator)]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step `start` on: (batch, context) ids, and the same one token further on."""
        generator = torch.Generator().manual_seed(mix_seed(self.seed, ORDER_STREAM, epoch))
        begins = self.begins(generator)
        gather = gather_windows(self.tokens, self.context + 1)
        size, longer = divmod(len(begins), len(self))
        for step in range(start, len(self)):
            begin = step * size + min(step, longer)
            (both,) = gather(begins[begin : begin + size + (step < longer)])
            yield Batch((both[:, :-1].contiguous(),), both[:, 1:].contiguous(), len(both))
