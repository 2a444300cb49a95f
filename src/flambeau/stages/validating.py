"""Predictions for rows of the material, and the validation score that chooses the best epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from flambeau.data.batches import ordered_batches
from flambeau.evaluation.calibration import apply_temperature, fit_temperature
from flambeau.evaluation.evaluate import predict_batches
from flambeau.evaluation.metrics import higher_is_better, score_predictions
from flambeau.stages.inputs import Feed
from flambeau.training.state import Validation
from flambeau.transforms.image import PicturePreparation

LARGEST_BATCH = 512
PIXELS_A_BATCH = LARGEST_BATCH * 128 * 128
MOST_CALIBRATED = 2_000_000
_LEAST_PROBABILITY = 1e-7


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


def validation_of(task: str, metric: str, targets: np.ndarray, predictions: np.ndarray) -> Validation:
    """The mean loss of predictions, and the score that chooses the best epoch.

    Probabilities are calibrated first (Guo et al. 2017), as the kept model's will be: label smoothing and mixup make
    the raw log loss of better epochs look worse.
    """
    if task != "regression" and predictions.size <= MOST_CALIBRATED:
        temperature = fit_temperature(predictions, targets)
        predictions = apply_temperature(predictions, temperature, multilabel=task == "multilabel")
    if task == "classification":
        losses = -np.log(np.maximum(predictions[np.arange(len(targets)), targets], _LEAST_PROBABILITY))
    elif task == "multilabel":
        likelihood = np.where(targets > 0.5, predictions, 1 - predictions)
        losses = -np.log(np.maximum(likelihood, _LEAST_PROBABILITY)).mean(axis=1)
    else:
        losses = np.square(targets - predictions)
    loss = float(losses.mean())
    spread = float(losses.std() / len(losses) ** 0.5)
    quick: dict[str, Callable[[], float]] = {
        "log_loss": lambda: loss,
        "accuracy": lambda: float((predictions.argmax(axis=1) == targets).mean()),
        "rmse": lambda: loss**0.5,
    }
    if metric in quick and not (metric == "accuracy" and task == "multilabel"):
        return Validation(loss, quick[metric](), spread)
    scores = score_predictions(task, targets, predictions)
    worst = 0.0 if higher_is_better(metric) else float("inf")
    return Validation(loss, scores.get(metric, worst), spread)
