"""The state of a training: what makes it one to go back to, and in which order it is copied."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flambeau.training.loop import Technique
from flambeau.training.optimizers import make_sgd, parameter_groups
from flambeau.training.snapshot import SnapshotBuffers
from flambeau.training.state import TrainingState

INFINITY = float("inf")


class Masked(nn.Module):
    """A layer with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("mask", torch.full((3, 3), -INFINITY).triu(1))


def make_state(model: nn.Module) -> TrainingState:
    groups = parameter_groups(model, lr=0.1, weight_decay=0.0)
    optimizer = make_sgd(groups, momentum=0.9, device=torch.device("cpu"))
    return TrainingState.start(model, optimizer, Technique(3, lambda done: 1.0))


@pytest.mark.parametrize("value", [float("nan"), INFINITY, -INFINITY])
@pytest.mark.parametrize("name", ["layer.weight", "layer.bias", "norm.running_var", "norm.running_mean"])
def test_weights_and_running_statistics_must_be_finite(name: str, value: float) -> None:
    model = Masked()
    state = make_state(model)
    assert state.is_finite()
    model.state_dict()[name].view(-1)[1] = value
    assert not state.is_finite()


def test_a_mask_of_infinities_and_the_largest_numbers_are_no_fault() -> None:
    model = Masked()
    state = make_state(model)
    with torch.no_grad():
        model.layer.weight.fill_(torch.finfo(torch.float32).max)
    assert state.is_finite()


def test_other_types_and_empty_tensors_are_looked_at_too() -> None:
    model = nn.ModuleDict({"narrow": nn.Linear(2, 2).to(torch.bfloat16), "wide": nn.Linear(2, 2).double()})
    model.register_parameter("none", nn.Parameter(torch.empty(0)))
    state = make_state(model)
    assert state.is_finite()
    with torch.no_grad():
        model["narrow"].weight[0, 0] = INFINITY
    assert not state.is_finite()


def test_one_number_is_read_however_many_tensors_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    state = make_state(nn.Sequential(*(nn.Linear(2, 2) for _ in range(20))))
    reads = []
    for name in ("__bool__", "item", "__float__"):
        real = getattr(Tensor, name)

        def counted(tensor: Tensor, real: Any = real) -> Any:
            reads.append(1)
            return real(tensor)

        monkeypatch.setattr(Tensor, name, counted)
    assert state.is_finite()
    assert len(reads) == 1


def test_the_loss_is_read_before_the_copies_are_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU reading waits for all that was asked before."""
    state = make_state(nn.Linear(2, 2))
    order = []
    real_copy, real_float = SnapshotBuffers.copy, Tensor.__float__

    def copy(buffers: SnapshotBuffers, *arguments: Any) -> Any:
        order.append("copy")
        return real_copy(buffers, *arguments)

    def read(tensor: Tensor) -> float:
        order.append("read")
        return real_float(tensor)

    monkeypatch.setattr(SnapshotBuffers, "copy", copy)
    monkeypatch.setattr(Tensor, "__float__", read)
    state.position.step, state.position.loss_total = 1, torch.tensor(2.5)
    assert state.capture().values["loss_total"] == 2.5
    assert order == ["read", "copy"]


def test_only_copies_from_cuda_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other devices have no event that says when a copy is complete."""
    asked = []
    real = torch._foreach_copy_

    def copy(targets: list[Tensor], sources: list[Tensor], non_blocking: bool = False) -> None:
        asked.append((non_blocking, {tensor.is_cuda for tensor in sources}))
        real(targets, sources, non_blocking=non_blocking)

    monkeypatch.setattr(torch, "_foreach_copy_", copy)
    tensors = {"a": torch.ones(3), "b": torch.arange(4)}
    copied = SnapshotBuffers().copy(tensors, ())
    assert all(torch.equal(copied[name], tensor) for name, tensor in tensors.items())
    assert asked == [(False, {False})]
