"""Scores of predictions on one part of the data, by scikit-learn, under the names that every run keeps."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    recall_score,
    roc_auc_score,
)

TASK_METRICS = {
    "classification": ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss"),
    "multilabel": ("average_precision", "f1_macro", "roc_auc", "accuracy"),
    "regression": ("rmse", "mae", "mape", "r2"),
    "forecast": (
        *(
            "mae",
            "rmse",
            "mse",
            "scaled_mse",
            "scaled_mae",
            "mase",
            "pinball",
            "coverage",
            "width",
            "direction",
        ),
    ),
    "language": ("nats_per_token", "perplexity", "bits_per_character"),
    "chat": ("top1", "top5", "nats_per_token", "perplexity"),
    "generate": ("frechet_distance",),
}
LOWER_IS_BETTER = frozenset(
    {"mse", "scaled_mse", "scaled_mae", "mase", "pinball", "width"}
    | {
        "frechet_distance",
        "log_loss",
        "mae",
        "mape",
        "rmse",
        "nats_per_token",
        "perplexity",
        "bits_per_character",
    }
)


def task_metrics(task: str) -> tuple[str, ...]:
    """The names of the task's metrics, the main one first. Raises ValueError for an unknown task."""
    if task not in TASK_METRICS:
        raise ValueError(f"unknown task: got {task!r}, expected one of {', '.join(TASK_METRICS)}")
    return TASK_METRICS[task]


def main_metric(task: str) -> str:
    """The metric that a run is judged by where the recipe names none: accuracy, average precision or RMSE."""
    return task_metrics(task)[0]


def higher_is_better(metric: str) -> bool:
    """Whether a larger value of the metric is the better one. Raises ValueError for an unknown metric."""
    known = {name for names in TASK_METRICS.values() for name in names}
    if metric not in known:
        raise ValueError(f"unknown metric: got {metric!r}, expected one of {', '.join(sorted(known))}")
    return metric not in LOWER_IS_BETTER


def score_predictions(task: str, targets: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Every metric of the task that is defined on these rows.

    Args:
        task: "classification", "multilabel" or "regression".
        targets: (n,) class indices; (n, labels) of 0 and 1; or (n,) numbers.
        predictions: (n, classes) probabilities; (n, labels) probabilities; or (n,) numbers in the target's
            units.

    Returns:
        Metric name → value, never NaN. Means over classes (balanced accuracy, F1, ROC-AUC, average precision)
        are taken over the classes that occur in these rows; a metric that is undefined here, such as ROC-AUC
        with one class only, is left out.

    Raises:
        ValueError: an unknown task, no rows, shapes that do not belong together, or predictions that are not
        finite.
    """
    metrics = task_metrics(task)
    targets, predictions = checked_arrays(task, targets, predictions)
    if task == "classification":
        scores = _score_classification(targets, predictions)
    elif task == "multilabel":
        scores = _score_multilabel(targets, predictions)
    else:
        scores = _score_regression(targets, predictions)
    return {name: float(scores[name]) for name in metrics if np.isfinite(scores.get(name, np.nan))}


def checked_arrays(task: str, targets: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets and float64 predictions whose shapes fit each other and the task; ValueError otherwise."""
    targets = np.asarray(targets)
    predictions = np.asarray(predictions, dtype=np.float64)
    dimensions = {"classification": (1, 2), "multilabel": (2, 2), "regression": (1, 1), "forecast": (3, 4)}[
        task
    ]
    if (targets.ndim, predictions.ndim) != dimensions or len(targets) != len(predictions):
        raise ValueError(
            f"targets and predictions of {task} do not fit: "
            f"got shapes {targets.shape} and {predictions.shape}, expected "
            f"{dimensions[0]} and {dimensions[1]} dimensions with equally many rows"
        )
    if task == "multilabel" and targets.shape != predictions.shape:
        raise ValueError(
            f"one probability a label is expected: got {predictions.shape}, expected {targets.shape}"
        )
    if len(targets) == 0:
        raise ValueError("there is nothing to score: got 0 rows, expected at least 1")
    if not np.isfinite(predictions).all():
        bad = int((~np.isfinite(predictions)).sum())
        raise ValueError(
            f"predictions must be finite: got {bad} of {predictions.size} values NaN or infinite"
        )
    if task == "classification":
        targets = targets.astype(np.int64)
        if targets.min() < 0 or targets.max() >= predictions.shape[1]:
            raise ValueError(
                f"class indices are out of range: got {targets.min()} to {targets.max()}, "
                f"expected 0 to {predictions.shape[1] - 1}"
            )
    return targets, predictions


def normalised_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Rows of float64 that add up to one: float32 softmax is off by more than scikit-learn tolerates."""
    totals = probabilities.sum(axis=1, keepdims=True)
    return probabilities / np.where(totals > 0, totals, 1.0)


def _score_classification(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    chosen = probabilities.argmax(axis=1)
    present = np.unique(targets)
    return {
        "accuracy": accuracy_score(targets, chosen),
        # Equal to balanced_accuracy_score, which warns when a class is predicted that does not occur.
        "balanced_accuracy": recall_score(targets, chosen, labels=present, average="macro", zero_division=0),
        "f1_macro": f1_score(targets, chosen, average="macro", zero_division=0),
        "roc_auc": _mean_defined(
            [
                roc_auc_score(targets == label, probabilities[:, label])
                for label in present
                if len(present) > 1
            ]
        ),
        "log_loss": log_loss(
            targets, normalised_probabilities(probabilities), labels=np.arange(probabilities.shape[1])
        ),
    }


def _score_multilabel(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    targets = targets > 0.5
    chosen = probabilities > 0.5
    occurring = np.flatnonzero(targets.any(axis=0))
    varying = np.flatnonzero(targets.any(axis=0) & ~targets.all(axis=0))
    used = np.flatnonzero(targets.any(axis=0) | chosen.any(axis=0))
    return {
        "average_precision": _mean_defined(
            [average_precision_score(targets[:, label], probabilities[:, label]) for label in occurring]
        ),
        "f1_macro": _mean_defined(
            [f1_score(targets[:, label], chosen[:, label], zero_division=0) for label in used]
        ),
        "roc_auc": _mean_defined(
            [roc_auc_score(targets[:, label], probabilities[:, label]) for label in varying]
        ),
        "accuracy": float((targets == chosen).all(axis=1).mean()),
    }


def _score_regression(targets: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    scores = {
        "rmse": float(np.sqrt(mean_squared_error(targets, predictions))),
        "mae": mean_absolute_error(targets, predictions),
    }
    # A share of the target means something only where there is a zero below all targets.
    if np.min(targets) > 0:
        scores["mape"] = float(np.mean(np.abs(predictions - targets) / targets))
    # R² compares with the mean of these rows, which says nothing when they are all equal.
    if np.ptp(targets) > 0:
        scores["r2"] = r2_score(targets, predictions)
    return scores


def _mean_defined(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
