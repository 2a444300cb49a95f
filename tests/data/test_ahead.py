"""Batches made ahead are the same ones; errors and an early end are handled; the rule says where it pays."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from flambeau.data.ahead import AheadBatches, go_ahead, should_go_ahead
from flambeau.data.batches import BLOCK_VALUES, Batches, Inputs, gather_tensors
from flambeau.stages.inputs import should_live_on_device
from flambeau.transforms.draws import Draws


def shake(inputs: Inputs, targets: Tensor, draws: Draws) -> tuple[Inputs, Tensor]:
    return (inputs[0] + draws.uniform()[:, None],), targets


def some_batches(values: int = 3) -> Batches:
    inputs = torch.arange(40.0)[:, None].expand(40, values)
    return Batches(gather_tensors(inputs), torch.arange(40), torch.arange(40), 4, seed=1, change=shake)


@pytest.mark.parametrize("start", [0, 7])
def test_they_are_the_same_batches(start: int) -> None:
    feed = some_batches()
    ahead = AheadBatches(feed)
    assert len(ahead) == len(feed) == 10
    for one, other in zip(ahead.epoch(3, start), feed.epoch(3, start), strict=True):
        assert torch.equal(one.inputs[0], other.inputs[0]) and torch.equal(one.targets, other.targets)
        assert one.count == other.count


def test_the_next_batch_is_made_while_the_present_one_is_used() -> None:
    made: list[str] = []
    begun = threading.Event()

    def note(inputs: Inputs, targets: Tensor, draws: Draws) -> tuple[Inputs, Tensor]:
        made.append(threading.current_thread().name)
        if len(made) == 2:
            begun.set()
        return inputs, targets

    # Batches so large that none shares its gather with another.
    feed = replace(some_batches(values=BLOCK_VALUES // 4), change=note)
    batches = AheadBatches(feed).epoch(0)
    next(batches)
    assert begun.wait(timeout=10) and len(made) <= 2
    assert all(name.startswith("batches") for name in made)
    batches.close()  # type: ignore[attr-defined]  # it is a generator


def test_leaving_an_epoch_early_ends_the_thread_and_keeps_the_number_of_threads_of_torch() -> None:
    torch_threads, threads = torch.get_num_threads(), threading.active_count()
    seen: list[int] = []
    for batch in AheadBatches(some_batches()).epoch(0):
        assert batch.count == 4
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
        break
    assert seen == [torch_threads]
    assert threading.active_count() == threads
    assert torch.get_num_threads() == torch_threads


def test_an_error_comes_where_its_batch_is_asked_for() -> None:
    def break_at_second(inputs: Inputs, targets: Tensor, draws: Draws) -> tuple[Inputs, Tensor]:
        calls.append(1)
        if len(calls) == 2:
            raise OSError("the disk is gone")
        return inputs, targets

    calls: list[int] = []
    batches = AheadBatches(replace(some_batches(BLOCK_VALUES // 4), change=break_at_second)).epoch(0)
    assert next(batches).count == 4
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


def test_the_rule_looks_at_the_data_and_the_cores() -> None:
    large, small = some_batches(values=BLOCK_VALUES // 4), some_batches()
    assert should_go_ahead(large, 2)[0]
    for batches, cores, reason in (
        (large, 1, "one core"),
        (small, 8, "many of them are made at once"),
        (replace(large, change=None), 8, "not changed"),
    ):
        answer, told = should_go_ahead(batches, cores)
        assert not answer and reason in told
        assert go_ahead(batches, cores) is batches
    assert isinstance(go_ahead(large, 2), AheadBatches)


def test_pictures_live_on_a_device_that_has_room_for_them() -> None:
    kept, reason = should_live_on_device(10**9, 10**10, 8)
    assert (
        kept
        and reason
        == "all pictures are kept on the device: they take 1.00 GB of 10.0 GB that are free on the device"
    )
    for pixels, free, bits, word in (
        (4 * 10**9, 10**10, 8, "they would take 4.00 GB of 10.0 GB"),
        (10**9, 0, 8, "the CPU trains"),
        (10**9, 10**10, 16, "16 bits"),
    ):
        kept, reason = should_live_on_device(pixels, free, bits)
        assert not kept and word in reason
