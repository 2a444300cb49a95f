"""What several processes may share: how small parts may be, and which models draw at random."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from flambeau.data.batches import Batches, gather_tensors, share_of_step
from flambeau.errors import RecipeError
from flambeau.stages.engine.sharing import check_steps, least_micro_batch
from flambeau.training.distributed import Ranks, draws_at_random


def test_no_process_has_fewer_samples_than_parts_with_the_least_micro_batch() -> None:
    for ranks in range(2, 9):
        for size in range(2 * ranks - 1, 70):
            least = least_micro_batch(size, ranks)
            fewest = min(
                end - begin for begin, end in (share_of_step(size, rank, ranks) for rank in range(ranks))
            )
            for micro in range(1, size + 1):
                parts = math.ceil(size / (micro * ranks))
                assert (parts <= fewest) == (micro >= least)


def parts_of(rows: int, batch_size: int, micro_batch: int) -> Any:
    batches = Batches(
        gather_tensors(torch.zeros(rows)), torch.zeros(rows), torch.arange(rows), batch_size, seed=0
    )
    return SimpleNamespace(batches=batches, technique=SimpleNamespace(micro_batch=micro_batch))


def test_steps_are_refused_in_which_the_smallest_share_has_fewer_samples_than_parts() -> None:
    # 6 samples are 3 pairs: the first of two processes has 2 samples and the last 4
    with pytest.raises(RecipeError, match="fewer samples of a step than the step has parts") as told:
        check_steps(parts_of(6, 6, 1), Ranks(count=2))
    assert told.value.command == "--set training.micro_batch=2"
    check_steps(parts_of(6, 6, 2), Ranks(count=2))
    check_steps(parts_of(8, 8, 1), Ranks(count=2))
    # steps of 8 and 9 samples
    with pytest.raises(RecipeError, match="fewer samples"):
        check_steps(parts_of(17, 8, 1), Ranks(count=2))


class Ratio(nn.Module):
    """A stranger's module, whose p is no probability."""

    def __init__(self, p: Any) -> None:
        super().__init__()
        self.p = p


@pytest.mark.parametrize("p", [nn.Linear(2, 2), nn.Parameter(torch.ones(3)), "half", None, 0.5])
def test_a_p_that_is_no_probability_of_a_drop_is_passed_over(p: Any) -> None:
    class DropRatio(Ratio):
        """One that sounds as if it dropped something."""

    assert not draws_at_random(Ratio(p))
    assert draws_at_random(DropRatio(p)) == (p == 0.5 if isinstance(p, float) else False)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_layers_that_drop_beside_other_things_are_seen(share: float) -> None:
    assert draws_at_random(nn.LSTM(3, 3, num_layers=2, dropout=share)) == (share > 0)
    assert draws_at_random(nn.MultiheadAttention(4, 2, dropout=share)) == (share > 0)
    assert draws_at_random(nn.TransformerEncoderLayer(4, 2, dropout=share)) == (share > 0)
