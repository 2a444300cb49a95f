"""All that a training is at one moment, captured and restored exactly."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.evaluation.validation import BestEpoch, Validation
from flambeau.training.average import averaged_copy
from flambeau.training.checkpoint import model_tensors, optimizer_tensors, restore_model, restore_optimizer
from flambeau.training.loop import EpochRecord, Position, Technique


@dataclass(frozen=True)
class Captured:
    """A copy of a state: tensors by name, and plain values that JSON can hold."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


@dataclass
class TrainingState:
    """A training at one moment.

    Args:
        model, average, optimizer: what is trained; `average` is None without a moving average.
        technique: how; its `rate_scale` and `micro_batch` may change on the way.
        position: epoch and step.
        weights: of the best epoch by name, None before the first epoch has ended.
        best: which epoch that is.
        rollbacks: how often the loss was not finite.
        changes: what was changed on the way: {"epoch" from 0, "rate_scale" or "micro_batch"}, as it happened.
        boundary: the state at the start of the current epoch.
    """

    model: nn.Module
    optimizer: Optimizer
    technique: Technique
    average: nn.Module | None = None
    position: Position = field(default_factory=Position)
    weights: dict[str, Tensor] | None = None
    best: BestEpoch = field(default_factory=BestEpoch)
    rollbacks: int = 0
    changes: list[dict[str, Any]] = field(default_factory=list)
    boundary: Captured | None = None

    @classmethod
    def start(cls, model: nn.Module, optimizer: Optimizer, technique: Technique) -> TrainingState:
        """The state before the first step."""
        average = averaged_copy(model) if technique.average_decay > 0 else None
        return cls(model, optimizer, technique, average)

    @property
    def evaluated(self) -> nn.Module:
        """The module that is judged and kept: the averaged one, if there is one."""
        return self.model if self.average is None else self.average

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.position.epoch >= self.technique.epochs

    def is_finite(self) -> bool:
        """Whether all weights are finite numbers."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.evaluated.parameters())

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
    ) -> bool:
        """Keep the weights if this epoch is the best, or late and as good: see `BestEpoch.note`.

        Returns:
            Whether the weights of this epoch are kept.
        """
        kept = self.best.note(
            record.epoch + 1, validation, higher_is_better=higher_is_better, tolerance=tolerance
        )
        if kept:
            tensors = model_tensors("best", self.evaluated)
            self.weights = {name: tensor.clone() for name, tensor in tensors.items()}
        return kept

    def change(self, **values: Any) -> None:
        """Another technique from here on, written down so that a repeat can do the same."""
        self.technique = replace(self.technique, **values)
        self.changes.append({"epoch": self.position.epoch, **values})

    def capture(self) -> Captured:
        """A copy of everything, from which training goes on bit for bit."""
        tensors = {**model_tensors("model", self.model), **optimizer_tensors(self.optimizer)}
        if self.average is not None:
            tensors |= model_tensors("average", self.average)
        copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        position = replace(self.position, loss_total=float(self.position.loss_total))
        values = {
            **asdict(position),
            "best": asdict(self.best),
            "rollbacks": self.rollbacks,
            "changes": [dict(change) for change in self.changes],
            "rate_scale": self.technique.rate_scale,
            "micro_batch": self.technique.micro_batch,
        }
        captured = Captured({**copies, **(self.weights or {})}, values)
        if self.position.step == 0:
            self.boundary = captured
        return captured

    def restore(self, captured: Captured) -> None:
        """The inverse of `capture`, in place."""
        tensors, values = captured.tensors, captured.values
        restore_model("model", self.model, tensors)
        if self.average is not None:
            restore_model("average", self.average, tensors)
        restore_optimizer(self.optimizer, tensors)
        weights = {name: tensor.clone() for name, tensor in tensors.items() if name.startswith("best/")}
        self.weights = weights or None
        self.position = Position(values["epoch"], values["step"], values["samples"], values["loss_total"])
        self.best = BestEpoch(**values["best"])
        self.rollbacks = values["rollbacks"]
        self.changes = [dict(change) for change in values["changes"]]
        self.technique = replace(
            self.technique, rate_scale=values["rate_scale"], micro_batch=values["micro_batch"]
        )

    def restore_boundary(self) -> None:
        """Back to the start of the epoch."""
        if self.boundary is None:
            raise ValueError("there is no state at the start of the epoch to go back to")
        self.restore(self.boundary)

    def restore_best(self) -> None:
        """Put the best epoch's weights into the module that is kept."""
        if self.weights is not None:
            restore_model("best", self.evaluated, self.weights)
