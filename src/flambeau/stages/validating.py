"""Predictions for rows of the material."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from flambeau.data.batches import evaluation_batch, ordered_batches
from flambeau.evaluation.evaluate import predict_batches
from flambeau.stages.inputs import Feed
from flambeau.transforms.image import PicturePreparation


def batch_of(feed: Feed) -> int:
    """Samples to evaluate at once."""
    preparation = feed.preparation
    return evaluation_batch(math.prod(preparation.size) if isinstance(preparation, PicturePreparation) else 0)


def predict_rows(
    module: nn.Module, feed: Feed, rows: np.ndarray, task: str, *, flip: bool = False
) -> np.ndarray:
    """Predictions for these rows, in the units of the task."""
    batches = ordered_batches(feed.gather, torch.from_numpy(rows), batch_of(feed))
    return predict_batches(
        module, batches, task, target_mean=feed.scaler.mean, target_std=feed.scaler.std, flip_average=flip
    )
