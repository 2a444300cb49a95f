"""Whether rare classes are drawn more often in training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flambeau.data.sampling import balanced_weights
from flambeau.recipe import Recipe


def sampling_weights(targets: Tensor, train_rows: np.ndarray, recipe: Recipe) -> Tensor | None:
    """(training rows,) weights of the draws; None where each row is taken once, and for what has no classes."""
    if recipe.training.sampler != "weighted" or targets.ndim != 1 or targets.is_floating_point():
        return None
    return balanced_weights(targets[torch.from_numpy(train_rows).to(targets.device)])
