"""All that the training of a generative adversarial net is at one moment, captured and restored exactly."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.evaluation.validation import BestEpoch, Validation
from flambeau.training.average import averaged_copy
from flambeau.training.checkpoint import model_tensors, restore_model
from flambeau.training.gan_loop import GanPosition, GanTechnique
from flambeau.training.optimizer_state import optimizer_parts, restore_optimizer
from flambeau.training.snapshot import (
    Captured,
    SnapshotBuffers,
    device_event,
    state_to_return_to,
    still_needed,
)

PLAYERS = ("generator", "discriminator")


@dataclass
class GanState:
    """The training at one moment.

    Args:
        generator, discriminator, optimizers: what is trained.
        technique: how.
        average: holds the moving average of the generator's weights.
        position: epoch, step, and the sums of the epoch so far.
        weights: of the best epoch's generator by name, None before the first epoch has ended.
        best: which epoch that is.
        boundary: the state at the start of the current epoch.
        copies, best_copies: memory for captured states and for the best weights.
    """

    generator: nn.Module
    discriminator: nn.Module
    optimizers: tuple[Optimizer, Optimizer]
    technique: GanTechnique
    average: nn.Module | None = None
    position: GanPosition = field(default_factory=GanPosition)
    weights: dict[str, Tensor] | None = None
    best: BestEpoch = field(default_factory=BestEpoch)
    boundary: Captured | None = None
    copies: SnapshotBuffers = field(default_factory=SnapshotBuffers)
    best_copies: SnapshotBuffers = field(default_factory=SnapshotBuffers)

    @classmethod
    def start(
        cls,
        generator: nn.Module,
        discriminator: nn.Module,
        optimizers: tuple[Optimizer, Optimizer],
        technique: GanTechnique,
    ) -> GanState:
        """The state before the first step."""
        average = averaged_copy(generator) if technique.average_decay > 0 else None
        return cls(generator, discriminator, optimizers, technique, average)

    @property
    def evaluated(self) -> nn.Module:
        """The generator that is judged and kept: the averaged one, if there is one; in evaluation mode."""
        return (self.generator if self.average is None else self.average).eval()

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.position.epoch >= self.technique.epochs

    def is_finite(self) -> bool:
        """Whether all weights and running statistics of both nets, and of the average, are finite numbers."""
        nets = [self.generator, self.discriminator, *([self.average] if self.average is not None else [])]
        tensors = [value for net in nets for value in net.state_dict().values()]
        return all(bool(torch.isfinite(one).all()) for one in tensors if one.is_floating_point())

    def note_epoch(self, number: int, validation: Validation | None, *, kept: Collection[int] = ()) -> bool:
        """Keep the generator's weights if this epoch, counted from 1, has the smallest score. Returns whether."""
        best = self.best.note(number, validation, higher_is_better=False)
        if best:
            self.weights = self.best_copies.copy(model_tensors("best", self.evaluated), kept)
        return best

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors themselves by name, without the best weights, and the description of both optimizers.

        Raises:
            ValueError: an optimizer remembers something that a checkpoint cannot hold.
        """
        tensors = {"totals": self.position.totals}
        description: dict[str, Any] = {}
        for name, model, optimizer in zip(
            PLAYERS, (self.generator, self.discriminator), self.optimizers, strict=True
        ):
            own, description[name] = optimizer_parts(optimizer)
            tensors |= {f"{name}/{key}": tensor for key, tensor in own.items()}
            tensors |= model_tensors(f"{name}/model", model)
        if self.average is not None:
            tensors |= model_tensors("average", self.average)
        return tensors, description

    def can_capture(self, kept: Collection[int]) -> bool:
        """Whether there is memory for a copy beside those that are `kept`."""
        return self.copies.has_free(still_needed(self.boundary, self.position.step, kept))

    def capture(self, kept: Collection[int] = ()) -> Captured:
        """A copy of everything, from which training goes on bit for bit; as `TrainingState.capture`."""
        tensors, description = self.parts()
        copy = self.copies.copy(tensors, still_needed(self.boundary, self.position.step, kept))
        position = self.position
        values = {
            "epoch": position.epoch,
            "step": position.step,
            "samples": position.samples,
            "best": asdict(self.best),
            "optimizers": description,
        }
        captured = Captured(copy, values, self.weights or {}, device_event(tensors))
        if position.step == 0:
            self.boundary = captured
        return captured

    def restore(self, captured: Captured) -> None:
        """The inverse of `capture`, in place."""
        values = captured.values
        captured.wait()
        for name, model, optimizer in zip(
            PLAYERS, (self.generator, self.discriminator), self.optimizers, strict=True
        ):
            restore_model(f"{name}/model", model, captured.state)
            own = {
                key.removeprefix(f"{name}/"): tensor
                for key, tensor in captured.state.items()
                if key.startswith(f"{name}/")
            }
            restore_optimizer(optimizer, own, values["optimizers"][name])
        if self.average is not None:
            restore_model("average", self.average, captured.state)
        self.weights = captured.best or None
        totals = captured.state["totals"].clone().to(self.technique.device)
        self.position = GanPosition(values["epoch"], values["step"], values["samples"], totals)
        self.best = BestEpoch(**values["best"])

    def restore_boundary(self) -> None:
        """Back to the start of the epoch."""
        self.restore(state_to_return_to(self.boundary))

    def restore_best(self) -> None:
        """Put the best epoch's weights into the generator that is kept."""
        if self.weights is not None:
            restore_model("best", self.evaluated, self.weights)
