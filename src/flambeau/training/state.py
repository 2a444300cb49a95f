"""All that a training is at one moment, captured and restored exactly."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from flambeau.evaluation.validation import BestEpoch, Validation
from flambeau.training.average import averaged_copy
from flambeau.training.checkpoint import model_tensors, restore_model
from flambeau.training.loop import EpochRecord, Position, Technique
from flambeau.training.optimizer_state import optimizer_parts, restore_optimizer
from flambeau.training.precision import make_scaler
from flambeau.training.snapshot import (
    Captured,
    SnapshotBuffers,
    device_event,
    state_to_return_to,
    still_needed,
)


@dataclass
class TrainingState:
    """A training at one moment.

    Args:
        model, average, optimizer: what is trained; `average` is None without a moving average.
        technique: how; its `rate_scale` and `micro_batch` may change on the way.
        scaler: of the loss in fp16, else None.
        position: epoch and step.
        weights: of the best epoch by name, None before the first epoch has ended.
        best: which epoch that is.
        rollbacks: how often the loss was not finite.
        changes: what was changed on the way: {"epoch" from 0, "rate_scale" or "micro_batch"}, as it happened.
        boundary: the state at the start of the current epoch.
        copies, best_copies: memory for captured states and for the best weights.
        unbounded: names of buffers that need not be finite, such as masks of -inf.
    """

    model: nn.Module
    optimizer: Optimizer
    technique: Technique
    average: nn.Module | None = None
    scaler: GradScaler | None = None
    position: Position = field(default_factory=Position)
    weights: dict[str, Tensor] | None = None
    best: BestEpoch = field(default_factory=BestEpoch)
    rollbacks: int = 0
    changes: list[dict[str, Any]] = field(default_factory=list)
    boundary: Captured | None = None
    copies: SnapshotBuffers = field(default_factory=SnapshotBuffers)
    best_copies: SnapshotBuffers = field(default_factory=SnapshotBuffers)
    unbounded: frozenset[str] = frozenset()

    @classmethod
    def start(
        cls, model: nn.Module, optimizer: Optimizer, technique: Technique, average: nn.Module | None = None
    ) -> TrainingState:
        """The state before the first step; with a moving average in `average`, if it is not to be made here."""
        if technique.average_decay > 0 and average is None:
            average = averaged_copy(model)
        scaler = make_scaler(technique.precision, technique.device)
        state = cls(model, optimizer, technique, average, scaler)
        state.unbounded = frozenset(
            name
            for name, buffer in state.evaluated.named_buffers()
            if _can_overflow(buffer) and not bool(torch.isfinite(buffer).all())
        )
        return state

    @property
    def evaluated(self) -> nn.Module:
        """The module that is judged and kept: the averaged one, if there is one."""
        return self.model if self.average is None else self.average

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.position.epoch >= self.technique.epochs

    def is_finite(self) -> bool:
        """Whether all weights and running statistics are finite numbers; of shards those of this process.

        The largest magnitude of all tensors together says so, and makes the CPU wait for a GPU once.
        """
        named = self.evaluated.state_dict()
        tensors = [_own_part(tensor) for name, tensor in named.items() if name not in self.unbounded]
        norm = get_total_norm([t for t in tensors if _can_overflow(t) and t.numel() > 0], math.inf)
        return math.isfinite(norm.item())

    def stopped(self, patience: int) -> bool:
        """Whether early stopping applies: `patience` epochs (0: never) have passed since the best one."""
        return self.best.stopped(self.position.epoch, patience)

    def note_epoch(
        self,
        record: EpochRecord,
        validation: Validation | None,
        *,
        higher_is_better: bool,
        tolerance: float = 0.0,
        kept: Collection[int] = (),
    ) -> bool:
        """Keep the weights if this epoch is the best, or late and as good: see `BestEpoch.note`.

        A schedule with a memory is told the score, or the training loss where nothing is validated.

        Args:
            record: of the epoch.
            validation: its scores, or None.
            higher_is_better: of the score.
            tolerance: see `BestEpoch.note`.
            kept: ids of copies that must stay as they are.

        Returns:
            Whether the weights of this epoch are kept.
        """
        note = getattr(self.technique.schedule, "note", None)
        if note is not None and validation is not None:
            note(validation.score, higher_is_better)
        elif note is not None:
            note(record.loss, False)
        best = self.best.note(
            record.epoch + 1, validation, higher_is_better=higher_is_better, tolerance=tolerance
        )
        if best:
            self.weights = self.best_copies.copy(model_tensors("best", self.evaluated), kept)
        return best

    def change(self, **values: Any) -> None:
        """Another technique from here on, written down so that a repeat can do the same."""
        self.technique = replace(self.technique, **values)
        self.changes.append({"epoch": self.position.epoch, **values})

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors themselves by name, without the best weights, and the optimizer's description.

        Raises:
            ValueError: the optimizer remembers something that a checkpoint cannot hold.
        """
        tensors, description = optimizer_parts(self.optimizer)
        tensors |= model_tensors("model", self.model)
        if self.average is not None:
            tensors |= model_tensors("average", self.average)
        return tensors, description

    def can_capture(self, kept: Collection[int]) -> bool:
        """Whether there is memory for a copy beside those that are `kept`."""
        return self.copies.has_free(still_needed(self.boundary, self.position.step, kept))

    def capture(self, kept: Collection[int] = ()) -> Captured:
        """A copy of everything, from which training goes on bit for bit.

        At the start of an epoch it takes the place of the boundary before; it stays as it is until the next
        capture whose `kept`, ids of copies that are still needed, does not name it.
        """
        tensors, description = self.parts()
        # read first: it waits for the device, which behind the copies would be waiting for these too
        position = replace(self.position, loss_total=float(self.position.loss_total))
        copy = self.copies.copy(tensors, still_needed(self.boundary, self.position.step, kept))
        memory = getattr(self.technique.schedule, "state", None)
        values = {
            **asdict(position),
            "best": asdict(self.best),
            "rollbacks": self.rollbacks,
            "changes": [dict(change) for change in self.changes],
            "rate_scale": self.technique.rate_scale,
            "micro_batch": self.technique.micro_batch,
            "optimizer": description,
            "schedule": None if memory is None else dict(memory()),
            "scaler": None if self.scaler is None else dict(self.scaler.state_dict()),
        }
        captured = Captured(copy, values, self.weights or {}, device_event(tensors))
        if self.position.step == 0:
            self.boundary = captured
        return captured

    def restore(self, captured: Captured) -> None:
        """The inverse of `capture`, in place."""
        values = captured.values
        captured.wait()
        restore_model("model", self.model, captured.state)
        if self.average is not None:
            restore_model("average", self.average, captured.state)
        restore_optimizer(self.optimizer, captured.state, values["optimizer"])
        self.weights = captured.best or None
        self.position = Position(values["epoch"], values["step"], values["samples"], values["loss_total"])
        self.best = BestEpoch(**values["best"])
        self.rollbacks = values["rollbacks"]
        self.changes = [dict(change) for change in values["changes"]]
        self.technique = replace(
            self.technique, rate_scale=values["rate_scale"], micro_batch=values["micro_batch"]
        )
        recall = getattr(self.technique.schedule, "restore", None)
        if recall is not None and values["schedule"] is not None:
            recall(dict(values["schedule"]))
        if self.scaler is not None and values["scaler"]:
            self.scaler.load_state_dict(values["scaler"])

    def restore_boundary(self) -> None:
        """Back to the start of the epoch, with what was changed on the way undone."""
        self.restore(state_to_return_to(self.boundary))

    def repeat_epoch(self) -> None:
        """Back to the start of the epoch, with what was changed on the way kept."""
        rollbacks, changes, technique = self.rollbacks, self.changes, self.technique
        self.restore_boundary()
        self.rollbacks, self.changes, self.technique = rollbacks, changes, technique

    def restore_best(self) -> None:
        """Put the best epoch's weights into the module that is kept."""
        if self.weights is not None:
            restore_model("best", self.evaluated, self.weights)


def _own_part(tensor: Tensor) -> Tensor:
    # of a tensor that several processes share, without asking the others
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()


def _can_overflow(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
