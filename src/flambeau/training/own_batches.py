"""Batches that a person brings, made a function of (seed, epoch, step) as far as that can be done from outside."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flambeau.data.batches import CHANGE_STREAM, ORDER_STREAM, Batch, Inputs, mix_seed

# An iterable that does not know its length is counted; one of more batches is taken for one without an end.
MOST_COUNTED = 100_000


class OwnBatches:
    """Any iterable of (inputs, targets) that can be walked again each epoch, such as a DataLoader or a list.

    Before an epoch begins, and before each batch is asked for, the generators of torch, numpy and Python are seeded
    from (seed, epoch, step), and a DataLoader's or sampler's own generator from its own seed and the epoch; what has
    `set_epoch(epoch)` is told the epoch. So a resumed run walks past the batches that were done and then sees the
    same ones, with workers or without. Workers that outlive an epoch (`persistent_workers`) keep random states of
    their own, and what they draw is not repeated.

    Args:
        batches: gives pairs of (inputs, targets); inputs are a tensor, or several in a tuple or list.
        device: to which they are moved.
        seed: of what is random in them.
        name: what messages call them.

    Raises:
        ValueError: they can be walked only once, or have no end; on iteration also for a batch that is no such pair,
            and for an epoch with fewer batches than the first had.
    """

    def __init__(
        self, batches: Iterable[Any], device: torch.device, *, seed: int = 0, name: str = "train_batches"
    ) -> None:
        if isinstance(batches, Iterator):
            raise ValueError(
                f"{name}: got a {type(batches).__name__}, which can be walked only once; expected a DataLoader, a "
                "list, or another object that begins again with each iter()"
            )
        self.batches = batches
        self.device = device
        self.seed = seed
        self.name = name
        self._length: int | None = None

    def __len__(self) -> int:
        """Steps an epoch, counted by walking through once where the iterable does not know."""
        if self._length is None:
            try:
                self._length = len(self.batches)  # type: ignore[arg-type]
            except TypeError:
                self._length = sum(1 for _ in islice(self.batches, MOST_COUNTED + 1))
            if self._length > MOST_COUNTED and not hasattr(self.batches, "__len__"):
                raise ValueError(
                    f"{self.name}: got no end after {MOST_COUNTED:,} batches; expected an iterable with an end, or "
                    "with __len__, which tells how many are an epoch"
                ) from None
        return self._length

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """The batches of one epoch from step `start` on, moved to the device."""
        kept = [(generator, generator.get_state()) for generator in self._generators()]
        try:
            for generator, _ in kept:
                generator.manual_seed(mix_seed(generator.initial_seed(), ORDER_STREAM, epoch))
            for owner in self._owners():
                if hasattr(owner, "set_epoch"):
                    owner.set_epoch(epoch)
            seed_everything(mix_seed(self.seed, ORDER_STREAM, epoch))
            walk = iter(self.batches)
            seed = mix_seed(self.seed, CHANGE_STREAM, epoch)
            for step in range(len(self)):
                seed_everything(seed + step)
                try:
                    batch = next(walk)
                except StopIteration:
                    raise ValueError(
                        f"{self.name}: epoch {epoch + 1} gave {step} batches, expected {len(self)} as in the first"
                    ) from None
                if step >= start:
                    yield self._to_device(batch, step)
        finally:
            # the same object then gives the same batches in another training
            for generator, state in kept:
                generator.set_state(state)

    def _owners(self) -> list[Any]:
        """The iterable, and what decides the order inside it."""
        inner = (getattr(self.batches, name, None) for name in ("sampler", "batch_sampler"))
        return [self.batches, *(owner for owner in inner if owner is not None)]

    def _generators(self) -> list[torch.Generator]:
        found = {id(g): g for g in (getattr(owner, "generator", None) for owner in self._owners())}
        return [generator for generator in found.values() if isinstance(generator, torch.Generator)]

    def _to_device(self, batch: Any, step: int) -> Batch:
        inputs, targets = self._checked(batch, f"{self.name}, batch {step + 1}")
        moved = tuple(part.to(self.device, non_blocking=True) for part in inputs)
        return Batch(moved, targets.to(self.device, non_blocking=True), len(targets))

    @staticmethod
    def _checked(batch: Any, where: str) -> tuple[Inputs, Tensor]:
        """A batch as a tuple of inputs and its targets. Raises ValueError for anything else."""
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(
                f"{where}: got {in_words(batch)}, expected a pair (inputs, targets); bring them into this shape in "
                "the Dataset or the collate_fn"
            )
        inputs = tuple(batch[0]) if isinstance(batch[0], (tuple, list)) else (batch[0],)
        targets = batch[1]
        for part, role in (*((part, "inputs") for part in inputs), (targets, "targets")):
            if not isinstance(part, Tensor) or part.ndim == 0:
                raise ValueError(
                    f"{where}: got {role} that are {in_words(part)}, expected a tensor whose first dimension counts "
                    "the samples" + (", or a tuple of them" if role == "inputs" else "")
                )
        lengths = [len(part) for part in (*inputs, targets)]
        if len(set(lengths)) > 1 or lengths[-1] == 0:
            raise ValueError(
                f"{where}: got {', '.join(map(str, lengths[:-1]))} samples in the inputs and {lengths[-1]} targets, "
                "expected the same number of both, at least 1"
            )
        return inputs, targets


def seed_everything(seed: int) -> None:
    """Seed the generators that a person's data may draw from in this process."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def in_words(value: Any) -> str:
    """What a value is, for a message."""
    if isinstance(value, dict):
        return f"a {type(value).__name__} with the keys " + ", ".join(repr(key) for key in list(value)[:6])
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
