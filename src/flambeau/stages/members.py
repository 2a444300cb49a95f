"""One trained model, several that answer together, and what a repeat must know of each of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from flambeau.models.spec import ModelSpec
from flambeau.stages.inputs import Feed
from flambeau.stages.judged import Validated
from flambeau.stages.parts import Parts
from flambeau.training.loop import Technique
from flambeau.training.steps import step_with_closure


def asks_again(technique: Technique) -> bool:
    """Whether the optimizer asks for its gradients by a closure."""
    step = technique.step
    # several processes put a function around it
    inner = step.args[0] if isinstance(step, partial) else step
    return inner is step_with_closure


@dataclass
class Member:
    """One trained model, and how it was fed."""

    module: nn.Module
    parts: Parts
    best_epoch: int
    changes: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """What a repeat must know beside the recipe: the rows that chose the epoch, and what changed on the way."""
        return {
            "number": self.parts.number,
            "epochs": self.parts.technique.epochs,
            "best_epoch": self.best_epoch,
            "valid": self.parts.valid_rows.tolist(),
            "changes": self.changes,
            "head_changes": self.parts.head_changes,
            "on_features": self.parts.whole is not None,
            "asks_again": asks_again(self.parts.technique),
        }


@dataclass
class Fitted:
    """A model, one or several judged as one, with what it is fed and how sure it should be."""

    module: nn.Module
    spec: ModelSpec
    feed: Feed
    temperature: float
    best_epoch: int
    trainings: list[dict[str, Any]]
    threshold: float = 0.0
    validated: Validated | None = None


def left_out_by_all(members: list[Member]) -> bool:
    """Whether no member was trained on another's validation rows, as these are the same."""
    return all_alike([member.parts.valid_rows for member in members])


def all_alike(rows: list[np.ndarray]) -> bool:
    """Whether these are the same rows again and again."""
    return all(np.array_equal(rows[0], one) for one in rows)
