"""Everything that one training takes: what `fitting` assembles and the engine trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from flambeau.data.batches import Batches
from flambeau.models.spec import ModelSpec
from flambeau.stages.inputs import Feed
from flambeau.training.loop import Technique
from flambeau.training.losses import Loss
from flambeau.training.session import Session


@dataclass
class Parts:
    """Everything that `run_session` takes, for one model on one split."""

    model: nn.Module
    spec: ModelSpec
    batches: Batches
    optimizer: Optimizer
    loss: Loss
    technique: Technique
    session: Session
    feed: Feed
    number: int
    valid_rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    head_changes: list[dict[str, Any]] = field(default_factory=list)
    # the model that `model` is only the head of, where the head alone is trained, on features
    whole: nn.Module | None = None
    # of sharded weights, which cannot be copied later
    average: nn.Module | None = None
