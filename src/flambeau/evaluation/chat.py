"""How sure a chatbot may be, and how often it finds the right answer: on questions that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

FEWEST_TO_FIT = 30
FEWEST_TO_RESAMPLE = 30
NORMAL_95 = 1.959964
USUAL_THRESHOLD = 0.5
FAR_BELOW = -1e4


def answer_chances(likeness: np.ndarray, temperature: float, doubt: float) -> np.ndarray:
    """(n, answers + 1) probabilities of similarities (n, answers); the last one is that no answer is right."""
    logits = np.concatenate([likeness / temperature, np.full((len(likeness), 1), doubt)], axis=1)
    logits = logits - logits.max(axis=1, keepdims=True)
    chances = np.exp(logits)
    return chances / chances.sum(axis=1, keepdims=True)


def without_right(likeness: np.ndarray, right: Sequence[Sequence[int]]) -> np.ndarray:
    """The similarities with the right answers of each question taken away: it then has none."""
    taken = likeness.copy()
    for row, places in enumerate(right):
        taken[row, list(places)] = FAR_BELOW
    return taken


def fit_doubt(likeness: np.ndarray, right: Sequence[Sequence[int]]) -> tuple[float, float]:
    """The temperature and the logit of knowing no answer that make held-out questions likeliest.

    Each question is asked twice: as it is, and with its right answers taken away, when knowing none is right.

    Args:
        likeness: (n, answers) similarities.
        right: places of the right answers of each question.

    Returns:
        temperature and doubt; 1 and the mean of the largest similarities for fewer than 30 questions, see
        `usual_doubt` for a better one.
    """
    if len(likeness) < FEWEST_TO_FIT:
        return 1.0, float(likeness.max(axis=1).mean()) if len(likeness) else 0.0
    taken = without_right(likeness, right)

    def loss(values: np.ndarray) -> float:
        temperature, doubt = float(np.exp(values[0])), float(values[1])
        there = answer_chances(likeness, temperature, doubt)
        found = np.array([there[row, list(places)].sum() for row, places in enumerate(right)])
        absent = answer_chances(taken, temperature, doubt)[:, -1]
        return float(-(np.log(np.maximum(found, 1e-12)).mean() + np.log(np.maximum(absent, 1e-12)).mean()))

    start = np.array([0.0, float(likeness.max(axis=1).mean())])
    best = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 400})
    return float(np.clip(np.exp(best.x[0]), 0.01, 100.0)), float(np.clip(best.x[1], -1e4, 1e4))


def usual_doubt(likeness: np.ndarray, right: Sequence[Sequence[int]]) -> float:
    """The logit of knowing no answer where too few questions were held out to fit it: from questions learnt.

    It lies halfway between how similar their right answers are and how similar the best of the others is, so a
    question that was learnt is answered and one that is no more like its best answer than like a wrong one is not.

    Args:
        likeness: (n, answers) similarities of questions that were trained on, at least one.
        right: places of the right answers of each.
    """
    known = np.array([row[list(places)].max() for row, places in zip(likeness, right, strict=True)])
    wrong = without_right(likeness, right).max(axis=1)
    return (
        float((np.median(known) + np.median(wrong[wrong > FAR_BELOW])) / 2)
        if (wrong > FAR_BELOW).any()
        else 0.0
    )


def choose_threshold(
    likeness: np.ndarray, right: Sequence[Sequence[int]], temperature: float, doubt: float
) -> float:
    """The least probability at which answering gains most: a right answer counts 1, a wrong one −1, silence 0.

    Questions are asked as they are and with their answers taken away, as in `fit_doubt`.
    """
    if len(likeness) < FEWEST_TO_FIT:
        return USUAL_THRESHOLD
    gains, sure = [], []
    for values, has_answer in ((likeness, True), (without_right(likeness, right), False)):
        chances = answer_chances(values, temperature, doubt)[:, :-1]
        chosen = chances.argmax(axis=1)
        hits = np.array([has_answer and place in right[row] for row, place in enumerate(chosen)])
        gains.append(np.where(hits, 1, -1))
        sure.append(chances.max(axis=1))
    order = np.argsort(-np.concatenate(sure), kind="stable")
    totals = np.concatenate(gains)[order].cumsum()
    best = int(totals.argmax())
    if totals[best] <= 0:
        return min(1.0, float(np.concatenate(sure)[order[0]]) + 1e-6)
    ordered = np.concatenate(sure)[order]
    below = ordered[best + 1] if best + 1 < len(ordered) else 0.0
    return float((ordered[best] + below) / 2)


def mean_interval(values: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    """The mean of (n,) values, with the interval of 95 % of its bootstrap resamples."""
    generator = np.random.default_rng(seed)
    means = values[generator.integers(0, len(values), size=(resamples, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"value": float(values.mean()), "low": float(low), "high": float(high)}


def hits_interval(hits: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    """The share of (n,) hits, each 0 or 1, with its 95 % interval.

    Of fewer than 30 it is the score interval of E. B. Wilson (1927): resamples of a few equal values are all equal.
    """
    if len(hits) >= FEWEST_TO_RESAMPLE:
        return mean_interval(hits, resamples, seed)
    share, count = float(hits.mean()), len(hits)
    square = NORMAL_95**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = NORMAL_95 * np.sqrt(share * (1 - share) / count + square / (4 * count**2)) / (1 + square / count)
    return {"value": share, "low": max(0.0, float(middle - half)), "high": min(1.0, float(middle + half))}
