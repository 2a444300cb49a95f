"""The temperature at which probabilities mean what they say."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar

from flambeau.evaluation.calibration import TINY_PROBABILITY, apply_temperature

PRIOR_DEVIATION = 0.5


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
            apply_temperature(probabilities, temperature, multilabel=targets.ndim == 2), TINY_PROBABILITY, 1
        )
        if targets.ndim == 2:
            other = np.clip(1 - scaled, TINY_PROBABILITY, 1)
            return prior + float(-np.where(targets > 0.5, np.log(scaled), np.log(other)).mean())
        return prior + float(-np.log(scaled[np.arange(len(targets)), targets]).mean())

    best = minimize_scalar(loss, bounds=(-math.log(20), math.log(20)), method="bounded").x
    return math.exp(best) if loss(best) < loss(0.0) else 1.0
