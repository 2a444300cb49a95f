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
