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


def part_borders(length: int, train: float, valid: float) -> tuple[int, int]:
    """Where the training part and the validation part of a text of `length` characters end; the rest tests."""
    return round(length * train), round(length * (train + valid))


def gather_windows(tokens: Tensor, length: int) -> Gather:
    """A gather of windows of so many ids of (all,), by where they begin; nothing is copied before it is asked for."""
    windows = tokens.unfold(0, length, 1)

    def gather(begins: Tensor) -> Inputs:
        return (windows.index_select(0, begins.to(tokens.device)).long(),)

    return gather


@dataclass(frozen=True)
class WindowBatches:
    """Training batches of neighbouring windows, whose borders lie elsewhere each epoch: (seed, epoch, step) → batch.

    An epoch reads each token about once: windows stand side by side from a seeded place on, in a seeded order.

    Args:
        tokens: (all,) integer ids of the training part, on the training device.
        context: tokens that are read; those one further on are the targets.
        batch_size: windows a step; an epoch is cut into steps of equal size, give or take one window.
        seed: of places and order.
    """

    tokens: Tensor
    context: int
    batch_size: int
    seed: int

    @property
    def windows(self) -> int:
        """Windows an epoch. The first may begin anywhere in the length of a window, and one token more is a target."""
        return max(1, len(self.tokens) // self.context - 1)

    def __len__(self) -> int:
        """Steps an epoch."""
        return max(1, round(self.windows / self.batch_size))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step `start` on: (batch, context) ids, and the same one token further on."""
        generator = torch.Generator().manual_seed(mix_seed(self.seed, ORDER_STREAM, epoch))
        most = min(self.context, len(self.tokens) - self.context * self.windows)
        first = int(torch.randint(most, (1,), generator=generator))
        begins = first + self.context * torch.randperm(self.windows, generator=generator)
        gather = gather_windows(self.tokens, self.context + 1)
        size, longer = divmod(self.windows, len(self))
        for step in range(start, len(self)):
            begin = step * size + min(step, longer)
            (both,) = gather(begins[begin : begin + size + (step < longer)])
            yield Batch((both[:, :-1].contiguous(),), both[:, 1:].contiguous(), len(both))
