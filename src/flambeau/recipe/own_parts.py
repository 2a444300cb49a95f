"""Where a recipe may name a part in a person's own file, "file.py:Name"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OwnPart:
    """A part of a person's own.

    Args:
        words: what it is, in messages.
        argument: what Python's `train` calls it; "" where it is no option of that kind.
        script: what an ejected script calls it; "" where the script has another way to it.
    """

    words: str
    argument: str = ""
    script: str = ""


OWN_PARTS = {
    "source": OwnPart("data"),
    "data.test": OwnPart("test data"),
    "model.name": OwnPart("model", "model"),
    "model.init": OwnPart("initialisation", "init", "own_init"),
    "training.optimizer.name": OwnPart("optimizer", "optimizer", "OwnOptimizer"),
    "training.schedule.name": OwnPart("schedule", "schedule", "own_curve"),
    "training.loss.name": OwnPart("loss", "loss", "own_loss_function"),
}
