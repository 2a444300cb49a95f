"""All that a training is at one moment, captured and restored exactly."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.training.average import averaged_copy
from flambeau.training.checkpoint import model_tensors, optimizer_tensors, restore_model, restore_optimizer
from flambeau.training.loop import EpochRecord, Position, Technique


@dataclass(frozen=True)
class Validation:
    """Scores of the validation part.

    Args:
        loss: the mean loss.
        score: what chooses the best epoch.
        spread: the standard error of the mean loss.
    """

    loss: float
    score: float
    spread: float = 0.0


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
        best: the weights of the best epoch by name, None before the first epoch has ended.
        best_epoch: the one whose weights are kept, from 1; 0 before the first epoch has ended.
        best_score, best_loss, best_spread: of the best epoch's validation; a later one within tolerance may be kept.
        rollbacks: how often the loss was not finite.
        boundary: the state at the start of the current epoch.
    """

    model: nn.Module
    optimizer: Optimizer
    technique: Technique
    average: nn.Module | None = None
    position: Position = field(default_factory=Position)
    best: dict[str, Tensor] | None = None
    best_epoch: int = 0
    best_score: float | None = None
    best_loss: float | None = None
    best_spread: float = 0.0
    rollbacks: int = 0
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
        return patience > 0 and self.best_epoch > 0 and self.position.epoch - self.best_epoch >= patience

    def note_epoch(
        self,
        record: EpochRecord,
        validation: Validation | None,
        *,
        higher_is_better: bool,
        tolerance: float = 0.0,
    ) -> bool:
        """Keep the weights if this epoch is the best, or late and as good; without validation the last one is kept.

        Equal scores are decided by the validation loss: scores such as accuracy tie often on few samples. With a
        tolerance, a later epoch is kept too if its loss is within that many standard errors of the best one's (the
        one-standard-error rule of Breiman et al. 1984, which takes the further annealed net for the simpler one).

        Returns:
            Whether the weights of this epoch are kept.
        """
        best = True
        if validation is not None and self.best_score is not None and self.best_loss is not None:
            sign = 1 if higher_is_better else -1
            best = (sign * validation.score, -validation.loss) > (sign * self.best_score, -self.best_loss)
            if not best and validation.loss > self.best_loss + tolerance * self.best_spread:
                return False
            if not best and tolerance == 0:
                return False
        self.best = {name: tensor.clone() for name, tensor in model_tensors("best", self.evaluated).items()}
        self.best_epoch = record.epoch + 1
        if validation is not None and best:
            self.best_score, self.best_loss = validation.score, validation.loss
            self.best_spread = validation.spread
        return True

    def capture(self) -> Captured:
        """A copy of everything, from which training goes on bit for bit."""
        tensors = {**model_tensors("model", self.model), **optimizer_tensors(self.optimizer)}
        if self.average is not None:
            tensors |= model_tensors("average", self.average)
        copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        position = replace(self.position, loss_total=float(self.position.loss_total))
        values = {
            **asdict(position),
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "best_loss": self.best_loss,
            "best_spread": self.best_spread,
            "rollbacks": self.rollbacks,
            "rate_scale": self.technique.rate_scale,
            "micro_batch": self.technique.micro_batch,
        }
        captured = Captured({**copies, **(self.best or {})}, values)
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
        best = {name: tensor.clone() for name, tensor in tensors.items() if name.startswith("best/")}
        self.best = best or None
        self.position = Position(values["epoch"], values["step"], values["samples"], values["loss_total"])
        self.best_epoch, self.best_score = values["best_epoch"], values["best_score"]
        self.best_loss, self.best_spread = values["best_loss"], values["best_spread"]
        self.rollbacks = values["rollbacks"]
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
        if self.best is not None:
            restore_model("best", self.evaluated, self.best)
