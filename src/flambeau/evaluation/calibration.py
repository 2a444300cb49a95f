"""Probabilities at another temperature. Needs numpy alone, so that predicting starts quickly."""

from __future__ import annotations

import numpy as np

TINY_PROBABILITY = 1e-12


def apply_temperature(
    probabilities: np.ndarray, temperature: float, *, multilabel: bool = False
) -> np.ndarray:
    """Probabilities sharpened (below 1) or softened (above 1) by a temperature, in their own shape."""
    exact = np.clip(np.asarray(probabilities, dtype=np.float64), TINY_PROBABILITY, 1)
    if multilabel:
        odds = (np.log(exact) - np.log(np.clip(1 - exact, TINY_PROBABILITY, 1))) / temperature
        return 1 / (1 + np.exp(-odds))
    logits = np.log(exact) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
