"""Whether a test part is harder than the validation part by more than luck, as parts from different places are."""

from __future__ import annotations

import numpy as np

from flambeau.evaluation.metrics import score_predictions
from flambeau.evaluation.resampling import draw_weights, resamples_for, score_resamples

# Fewer than one of a hundred gaps that are told would be luck, and a gap must be worth telling.
CONFIDENCE = 0.99
LEAST_GAP = 0.01


def find_shift(
    metric: str,
    valid: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, float] | None:
    """How much lower a score of classes is on the test part; None where that may be luck or is hardly anything.

    Both parts are resampled independently of each other (Efron 1979).

    Args:
        metric: of classification, of which more is better.
        valid, test: targets (n,) and probabilities (n, classes) of each part.
        resamples: how many times the rows of each part are drawn.
        seed: equal seeds give equal intervals.

    Returns:
        "valid" and "test", the scores, and "low" and "high", between which their difference lies.
    """
    values, drawn = [], []
    for number, (targets, predictions) in enumerate((valid, test)):
        scores = score_predictions("classification", targets, predictions)
        if metric not in scores:
            return None
        exact = predictions.astype(np.float64)
        count = resamples_for(metric, len(targets), exact.shape[1], resamples)
        blocks = [
            score_resamples("classification", metric, targets, exact, weights)
            for weights in draw_weights(len(targets), count, 2 * seed + number)
        ]
        values.append(scores[metric])
        drawn.append(np.concatenate(blocks))
    most = min(len(one) for one in drawn)
    gaps = drawn[0][:most] - drawn[1][:most]
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(end) for end in np.quantile(gaps, [tail, 1 - tail]))
    if low <= 0 or values[0] - values[1] < LEAST_GAP:
        return None
    return {"valid": values[0], "test": values[1], "low": low, "high": high}
