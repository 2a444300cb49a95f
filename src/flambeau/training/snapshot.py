"""Copies of a state in memory that was set aside once: fresh pages would cost as much as writing the file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from flambeau.training.checkpoint import check_storable


@dataclass(frozen=True, eq=False)
class Captured:
    """A copy of a state.

    Args:
        state: tensors of model, average and optimizer by name.
        values: plain values that JSON can hold.
        best: the best epoch's weights by name, if there are any.
        ready: event on the device after which the tensors are complete; None where they are already.
    """

    state: dict[str, Tensor]
    values: dict[str, Any]
    best: dict[str, Tensor] = field(default_factory=dict)
    ready: torch.cuda.Event | None = None

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {**self.state, **self.best}

    def wait(self) -> None:
        """Wait until the tensors are complete."""
        if self.ready is not None:
            self.ready.synchronize()


class SnapshotBuffers:
    """Up to two copies of a set of tensors, used in turn.

    They are on the CPU, pinned where the tensors are on a GPU, so that copying neither waits nor takes the device's
    memory. Tensors of a special class, such as those shared by several processes, are cloned where they are.
    """

    def __init__(self) -> None:
        self._copies: list[dict[str, Tensor]] = []
        self._spare: dict[str, list[Tensor]] = {}

    def reserve(self, tensors: Mapping[str, Tensor], count: int) -> None:
        """Set memory aside for `count` copies, so that the first of them is as quick as the others.

        It leaves the copies that there are alone; but nothing may be copied while it is at work.
        """
        for name, tensor in tensors.items():
            if _is_plain(tensor):
                there = sum(name in copy and _fits(copy[name], tensor) for copy in self._copies)
                self._spare[name] = [_buffer_like(tensor, touch=True) for _ in range(count - there)]

    def has_free(self, kept: Collection[int]) -> bool:
        """Whether `copy` would find a place that is not among `kept`, the ids of copies that are still needed."""
        return len(self._copies) < 2 or any(id(copy) not in kept for copy in self._copies)

    def copy(self, tensors: Mapping[str, Tensor], kept: Collection[int]) -> dict[str, Tensor]:
        """Copy the tensors over a copy whose id is not among `kept`, and return it.

        Raises:
            ValueError: a checkpoint could not hold one of the tensors.
        """
        free = next((copy for copy in self._copies if id(copy) not in kept), None)
        if free is None:
            free = {}
            self._copies.append(free)
        for name in free.keys() - tensors.keys():
            del free[name]
        # by whether they are on a CUDA device
        targets: dict[bool, list[Tensor]] = {False: [], True: []}
        sources: dict[bool, list[Tensor]] = {False: [], True: []}
        for name, tensor in tensors.items():
            if not _is_plain(tensor):
                free[name] = tensor.detach().clone()
                continue
            target = free.get(name)
            if target is None or not _fits(target, tensor):
                target = free[name] = self._new_buffer(name, tensor)
            targets[tensor.is_cuda].append(target)
            sources[tensor.is_cuda].append(tensor)
        with torch.no_grad():
            for on_cuda in (False, True):
                if targets[on_cuda]:
                    # only CUDA has the event that says when a copy is complete; MPS would be read too early
                    torch._foreach_copy_(targets[on_cuda], sources[on_cuda], non_blocking=on_cuda)
        return free

    def _new_buffer(self, name: str, tensor: Tensor) -> Tensor:
        check_storable(name, tensor)
        spare = self._spare.get(name)
        if spare and _fits(spare[-1], tensor):
            return spare.pop()
        return _buffer_like(tensor, touch=False)


def still_needed(boundary: Captured | None, step: int, kept: Collection[int]) -> set[int]:
    """The ids of copies that a new one must leave as they are: those that are `kept`, and that of the boundary.

    The state at an epoch's start is needed until the next epoch's start, which is a step of 0, takes its place.
    """
    if boundary is None or step == 0:
        return set(kept)
    return {*kept, id(boundary.state)}


def state_to_return_to(boundary: Captured | None) -> Captured:
    """The boundary itself. Raises ValueError where there is none."""
    if boundary is None:
        raise ValueError("there is no state at the start of the epoch to go back to")
    return boundary


def device_event(tensors: Mapping[str, Tensor]) -> torch.cuda.Event | None:
    """An event behind all that was asked of the GPU so far; None where no tensor is on one."""
    if not any(tensor.is_cuda for tensor in tensors.values()):
        return None
    event = torch.cuda.Event()
    event.record()
    return event


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) is Tensor or type(tensor) is torch.nn.Parameter


def _fits(buffer: Tensor, tensor: Tensor) -> bool:
    return (
        buffer.shape == tensor.shape
        and buffer.dtype == tensor.dtype
        and (buffer.stride() == tensor.stride() or buffer.stride() == _dense_strides(tensor))
    )


def _dense_strides(tensor: Tensor) -> tuple[int, ...]:
    # those of a clone: the tensor's own where it has no gaps or overlaps
    return torch.empty_like(tensor.detach(), device="meta").stride()


def _buffer_like(tensor: Tensor, *, touch: bool) -> Tensor:
    """Memory for a copy of the tensor, in its layout."""
    size = tensor.numel() * tensor.element_size()
    memory = torch.empty(size, dtype=torch.uint8, pin_memory=tensor.is_cuda)
    if touch:
        # by numpy, in one thread: this runs beside the training
        memory.numpy().fill(0)
    return memory.view(tensor.dtype).as_strided(tensor.shape, _dense_strides(tensor))


def read_capture(tensors: Mapping[str, Tensor], values: dict[str, Any]) -> Captured:
    """A captured state from the tensors and values of a checkpoint."""
    best = {name: tensor for name, tensor in tensors.items() if name.startswith("best/")}
    return Captured({name: tensor for name, tensor in tensors.items() if name not in best}, values, best)
