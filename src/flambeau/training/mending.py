"""What is done when a training goes wrong in a way that can be mended: back to the epoch's start, and on with less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from flambeau.evaluation.validation import Validation
from flambeau.training.clock import Listener
from flambeau.training.diverged import DivergedError, first_in_validation, first_not_finite
from flambeau.training.loop import EpochBatches
from flambeau.training.losses import Loss
from flambeau.training.memory import is_out_of_memory
from flambeau.training.state import TrainingState
from flambeau.training.writer import StateKeeper

MAX_ROLLBACKS = 3


def roll_back(state: TrainingState, reason: str) -> str:
    """Go back to the start of the epoch at half the rate; counted, and part of every later checkpoint.

    Returns:
        A sentence about it.

    Raises:
        ArithmeticError: it was done `MAX_ROLLBACKS` times before.
    """
    rollbacks = state.rollbacks + 1
    if rollbacks > MAX_ROLLBACKS:
        raise ArithmeticError(
            f"{reason}; {MAX_ROLLBACKS} times half the learning rate did not help: "
            "look for infinite or huge values in the data, or set a smaller training.optimizer.lr"
        )
    state.repeat_epoch()
    state.rollbacks = rollbacks
    state.change(rate_scale=0.5**rollbacks)
    return f"{reason}; back to the start of the epoch at {state.technique.rate_scale:g} of the learning rate"


def step_down(state: TrainingState, batch_size: int, *, processes: int = 1) -> str:
    """Halve the samples that go through the model at once, from the start of the epoch.

    Args:
        state: of the training.
        batch_size: samples of a step.
        processes: that train together.

    Returns:
        A sentence about it.

    Raises:
        MemoryError: one sample at a time does not fit, or several processes train together.
    """
    if processes > 1:
        raise MemoryError(
            "a process that trains together with others cannot make its parts smaller by itself: "
            "set a smaller training.micro_batch or training.batch_size"
        )
    # a part is never larger than its batch
    size = min(state.technique.micro_batch or batch_size, batch_size) // 2
    if size < 1:
        raise MemoryError(
            "the device's memory does not hold one sample at a time: use a smaller model or picture size"
        )
    state.repeat_epoch()
    state.change(micro_batch=size)
    return f"out of memory: {size} samples at once now, gradients accumulated to the same batch"


def release_memory(device: torch.device) -> None:
    """Give memory that torch only holds ready back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Mender:
    """Mends a training, in its state and in its checkpoints.

    Args:
        state, batches, loss: of the training.
        keeper: of its checkpoints.
        validate, listen, processes: as in `Session`.
    """

    state: TrainingState
    batches: EpochBatches
    loss: Loss
    keeper: StateKeeper
    validate: Callable[[nn.Module], Validation] | None
    listen: Listener
    processes: int

    def go_back(self, diverged: DivergedError) -> None:
        """Find out where it went wrong, and go back to the start of the epoch at half the rate.

        Raises:
            ArithmeticError, CheckpointError: as `roll_back`, and where the change could not be written.
        """
        text = roll_back(self.state, f"{diverged}; {self._find(diverged)}")
        self._keep_change()
        self.listen({"kind": "note", "text": text, "rate_scale": self.state.technique.rate_scale})

    def take_less(self) -> None:
        """Put fewer samples through the model at once, from the start of the epoch.

        Raises:
            MemoryError, CheckpointError: as `step_down`, and where the change could not be written.
        """
        batch_size = len(next(self.batches.epoch(0)).targets)
        text = step_down(self.state, batch_size, processes=self.processes)
        self._keep_change()
        release_memory(self.state.technique.device)
        self.listen({"kind": "note", "text": text, "micro_batch": self.state.technique.micro_batch})

    def judge(self, validate: Callable[[nn.Module], Validation], epoch: int) -> Validation:
        """Validate after an epoch (from 1); smaller parts in training would not help if memory ran out here.

        What the training's last step leaves behind is released and the validation tried once more, unless several
        processes do it together.

        Raises:
            MemoryError: the device's memory does not hold it.
        """
        tries = 2 if self.processes == 1 else 1
        for _ in range(tries):
            try:
                return validate(self.state.evaluated)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # behind the handler: the error keeps the failed validation's tensors alive
            release_memory(self.state.technique.device)
        raise MemoryError(
            f"out of memory in the validation after epoch {epoch}, which training.batch_size and "
            "training.micro_batch do not change; use a smaller model or picture size, or end other programs on the "
            "device, and resume"
        )

    def _find(self, diverged: DivergedError) -> str:
        try:
            if diverged.step == 0 and self.validate is not None:
                return first_in_validation(self.state.evaluated, self.validate)
            alone = self.processes == 1
            return first_not_finite(self.state, self.batches, self.loss, diverged, alone=alone)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            # several processes that search together would wait for this one
            if self.processes > 1 or not is_out_of_memory(error):
                raise
        release_memory(self.state.technique.device)
        return "memory ran out while it was looked for the first place that is not finite"

    def _keep_change(self) -> None:
        # checkpoints from inside the epoch know nothing of the change, and a resumed run would take them
        self.keeper.drop_epoch("middle")
        # written at once: a kill after it must not forget the change
        self.keeper.write_now("last", self.keeper.capture())
