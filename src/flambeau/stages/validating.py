"""Predictions for rows of the material."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from flambeau.data.batches import evaluation_batch, ordered_batches
from flambeau.data.samples import Samples
from flambeau.evaluation.evaluate import predict_batches
from flambeau.evaluation.forecasts import validate_forecasts
from flambeau.evaluation.validation import Validation, validate_predictions
from flambeau.stages.inputs import Feed
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation


def batch_of(feed: Feed) -> int:
    """Samples to evaluate at once."""
    preparation = feed.preparation
    if isinstance(preparation, PicturePreparation):
        # of a volume, whose channels are slices, fewer at once
        return evaluation_batch(math.prod(preparation.size) * max(1, preparation.channels // 4))
    pictures = preparation.pictures if isinstance(preparation, TablePreparation) else ()
    return evaluation_batch(sum(math.prod(one.pictures.size) for one in pictures))


def predict_rows(
    module: nn.Module, feed: Feed, rows: np.ndarray, task: str, *, flip: bool = False
) -> np.ndarray:
    """Predictions for these rows, in the units of the task; texts in the order of their lengths."""
    if feed.lengths is not None:
        order = feed.lengths[torch.from_numpy(rows)].argsort(stable=True).numpy()
        ordered = replace(feed, lengths=None)
        predictions = predict_rows(module, ordered, rows[order], task, flip=flip)
        return predictions[np.argsort(order, kind="stable")]
    batches = ordered_batches(feed.gather, torch.from_numpy(rows), batch_of(feed))
    predictions = predict_batches(
        module,
        batches,
        task,
        target_mean=feed.scaler.mean,
        target_std=feed.scaler.std,
        target_log=feed.scaler.log,
        flip_average=flip,
    )
    preparation = feed.preparation
    return preparation.restore(predictions) if isinstance(preparation, SeriesPreparation) else predictions


def score_rows(
    samples: Samples, feed: Feed, rows: np.ndarray, predictions: np.ndarray, metric: str
) -> Validation:
    """The scores of predictions for these rows, which choose the best epoch."""
    targets = samples.targets[rows]
    if samples.series is None or feed.scale is None:
        return validate_predictions(samples.schema.task, metric, targets, predictions)
    last = samples.series.values[rows, : targets.shape[2]]
    quantiles = feed.preparation.quantiles if isinstance(feed.preparation, SeriesPreparation) else ()
    return validate_forecasts(metric, targets, predictions, feed.scale, quantiles, last)
