"""Predictions for rows of the material."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from flambeau.data.batches import ordered_batches
from flambeau.evaluation.evaluate import predict_batches
from flambeau.stages.inputs import Feed
from flambeau.transforms.image import PicturePreparation

LARGEST_BATCH = 512
PIXELS_A_BATCH = LARGEST_BATCH * 128 * 128


def evaluation_batch(feed: Feed) -> int:
    """Samples to evaluate at once: fewer of larger pictures, so that memory is bounded."""
    if not isinstance(feed.preparation, PicturePreparation):
        return LARGEST_BATCH
    height, width = feed.preparation.size
    return max(1, min(LARGEST_BATCH, PIXELS_A_BATCH // (height * width)))


def predict_rows(
    module: nn.Module, feed: Feed, rows: np.ndarray, task: str, *, flip: bool = False
) -> np.ndarray:
    """Predictions for these rows, in the units of the task."""
    batches = ordered_batches(feed.gather, torch.from_numpy(rows), evaluation_batch(feed))
    return predict_batches(
        module, batches, task, target_mean=feed.scaler.mean, target_std=feed.scaler.std, flip_average=flip
    )
