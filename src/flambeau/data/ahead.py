"""Batches made one ahead, by a thread, while the present one trains; and the rule for where that pays.

Batches are a function of (seed, epoch, step) alone, so it changes nothing but the waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from flambeau.data.batches import BLOCK_VALUES, Batch, Batches

# Steps that are so small that this many are made at once are not worth a change of threads each.
SMALL_STEPS = 8


@dataclass(frozen=True)
class AheadBatches:
    """The same batches as `batches`, each one begun when the one before it is handed out.

    An error in making a batch is raised where that batch is asked for. The thread ends with the epoch, or with the
    batch that it is making when the epoch is left early.
    """

    batches: Batches

    def __len__(self) -> int:
        """Steps an epoch."""
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step `start` on."""
        batches = self.batches.epoch(epoch, start)
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(1, "batches") as worker:
            # One thread of torch there: a second team would only fight with that of the training for the cores.
            # The setting is also that of threads which torch meets later, so it is put back for those.
            worker.submit(torch.set_num_threads, 1).result()
            torch.set_num_threads(threads)
            coming = worker.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = worker.submit(next, batches, None)
                yield batch


def should_go_ahead(batches: Batches, cores: int) -> tuple[bool, str]:
    """Whether batches should be made ahead, and the reason in words.

    A rule of the data and the machine, not of a stopwatch, so that a resumed run does as the first one did.

    Args:
        batches: of which one sample is looked at.
        cores: that this process may use.
    """
    if batches.change is None:
        return False, "samples that are not changed are gathered faster than a thread is asked for them"
    if cores < 2:
        return False, "there is one core, which a second thread would only share"
    values = sum(part.numel() for part in batches.gather(batches.rows[:1])) * batches.batch_size
    if values * SMALL_STEPS <= BLOCK_VALUES:
        return False, "the steps are so small that many of them are made at once"
    return True, "a second thread makes the next batch while the present one trains"


def go_ahead(batches: Batches, cores: int) -> Batches | AheadBatches:
    """The batches, made ahead where `should_go_ahead` says so."""
    return AheadBatches(batches) if should_go_ahead(batches, cores)[0] else batches
