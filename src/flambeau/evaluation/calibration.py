"""Probabilities that mean what they say: temperature scaling. Needs numpy alone, so that predicting starts quickly."""

from __future__ import annotations

import math

import numpy as np

PRIOR_DEVIATION = 0.5
_TINY = 1e-12


def fit_temperature(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """The temperature at which probabilities fit how often they come true (Guo et al. 2017).

    softmax(log p / T) has the least log loss on these rows, which must be validation rows. Above 1, the model
    was too sure of itself. The order of the classes, and so the accuracy, stays.

    Few rows that are all classified rightly would ask for T = 0, so log T has a normal prior around 0, which many
    rows overrule.

    Args:
        probabilities: (n, classes), or (n, labels) for multilabel.
        targets: (n,) class indices, or (n, labels) of 0 and 1.

    Returns:
        A temperature between 0.05 and 20; 1.0 where no other is better.
    """

    def loss(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        prior = (log_temperature / PRIOR_DEVIATION) ** 2 / 2 / len(targets)
        scaled = np.clip(
            apply_temperature(probabilities, temperature, multilabel=targets.ndim == 2), _TINY, 1
        )
        if targets.ndim == 2:
            other = np.clip(1 - scaled, _TINY, 1)
            return prior + float(-np.where(targets > 0.5, np.log(scaled), np.log(other)).mean())
        return prior + float(-np.log(scaled[np.arange(len(targets)), targets]).mean())

    # Golden-section search: the loss has one valley in log T, and 25 steps narrow it to 4e-5 of its width.
    golden = (math.sqrt(5) - 1) / 2
    low, high = -math.log(20), math.log(20)
    left, right = high - golden * (high - low), low + golden * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    for _ in range(25):
        if loss_left < loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - golden * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + golden * (high - low)
            loss_right = loss(right)
    best = (low + high) / 2
    return math.exp(best) if loss(best) < loss(0.0) else 1.0


def apply_temperature(
    probabilities: np.ndarray, temperature: float, *, multilabel: bool = False
) -> np.ndarray:
    """Probabilities sharpened (below 1) or softened (above 1) by a temperature, in their own shape."""
    exact = np.clip(np.asarray(probabilities, dtype=np.float64), _TINY, 1)
    if multilabel:
        odds = (np.log(exact) - np.log(np.clip(1 - exact, _TINY, 1))) / temperature
        return 1 / (1 + np.exp(-odds))
    logits = np.log(exact) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
