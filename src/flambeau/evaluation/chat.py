"""How sure a chatbot may be, and how often it finds the right answer: on questions that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

FEWEST_TO_FIT = 30
FEWEST_TO_RESAMPLE = 30
NORMAL_95 = 1.959964
USUAL_THRESHOLD = 0.5
# two values are fitted: more questions would not change them
MOST_TO_FIT = 2_000
RIGHT_KEPT, OTHERS_KEPT, GROUPS = 16, 128, 16


def answer_chances(likeness: np.ndarray, temperature: float, doubt: float) -> np.ndarray:
    """(n, answers + 1) probabilities of similarities (n, answers); the last one is that no answer is right."""
    logits = np.concatenate([likeness / temperature, np.full((len(likeness), 1), doubt)], axis=1)
    logits = logits - logits.max(axis=1, keepdims=True)
    chances = np.exp(logits)
    return chances / chances.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Compared:
    """How similar some questions are to their right answers and to all others, as much as a softmax needs.

    Its size grows with the questions alone: of many other answers the most similar are kept, and of the rest the
    means of sixteen equally large groups, from the least similar to the most.

    Args:
        right: (n, kept) float64 similarities of right answers, the largest first, filled up by −infinity.
        others: (n, kept) float64 of the other answers, the largest first, filled up by −infinity.
        rest: (n, groups) float64 means of the others that are not kept; −infinity for an empty group.
        sizes: (n, groups) how many each mean stands for.
    """

    right: np.ndarray
    others: np.ndarray
    rest: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.right)


@dataclass(frozen=True)
class Settled:
    """When a bot knows no answer: divisor of similarities, logit of knowing none, least probability of an answer.

    Args:
        temperature, doubt, threshold: see `answer_chances`.
        fitted: whether held-out questions were enough to fit them; otherwise they come from questions learnt.
    """

    temperature: float
    doubt: float
    threshold: float
    fitted: bool


def compare_answers(blocks: Iterable[np.ndarray], right: Sequence[Sequence[int]]) -> Compared:
    """What is kept of similarities.

    Args:
        blocks: (questions, answers) similarities, one after the other.
        right: places of the right answers of each question.
    """
    kept: list[tuple[np.ndarray, ...]] = []
    for block in blocks:
        for row in block.astype(np.float64):
            places = list(right[len(kept)])
            known = np.sort(row[places])[::-1][:RIGHT_KEPT]
            others = np.delete(row, places)
            if len(others) > OTHERS_KEPT:
                # in order only where the groups meet: linear in the answers
                cuts = np.linspace(0, len(others) - OTHERS_KEPT, GROUPS + 1).astype(int)
                others = np.partition(others, cuts[1:])
                sizes, starts = np.diff(cuts), cuts[:-1]
                sums = np.array(
                    [others[one : one + size].sum() for one, size in zip(starts, sizes, strict=True)]
                )
                rest = np.where(sizes > 0, sums / np.maximum(sizes, 1), -np.inf)
                others = others[cuts[-1] :]
            else:
                rest, sizes = np.full(GROUPS, -np.inf), np.zeros(GROUPS, int)
            kept.append(
                (_filled(known, RIGHT_KEPT), _filled(np.sort(others)[::-1], OTHERS_KEPT), rest, sizes)
            )
    if not kept:
        return Compared(*(np.empty((0, width)) for width in (RIGHT_KEPT, OTHERS_KEPT, GROUPS, GROUPS)))
    return Compared(*(np.stack(part) for part in zip(*kept, strict=True)))


def _filled(values: np.ndarray, width: int) -> np.ndarray:
    return np.concatenate([values, np.full(width - len(values), -np.inf)])


def evenly_chosen(rows: np.ndarray, most: int = MOST_TO_FIT) -> np.ndarray:
    """All rows, or `most` of them in equal distances."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def settle(held_out: Compared, learnt: Callable[[], Compared], threshold: float | None) -> Settled:
    """When a bot says that it knows no answer, and from how many questions on that is fitted.

    Args:
        held_out: questions that it was not trained on.
        learnt: gives questions that it was trained on, at least one.
        threshold: that a person gave.
    """
    if len(held_out) < FEWEST_TO_FIT:
        usual = USUAL_THRESHOLD if threshold is None else threshold
        return Settled(1.0, usual_doubt(learnt()), usual, fitted=False)
    temperature, doubt = fit_doubt(held_out)
    if threshold is None:
        threshold = choose_threshold(held_out, learnt(), temperature, doubt)
    return Settled(temperature, doubt, threshold, fitted=True)


def fit_doubt(compared: Compared) -> tuple[float, float]:
    """The temperature and the logit of knowing no answer that make held-out questions likeliest.

    Each question is asked twice: as it is, and with its right answers taken away, when knowing none is right.
    """

    def loss(values: np.ndarray) -> float:
        known, others, none, _ = shares(compared, float(np.exp(values[0])), float(values[1]))
        found, absent = known / (known + others + none), none / (others + none)
        return float(-(np.log(np.maximum(found, 1e-12)).mean() + np.log(np.maximum(absent, 1e-12)).mean()))

    start = np.array([0.0, float(_most(compared).mean())])
    best = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 400})
    return float(np.clip(np.exp(best.x[0]), 0.01, 100.0)), float(np.clip(best.x[1], -1e4, 1e4))


def _most(compared: Compared) -> np.ndarray:
    return np.maximum(compared.right[:, 0], compared.others[:, 0])


def shares(
    compared: Compared, temperature: float, doubt: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The parts of a softmax, (n,) each: of right answers, of the others, of knowing none; and the largest logit.

    Each is a sum of exponentials of logits less the largest one.
    """
    top = np.maximum(_most(compared) / temperature, doubt)[:, None]
    known = np.exp(compared.right / temperature - top).sum(axis=1)
    others = np.exp(compared.others / temperature - top).sum(axis=1)
    others += (compared.sizes * np.exp(compared.rest / temperature - top)).sum(axis=1)
    return known, others, np.exp(doubt - top[:, 0]), top[:, 0]


def usual_doubt(compared: Compared) -> float:
    """The logit of knowing no answer where too few questions were held out to fit it: from questions learnt.

    It lies halfway between how similar their right answers are and how similar the best of the others is, so a
    question that was learnt is answered and one that is no more like its best answer than like a wrong one is not.
    """
    known, wrong = compared.right[:, 0], compared.others[:, 0]
    wrong = wrong[np.isfinite(wrong)]
    return float((np.median(known) + np.median(wrong)) / 2) if len(wrong) else 0.0


def choose_threshold(held_out: Compared, learnt: Compared, temperature: float, doubt: float) -> float:
    """The least probability at which answering gains most: a right answer counts 1, a wrong one −1, silence 0.

    Held-out questions are asked as they are and with their answers taken away, as in `fit_doubt`; and questions that
    were learnt as often as they are, for a bot that is silent about those is of no use.
    """
    gains, sure = [], []
    for compared, weight in ((held_out, 1.0), (learnt, len(held_out) / max(1, len(learnt)))):
        known, others, none, top = shares(compared, temperature, doubt)
        hits = compared.right[:, 0] > compared.others[:, 0]
        gains.append(np.where(hits, weight, -weight))
        sure.append(np.exp(_most(compared) / temperature - top) / (known + others + none))
        if compared is held_out:
            gains.append(np.full(len(hits), -1.0))
            sure.append(np.exp(compared.others[:, 0] / temperature - top) / (others + none))
    joined = np.concatenate(sure)
    order = np.argsort(-joined, kind="stable")
    ordered, totals = joined[order], np.concatenate(gains)[order].cumsum()
    best = int(totals.argmax())
    if totals[best] <= 0:
        return min(1.0, float(ordered[0]) + 1e-6)
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
