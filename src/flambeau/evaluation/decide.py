"""From probabilities to the class that is answered. Who answers imports this alone, without scores and scikit-learn."""

from __future__ import annotations

import numpy as np


def choose_classes(predictions: np.ndarray, threshold: float | None) -> np.ndarray:
    """The class of each row: the most probable one, or of two classes the second from a probability on.

    Args:
        predictions: (n, classes) probabilities.
        threshold: of the second class; None for the most probable one.

    Returns:
        (n,) int64 class indices.
    """
    if threshold is None or predictions.shape[1] != 2:
        return predictions.argmax(axis=1).astype(np.int64)
    return (predictions[:, 1] >= threshold).astype(np.int64)


def choose_sure_classes(predictions: np.ndarray, point: float | None, least: float) -> np.ndarray:
    """As `choose_classes`, but -1 where no probability reaches `least`; 0 for all rows to have a class.

    Args:
        predictions: (n, classes) probabilities.
        point: of the second of two classes; None for the most probable one.
        least: the probability below which no class is answered.

    Returns:
        (n,) int64 class indices, or -1.
    """
    chosen = choose_classes(predictions, point)
    return np.where(predictions.max(axis=1) >= least, chosen, -1) if least else chosen
