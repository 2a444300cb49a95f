"""A person's own DataLoader as items: its sampler says which samples there are, its collate function what they are."""

from __future__ import annotations

import os
from typing import Any

from flambeau.errors import DataError

MOST_ITEMS = 50_000_000
# What a list keeps of a sample, beside its numbers.
BYTES_AN_ITEM = 500


def most_bytes() -> int:
    """Half of this machine's memory: what samples that live in Python alone may take."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return 2**33
    return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE")) // 2


def is_loader(source: Any) -> bool:
    """Whether this is a torch DataLoader, or something that is made like one."""
    return all(hasattr(source, part) for part in ("__iter__", "dataset", "collate_fn"))


class ItemsOfBatches:
    """The samples of a loader, walked through once; each is (input, target), as in a Dataset.

    Args:
        loader: gives batches (inputs, targets) of equal length.
        name: of it, for messages.

    Raises:
        DataError: a batch fails, is no such pair, or there are more than fit into memory.
    """

    def __init__(self, loader: Any, name: str) -> None:
        self.items: list[tuple[Any, Any]] = []
        self.bytes, self.limit = 0, most_bytes()
        inner = loader.dataset
        self.classes = getattr(inner, "classes", None)
        self.feature_names = getattr(inner, "feature_names", None)
        walk = iter(loader)
        number = 0
        while True:
            number += 1
            try:
                batch = next(walk)
            except StopIteration:
                break
            except (
                Exception
            ) as error:  # a person's own Dataset, sampler or collate function may raise anything
                raise DataError(
                    f"batch {number} of '{name}' cannot be read",
                    got=f"{type(error).__name__}: {error}",
                    expected="batches (inputs, targets)",
                ) from error
            self._add(batch, number, name)

    def _add(self, batch: Any, number: int, name: str) -> None:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise DataError(
                f"batch {number} of '{name}' is no pair",
                got=type(batch).__name__,
                expected="(inputs, targets), as the collate function makes them",
            )
        inputs, targets = batch
        if isinstance(inputs, tuple | list | dict) or not hasattr(inputs, "__len__"):
            raise DataError(
                f"batch {number} of '{name}' has inputs of several parts",
                got=type(inputs).__name__,
                expected="one tensor or array of inputs",
                hint="fb.fit(module, loader, loss=...) trains on batches of any make",
            )
        if len(inputs) != len(targets) or len(self.items) + len(inputs) > MOST_ITEMS:
            raise DataError(
                f"batch {number} of '{name}' cannot be taken apart",
                got=f"{len(inputs)} inputs and {len(targets)} targets",
                expected=f"equally many of both, and {MOST_ITEMS:,} samples at most",
            )
        plain = (
            targets.tolist() if hasattr(targets, "tolist") and getattr(targets, "ndim", 1) == 1 else targets
        )
        self.items += zip(inputs, plain, strict=True)
        self.bytes += int(getattr(inputs, "nbytes", 0)) + BYTES_AN_ITEM * len(inputs)
        if self.bytes > self.limit:
            raise DataError(
                f"the batches of '{name}' do not come to an end that fits into memory",
                got=f"{len(self.items):,} samples of {self.bytes:,} bytes so far",
                expected=f"at most {self.limit:,} bytes, half of this machine's memory",
                hint="fb.fit(module, loader, loss=...) trains on batches of any number",
            )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.items[index]
