"""Answers that are given up where the model is not sure: the confidence below which it says that it does not know."""

from __future__ import annotations

from typing import Any

import numpy as np

# Of the right answers in the validation part, so many may be lost.
SHARE_GIVEN_UP = 0.03


def choose_threshold(predictions: np.ndarray, targets: np.ndarray, unknown: int | None) -> float:
    """The confidence that all but 3 % of the right answers have.

    It needs no samples that are out of scope, of which there are never enough kinds.

    Args:
        predictions: (n, classes) probabilities of samples that nothing was fitted on.
        targets: (n,) class indices.
        unknown: the class that stands for what is out of scope; its samples are not looked at. None for none.

    Returns:
        A number from 0 to below 1; 0, by which nothing is given up, where no answer is right.
    """
    answers = predictions.argmax(axis=1)
    right = (answers == targets) & (targets != (-1 if unknown is None else unknown))
    if not right.any():
        return 0.0
    return min(float(np.quantile(predictions.max(axis=1)[right], SHARE_GIVEN_UP)), 0.999)


def score_unknown(
    predictions: np.ndarray, targets: np.ndarray, threshold: float | np.ndarray, unknown: int | None
) -> dict[str, Any]:
    """What giving up costs and gains, on tested samples.

    Args:
        predictions: (n, classes) probabilities.
        targets: (n,) class indices.
        threshold: answers with less confidence are given up, as if they were of the unknown class; one for all, or
            (n,) where samples were tested by different models.
        unknown: the class that stands for what is out of scope; None for none.

    Returns:
        "threshold", the middle one; "in_scope_accuracy" and "out_of_scope_recall" (None without such a class) of
        the most probable class, the same "with_threshold", and "answered", the share of samples in scope that
        are not given up.
    """
    answers = predictions.argmax(axis=1)
    sure = predictions.max(axis=1) >= threshold
    out = np.zeros(len(targets), dtype=bool) if unknown is None else targets == unknown
    given_up = ~sure | (answers == (-1 if unknown is None else unknown))

    def mean(values: np.ndarray) -> float | None:
        return round(float(values.mean()), 6) if len(values) else None

    right = answers == targets
    return {
        "threshold": round(float(np.median(threshold)), 6),
        "in_scope_accuracy": mean(right[~out]),
        "out_of_scope_recall": mean(right[out]),
        "with_threshold": {
            "in_scope_accuracy": mean((right & sure)[~out]),
            "out_of_scope_recall": mean(given_up[out]),
            "answered": mean(sure[~out]),
        },
    }
