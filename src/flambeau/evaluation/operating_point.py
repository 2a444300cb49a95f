"""The probability from which the second of two classes is answered, and how often that is right.

The point is chosen on validation samples and judged on the test part, where it was not chosen.
"""

from __future__ import annotations

import numpy as np

from flambeau.evaluation.resampling import draw_weights
from flambeau.evaluation.uncertainty import wilson_interval

HALF = 0.5
CONFIDENCE = 0.95
# Which of hits, missed, false alarms and spared are the denominator of each rate.
COUNTED = {
    "sensitivity": (0, 1),
    "specificity": (2, 3),
    "positive_predictive_value": (0, 2),
    "negative_predictive_value": (1, 3),
    "accuracy": (0, 1, 2, 3),
}


def choose_threshold(rule: str, positive: np.ndarray, probabilities: np.ndarray) -> float:
    """The probability from which a sample counts as positive.

    Args:
        rule: "half"; "youden" for the largest sensitivity + specificity - 1 (Youden 1950); "sensitivity=0.95" for the
            highest specificity at which at least that share of positives is found; "specificity=0.95" the other way.
        positive: (n,) whether each sample is positive.
        probabilities: (n,) of being positive.

    Returns:
        Halfway between two probabilities that occur, so that samples near them fall as they did here; 0.5 where only
        one of the two classes is there.

    Raises:
        ValueError: for an unknown rule.
    """
    positive = np.asarray(positive, dtype=bool)
    if rule == "half" or not positive.any() or positive.all():
        return HALF
    values = np.unique(probabilities)
    edges = np.concatenate([[values[0]], (values[:-1] + values[1:]) / 2, [min(1.0, values[-1] + 1e-6)]])
    found = np.sort(probabilities[positive])
    spared = np.sort(probabilities[~positive])
    sensitivity = 1 - np.searchsorted(found, edges, side="left") / len(found)
    specificity = np.searchsorted(spared, edges, side="left") / len(spared)
    if rule == "youden":
        merit = sensitivity + specificity
    else:
        name, _, share = rule.partition("=")
        if name not in ("sensitivity", "specificity") or not share:
            raise ValueError(
                f"unknown rule: got {rule!r}, expected half, youden, sensitivity=… or specificity=…"
            )
        kept, gained = (sensitivity, specificity) if name == "sensitivity" else (specificity, sensitivity)
        merit = np.where(kept >= float(share) - 1e-12, gained, kept - 2.0)
    best = np.flatnonzero(merit >= merit.max() - 1e-12)
    return float(edges[best[np.abs(edges[best] - HALF).argmin()]])


def match_threshold(probabilities: np.ndarray, share: float, wished: float) -> float:
    """The probability nearest to `wished` from which that share of a model's answers is positive.

    Probabilities of two nets trained alike are not on one scale: each may lie a little higher for all samples. What
    they have in common is the order of the samples, so a point moves from one to the other by rank.

    Args:
        probabilities: (n,) of being positive, for the samples that the model was trained on.
        share: of the samples that another model was trained on, how many its point called positive.
        wished: the other model's point; kept where it parts these samples in the same shares.

    Returns:
        `wished`, or a probability halfway between the two samples that the share lies between.
    """
    values = np.sort(np.asarray(probabilities))
    count = int(np.floor(share * len(values) + 0.5))
    low = float(values[len(values) - count - 1]) if count < len(values) else 0.0
    high = float(values[len(values) - count]) if count else 1.0
    if low < wished <= high or (count == len(values) and wished <= high):
        return wished
    if not count or count == len(values):
        return min(1.0, float(np.nextafter(np.float32(low), np.float32(2)))) if not count else high
    middle = (low + high) / 2
    return middle if low < float(np.float32(middle)) else high


def score_decisions(
    positive: np.ndarray, decided: np.ndarray, *, resamples: int = 1000, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Sensitivity, specificity, predictive values and accuracy of decisions, with percentile bootstrap intervals.

    A share of 0 or 1 is the same in all resamples; its interval is Wilson's.

    Args:
        positive: (n,) whether each sample is positive.
        decided: (n,) whether it was said to be.
        resamples: how many times the rows are drawn.
        seed: equal seeds give equal intervals.

    Returns:
        Name → {"value", "low", "high"}; what is not defined on these rows is left out.
    """
    positive, decided = np.asarray(positive, dtype=bool), np.asarray(decided, dtype=bool)
    cells = np.stack(
        [positive & decided, positive & ~decided, ~positive & decided, ~positive & ~decided]
    ).astype(np.float64)
    totals = cells.sum(axis=1)
    whole = _rates(totals[:, None])
    drawn = [
        _rates(cells @ weights.astype(np.float64)) for weights in draw_weights(len(positive), resamples, seed)
    ]
    tail = (1 - CONFIDENCE) / 2
    result = {}
    for name, values in whole.items():
        value = float(values[0])
        resampled = np.concatenate([one[name] for one in drawn])
        resampled = resampled[np.isfinite(resampled)]
        if np.isfinite(value) and len(resampled):
            low, high = np.quantile(resampled, [tail, 1 - tail])
            if value in (0.0, 1.0):
                count = float(totals[list(COUNTED[name])].sum())
                low, high = wilson_interval(value * count, count)
            result[name] = {"value": value, "low": float(low), "high": float(high)}
    return result


def _rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    """(4, resamples) true positives, missed, false alarms, true negatives → each rate (resamples,)."""
    hits, missed, alarms, spared = counts
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "sensitivity": hits / (hits + missed),
            "specificity": spared / (spared + alarms),
            "positive_predictive_value": hits / (hits + alarms),
            "negative_predictive_value": spared / (spared + missed),
            "accuracy": (hits + spared) / counts.sum(axis=0),
        }
