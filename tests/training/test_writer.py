"""Checkpoints are written beside the training: nothing is torn, nothing is lost in silence, nothing overtakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from flambeau.training.checkpoint import CheckpointError, newest_checkpoint, read_checkpoint
from flambeau.training.loop import Technique
from flambeau.training.optimizers import make_adamw, parameter_groups
from flambeau.training.snapshot import Captured, SnapshotBuffers
from flambeau.training.state import TrainingState
from flambeau.training.writer import CheckpointWriter, StateKeeper, WriteOrder

ENDLESS = """
import sys
from pathlib import Path
import torch
from flambeau.training.snapshot import Captured
from flambeau.training.writer import CheckpointWriter, WriteOrder

with CheckpointWriter(Path(sys.argv[1])) as writer:
    number = 0
    while True:
        number += 1
        state = {"a": torch.full((400_000,), float(number)), "b": torch.full((3,), float(number))}
        writer.write([WriteOrder("last", number, Captured(state, {"number": number}))])
        print(number, flush=True)
"""


@pytest.mark.parametrize("written", [1, 3, 7])
def test_killed_at_any_time_the_checkpoint_before_is_readable(tmp_path: Path, written: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = 0
    for line in process.stdout:
        told = int(line)
        if told > written:  # `written` is on the disk, the next one is under way
            break
    time.sleep(0.003 * written)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    process.stdout.close()
    found, damaged = newest_checkpoint(tmp_path, "last")
    assert damaged == []
    assert found is not None
    number = found.values["number"]
    assert number >= written
    assert torch.equal(found.tensors["a"], torch.full((400_000,), float(number)))


def order(number: int, value: float = 0.0) -> WriteOrder:
    return WriteOrder("last", number, Captured({"a": torch.full((4,), value)}, {"epoch": number}))


class SlowDisk:
    """An fsync that waits until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.real = os.fsync
        monkeypatch.setattr("os.fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.reached.set()
        assert self.go_on.wait(60)
        self.real(descriptor)


def test_the_caller_goes_on_while_the_disk_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(monkeypatch)
    with CheckpointWriter(tmp_path) as writer:
        writer.write([order(1)])
        assert disk.reached.wait(60)
        assert writer.busy
        assert not list(tmp_path.glob("last-*"))
        disk.go_on.set()
    assert not writer.busy
    assert len(list(tmp_path.glob("last-*"))) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, None])
def test_whatever_ends_the_training_waits_for_what_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None
) -> None:
    disk = SlowDisk(monkeypatch)

    def train() -> None:
        with CheckpointWriter(tmp_path) as writer:
            writer.write([order(1)])
            threading.Timer(0.05, disk.go_on.set).start()
            if error is not None:
                raise error

    if error is None:
        train()
    else:
        with pytest.raises(error):
            train()
    assert len(list(tmp_path.glob("last-*"))) == 1


def test_a_full_disk_is_told_at_the_next_write_and_the_one_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match="No space left"), CheckpointWriter(tmp_path) as writer:
        writer.write([order(1)])
        writer.wait()
        monkeypatch.setattr("os.fsync", no_space)
        writer.write([order(2)])
        writer.write([order(3)])
        pytest.fail("the second write must tell what became of the first")
    assert [path.name.split(".")[0] for path in tmp_path.iterdir()] == ["last-000000001"]


@pytest.mark.parametrize(
    ("ended_by", "raised"), [(KeyboardInterrupt, CheckpointError), (ZeroDivisionError,) * 2]
)
def test_at_the_end_a_full_disk_is_told_unless_another_error_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ended_by: type[BaseException],
    raised: type[BaseException],
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(raised), CheckpointWriter(tmp_path) as writer:
        writer.write([order(1)])
        raise ended_by
    assert list(tmp_path.iterdir()) == []


def test_no_error_of_the_thread_takes_the_place_of_the_training_error(tmp_path: Path) -> None:
    """An error of any kind: here numbers that no checkpoint can hold."""
    unfit = Captured({"a": torch.zeros(2, dtype=torch.complex128)}, {})
    with pytest.raises(ZeroDivisionError) as told, CheckpointWriter(tmp_path) as writer:
        writer.write([WriteOrder("last", 1, unfit)])
        raise ZeroDivisionError
    assert "besides, a checkpoint could not be written" in told.value.__notes__[0]
    with pytest.raises(KeyError), CheckpointWriter(tmp_path) as writer:
        writer.write([WriteOrder("last", 1, unfit)])


def test_an_old_checkpoint_that_cannot_be_removed_is_told_as_a_checkpoint_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_permitted(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", not_permitted)
    with pytest.raises(CheckpointError, match="cannot be removed"), CheckpointWriter(tmp_path) as writer:
        for number in range(3):
            writer.write([order(number)])


def make_state(width: int = 8) -> TrainingState:
    torch.manual_seed(0)
    model = nn.Linear(width, width)
    groups = parameter_groups(model, lr=0.1, weight_decay=0.0)
    optimizer = make_adamw(groups, beta1=0.9, beta2=0.99, device=torch.device("cpu"))
    return TrainingState.start(model, optimizer, Technique(3, lambda done: 1.0, average_decay=0.9))


def set_to(state: TrainingState, value: float, *, epoch: int, step: int) -> None:
    with torch.no_grad():
        for parameter in [*state.model.parameters(), *state.evaluated.parameters()]:
            parameter.fill_(value)
    state.position.epoch, state.position.step = epoch, step


def test_what_is_under_way_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(monkeypatch)
    state = make_state()
    with CheckpointWriter(tmp_path) as writer:
        keeper = StateKeeper(state, writer, steps=10)
        for epoch in range(5):
            set_to(state, float(epoch), epoch=epoch, step=0)
            boundary = keeper.capture()
            if epoch == 1:
                keeper.write(("last", boundary))
                assert disk.reached.wait(60)
        assert state.boundary is boundary
        disk.go_on.set()
        writer.wait()
        keeper.write(("last", boundary))
    first, second = sorted(tmp_path.glob("last-*"))
    assert all(
        bool((t == 1.0).all()) for name, t in read_checkpoint(first).tensors.items() if "weight" in name
    )
    assert all(
        bool((t == 4.0).all()) for name, t in read_checkpoint(second).tensors.items() if "weight" in name
    )


def test_a_third_copy_waits_for_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(monkeypatch)
    state = make_state()
    with CheckpointWriter(tmp_path) as writer:
        keeper = StateKeeper(state, writer, steps=10)
        set_to(state, 1.0, epoch=0, step=0)
        keeper.capture()
        set_to(state, 2.0, epoch=0, step=5)
        keeper.write(("last", state.boundary), ("middle", keeper.capture()))
        assert disk.reached.wait(60)
        threading.Timer(0.05, disk.go_on.set).start()
        set_to(state, 3.0, epoch=1, step=0)
        keeper.capture()
        assert not writer.busy
    middle = read_checkpoint(next(tmp_path.glob("middle-*")))
    assert bool((middle.tensors["model/weight"] == 2.0).all())


def test_copies_use_the_same_memory_again() -> None:
    buffers = SnapshotBuffers()
    tensors = {"a": torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last), "b": torch.arange(3)}
    buffers.reserve(tensors, 2)
    first = buffers.copy(tensors, ())
    addresses = {name: tensor.data_ptr() for name, tensor in first.items()}
    tensors["a"].mul_(2)
    again = buffers.copy(tensors, ())
    assert again is first
    assert {name: tensor.data_ptr() for name, tensor in again.items()} == addresses
    assert torch.equal(again["a"], tensors["a"])
    assert again["a"].stride() == tensors["a"].stride()
    second = buffers.copy(tensors, {id(first)})
    assert second is not first
    assert not buffers.has_free({id(first), id(second)})


def test_a_copy_follows_tensors_that_come_go_and_grow() -> None:
    buffers = SnapshotBuffers()
    buffers.copy({"a": torch.ones(3), "b": torch.ones(2)}, ())
    copy = buffers.copy({"a": torch.zeros(5), "c": torch.full((1,), 7, dtype=torch.int64)}, ())
    assert set(copy) == {"a", "c"}
    assert torch.equal(copy["a"], torch.zeros(5))
    assert copy["c"].dtype == torch.int64


def test_memory_is_set_aside_without_touching_what_is_kept() -> None:
    buffers = SnapshotBuffers()
    weights = {"model/w": torch.ones(1000)}
    kept = buffers.copy(weights, ())
    both = {**weights, "optimizer/0/m": torch.full((1000,), 2.0)}
    buffers.reserve(both, 2)
    assert set(kept) == {"model/w"}
    assert torch.equal(kept["model/w"], weights["model/w"])
    other = buffers.copy(both, {id(kept)})
    assert torch.equal(other["optimizer/0/m"], both["optimizer/0/m"])


def test_the_first_capture_waits_for_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is filled with zeros in the thread while it is set aside: a capture before its end would lose numbers."""
    real = SnapshotBuffers.reserve

    def slow(self: SnapshotBuffers, tensors: dict[str, torch.Tensor], count: int) -> None:
        time.sleep(0.1)
        real(self, tensors, count)
        done.append(True)

    done: list[bool] = []
    monkeypatch.setattr(SnapshotBuffers, "reserve", slow)
    state = make_state()
    with CheckpointWriter(tmp_path) as writer:
        keeper = StateKeeper(state, writer, steps=10)
        set_to(state, 3.0, epoch=0, step=0)
        keeper.capture()
        keeper.reserve()
        set_to(state, 4.0, epoch=0, step=1)
        middle = keeper.capture()
        assert done == [True]
    assert bool((middle.tensors["model/weight"] == 4.0).all())
    assert state.boundary is not None
    assert bool((state.boundary.tensors["model/weight"] == 3.0).all())
