"""How sure a score is (bootstrap intervals) and how honest the probabilities are (calibration)."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from flambeau.evaluation.metrics import checked_arrays, score_predictions, task_metrics
from flambeau.evaluation.resampling import draw_weights, resamples_for, score_resamples


def bootstrap_intervals(
    task: str,
    targets: np.ndarray,
    predictions: np.ndarray,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Every metric with its percentile bootstrap interval (Efron 1979).

    Rows are drawn with replacement, `resamples` times, and the interval is what the middle `confidence` of
    the resampled scores spans. ROC-AUC and average precision, and any metric on more than 400,000 rows, use
    fewer resamples (never under 100) where rows x classes x resamples would pass 4e8. Where all answers are right, or
    none, all resamples are alike, and the interval of accuracy is Wilson's.

    Args:
        task, targets, predictions: as for `score_predictions`.
        resamples: how many times the rows are drawn.
        confidence: share of the resampled scores inside the interval.
        seed: equal seeds give equal intervals.

    Returns:
        metric → {"value", "low", "high"}; metrics that are undefined on these rows are left out.

    Raises:
        ValueError: as `score_predictions`, or a confidence outside (0, 1).
    """
    values = score_predictions(task, targets, predictions)
    targets, predictions = checked_arrays(task, targets, predictions)
    resampled = _resampled_scores(task, tuple(values), targets, (predictions,), resamples, seed)
    intervals = {
        metric: {"value": value, **_percentile_interval(resampled[metric][0], value, confidence)}
        for metric, value in values.items()
    }
    share = values.get("accuracy")
    if task == "classification" and share in (0.0, 1.0):
        low, high = wilson_interval(share * len(targets), len(targets), confidence)
        intervals["accuracy"] = {"value": share, "low": low, "high": high}
    return intervals


def paired_difference(
    task: str,
    metric: str,
    targets: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, float]:
    """How much the first model's metric exceeds the second's, with an interval over the same rows.

    Both models are scored on the same resamples, so what makes rows hard for both cancels out. Zero outside
    the interval means that the difference is more than the luck of the rows. Arguments as for
    `bootstrap_intervals`.

    Raises:
        ValueError: as `score_predictions`, or a metric that is not defined for the task or on these rows.
    """
    if metric not in task_metrics(task):
        raise ValueError(
            f"unknown metric of {task}: got {metric!r}, expected {', '.join(task_metrics(task))}"
        )
    scores = [score_predictions(task, targets, predictions) for predictions in (first, second)]
    if any(metric not in score for score in scores):
        raise ValueError(f"{metric} is not defined on these rows: they hold too few different targets")
    pair = tuple(checked_arrays(task, targets, predictions)[1] for predictions in (first, second))
    checked_targets = checked_arrays(task, targets, first)[0]
    resampled = _resampled_scores(task, (metric,), checked_targets, pair, resamples, seed)[metric]
    value = scores[0][metric] - scores[1][metric]
    return {"value": value, **_percentile_interval(resampled[0] - resampled[1], value, confidence)}


def _resampled_scores(
    task: str,
    metrics: tuple[str, ...],
    targets: np.ndarray,
    models: tuple[np.ndarray, ...],
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """metric → (models, resamples it uses) scores."""
    rows = len(targets)
    outputs = 1 if task == "regression" else models[0].shape[1]
    wanted = {metric: resamples_for(metric, rows, outputs, resamples) for metric in metrics}
    collected: dict[str, list[np.ndarray]] = {metric: [] for metric in metrics}
    done = 0
    for weights in draw_weights(rows, max(wanted.values(), default=0), seed):
        for metric in metrics:
            used = weights[:, : max(0, wanted[metric] - done)]
            if used.shape[1]:
                scores = [score_resamples(task, metric, targets, model, used) for model in models]
                collected[metric].append(np.stack(scores))
        done += weights.shape[1]
    return {metric: np.concatenate(parts, axis=1) for metric, parts in collected.items()}


def _percentile_interval(scores: np.ndarray, value: float, confidence: float) -> dict[str, float]:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1: got {confidence}")
    defined = scores[np.isfinite(scores)]
    if len(defined) == 0:
        return {"low": value, "high": value}
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return {"low": float(low), "high": float(high)}


def wilson_interval(hits: float, count: float, confidence: float = 0.95) -> tuple[float, float]:
    """Between which ends a share lies after `hits` of `count` (Wilson 1927); unlike resamples never a point."""
    share, z = hits / count, NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    # rounding must not move an end past what was seen
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def calibration_bins(
    probabilities: np.ndarray, targets: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How sure the model was against how often it was right, in bins of equal width.

    Args:
        probabilities: (n, classes): the chosen class counts; or (n, labels): every label counts by itself.
        targets: (n,) class indices, or (n, labels) of 0 and 1.

    Returns:
        Mean confidence, share that came true, and number of cases of each bin that is not empty.
    """
    if targets.ndim == 2:
        confidence, right = probabilities.ravel(), targets.ravel() > 0.5
    else:
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = counts > 0
    sure = np.bincount(place, weights=confidence, minlength=bins)[filled] / counts[filled]
    true = np.bincount(place, weights=right, minlength=bins)[filled] / counts[filled]
    return sure, true, counts[filled]


def expected_calibration_error(probabilities: np.ndarray, targets: np.ndarray, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over bins, weighted by counts (Guo et al. 2017, eq. 3)."""
    sure, true, counts = calibration_bins(probabilities, targets, bins)
    return float((np.abs(sure - true) * counts).sum() / counts.sum())
