"""Batches are a function of (seed, epoch, step): cut evenly, gathered in blocks, shared by processes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from flambeau.data import batches as module
from flambeau.data.batches import Batch, Batches, Inputs, gather_pixels, gather_tensors, share_of_step
from flambeau.transforms.augment import change_pictures, mixup_pictures
from flambeau.transforms.draws import Draws

CPU = torch.device("cpu")


def numbered(rows: int = 103, batch_size: int = 8, **options: object) -> Batches:
    inputs = torch.arange(2.0 * rows).view(rows, 2)
    return Batches(
        gather_tensors(inputs, torch.arange(rows)),
        torch.arange(rows) * 10,
        torch.arange(rows),
        batch_size,
        seed=3,
        **options,  # type: ignore[arg-type]  # mixed
    )


def shake(inputs: Inputs, targets: Tensor, draws: Draws) -> tuple[Inputs, Tensor]:
    blended, _, weight = mixup_pictures(inputs[0] + draws.uniform()[:, None], draws, 0.5)
    return (blended, *inputs[1:]), targets + weight


def assert_equal(got: list[Batch], expected: list[Batch]) -> None:
    assert len(got) == len(expected) > 0
    for one, other in zip(got, expected, strict=True):
        assert one.count == other.count and torch.equal(one.targets, other.targets)
        assert all(torch.equal(*pair) for pair in zip(one.inputs, other.inputs, strict=True))


def test_an_epoch_shows_each_row_once_in_steps_of_equal_size() -> None:
    feed = numbered()
    steps = list(feed.epoch(0))
    assert len(steps) == len(feed) == 13
    assert {len(step.targets) for step in steps} == {7, 8} and all(len(s.targets) == s.count for s in steps)
    seen = torch.cat([step.targets for step in steps])
    assert sorted(seen.tolist()) == [10 * row for row in range(103)]
    for (numbers, rows), targets, _ in steps:
        assert torch.equal(targets, rows * 10) and torch.equal(numbers[:, 0], 2.0 * rows)
    assert not torch.equal(seen, torch.cat([step.targets for step in feed.epoch(1)]))


@pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last], ids=["planes", "channels last"]
)
@pytest.mark.parametrize("most", [1, 4, 7])
def test_steps_made_in_pieces_are_those_made_at_once(
    most: int, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (41, 6, 5, 3), dtype=np.uint8)

    def change(inputs: Inputs, targets: Tensor, draws: Draws) -> tuple[Inputs, Tensor]:
        blended, _, weight = mixup_pictures(inputs[0] / 255, draws, 0.5)
        return (blended.contiguous(memory_format=layout),), targets * weight

    gather = gather_pixels(pixels, lambda block: block.permute(0, 3, 1, 2), CPU)
    feed = Batches(gather, torch.arange(41.0), torch.arange(41), 13, seed=1, change=change)
    expected = list(feed.epoch(0))
    monkeypatch.setattr(module, "BLOCK_VALUES", most * 6 * 5 * 3)
    pieces = list(feed.epoch(0))
    assert_equal(pieces, expected)
    assert all(batch.inputs[0].is_contiguous(memory_format=layout) for batch in pieces)


@pytest.mark.parametrize("together", [1, 4, 64])
def test_blocks_change_nothing_but_the_speed(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = numbered(change=shake)
    expected = list(feed.epoch(2))
    monkeypatch.setattr(module, "BLOCK_STEPS", together)
    assert_equal(list(feed.epoch(2)), expected)


@pytest.mark.parametrize("start", [0, 1, 5, 12])
def test_an_epoch_goes_on_from_any_step_at_the_same_place_in_memory(
    start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_STEPS", 4)
    feed = numbered(change=shake)
    whole = list(feed.epoch(1))
    rest = list(feed.epoch(1, start))
    assert_equal(rest, whole[start:])
    for one, other in zip(rest, whole[start:], strict=True):
        assert one.inputs[0].storage_offset() == other.inputs[0].storage_offset()


@pytest.mark.parametrize(("rows", "batch_size"), [(103, 8), (64, 16), (31, 31)])
@pytest.mark.parametrize("ranks", [2, 3])
def test_processes_share_each_step_and_change_their_samples_as_one_would(
    ranks: int, rows: int, batch_size: int
) -> None:
    feed = numbered(rows, batch_size, change=shake)
    alone = list(feed.epoch(4))
    shared = [list(replace(feed, rank=rank, ranks=ranks).epoch(4)) for rank in range(ranks)]
    for step, parts in zip(alone, zip(*shared, strict=True), strict=True):
        assert all(part.count == step.count == len(step.targets) for part in parts)
        assert all(len(part.targets) > 0 for part in parts)
        assert torch.equal(torch.cat([part.inputs[0] for part in parts]), step.inputs[0])
        assert torch.equal(torch.cat([part.targets for part in parts]), step.targets)


def test_shares_cover_a_step_and_keep_pairs_together() -> None:
    for count in range(1, 40):
        for ranks in range(1, 5):
            shares = [share_of_step(count, rank, ranks) for rank in range(ranks)]
            assert shares[0][0] == 0 and shares[-1][1] == count
            assert all(left[1] == right[0] for left, right in pairwise(shares))
            assert all(begin % 2 == 0 for begin, _ in shares if begin < count)


def test_more_processes_than_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="4 processes need steps of 7 samples or more, got 4"):
        next(iter(numbered(40, 4, rank=1, ranks=4).epoch(0)))


def test_large_samples_are_gathered_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def gather(rows: Tensor) -> Inputs:
        asked.append(len(rows))
        return (torch.zeros(len(rows), 1000),)

    feed = Batches(gather, torch.zeros(64), torch.arange(64), 8, seed=0)
    assert len(list(feed.epoch(0))) == 8 and asked == [1, 64]
    monkeypatch.setattr(module, "BLOCK_VALUES", 8 * 1000)
    asked.clear()
    list(feed.epoch(0))
    assert asked == [1] + [8] * 8


def test_16_bit_pixels_travel_as_int32_and_are_changed_like_8_bit_ones() -> None:
    shallow = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 1), dtype=np.uint8)
    results = []
    for pixels, largest in ((shallow, 255.0), (shallow.astype(np.uint16) * 257, 65_535.0)):
        gather = gather_pixels(pixels, lambda block: block.permute(0, 3, 1, 2), CPU)
        assert gather(torch.arange(3))[0].dtype == (torch.uint8 if largest == 255 else torch.int32)
        feed = Batches(gather, torch.zeros(20), torch.arange(20), 5, seed=1, change=plain_change(largest))
        results.append(torch.cat([batch.inputs[0] for batch in feed.epoch(0)]))
    torch.testing.assert_close(results[0], results[1])


def plain_change(largest: float) -> module.Change:
    def change(inputs: Inputs, targets: Tensor, draws: Draws) -> tuple[Inputs, Tensor]:
        return change_pictures(
            inputs, targets, draws, augment=lambda pictures, _: pictures / largest, normalise=lambda x: x
        )

    return change
