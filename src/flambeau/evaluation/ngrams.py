"""What a language model is compared with: all tokens alike, their frequencies, and n-grams that back off; intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LARGEST_KEY = 2**62
MOST_TOKENS_COUNTED = 5_000_000
LONGEST_NGRAM = 6
BLOCK = 256
FEWEST_BLOCKS = 10


@dataclass(frozen=True)
class NgramCounts:
    """How often each n-gram and its history occur.

    Args:
        keys, counts: of n-grams, keys sorted.
        histories, totals, kinds: of their histories: keys sorted, how often, and how many different tokens follow.
    """

    keys: np.ndarray
    counts: np.ndarray
    histories: np.ndarray
    totals: np.ndarray
    kinds: np.ndarray


def longest_order(vocabulary: int) -> int:
    """The longest n-grams of which each is one 62-bit number."""
    return max(1, min(LONGEST_NGRAM, int(math.log(LARGEST_KEY) / math.log(max(2, vocabulary)))))


def ngram_keys(tokens: np.ndarray, order: int, vocabulary: int) -> np.ndarray:
    """(tokens − order + 1,) int64: the n-gram that ends at each token, as one number."""
    keys = np.zeros(len(tokens) - order + 1, dtype=np.int64)
    for place in range(order):
        keys = keys * vocabulary + tokens[place : len(tokens) - order + 1 + place]
    return keys


def count_ngrams(tokens: np.ndarray, order: int, vocabulary: int) -> NgramCounts:
    """Counts of all n-grams of one length in (all,) int64 token ids."""
    keys, counts = np.unique(ngram_keys(tokens, order, vocabulary), return_counts=True)
    histories, begins, kinds = np.unique(keys // vocabulary, return_index=True, return_counts=True)
    return NgramCounts(keys, counts, histories, np.add.reduceat(counts, begins), kinds)


def ngram_nats(train: np.ndarray, judged: np.ndarray, vocabulary: int, orders: int) -> list[np.ndarray]:
    """Nats of each token of a text by interpolated n-grams of length 1, 2 and so on, each backing off to the last one.

    With c of an n-gram, T different tokens behind its history h, and the shorter estimate p' (Witten and Bell 1991):
    p(w|h) = (c(h, w) + T(h) p'(w)) / (c(h) + T(h)); the shortest one backs off to all tokens alike.

    Args:
        train: (n,) token ids to count, of which the last five million.
        judged: (m,) token ids, 2 or more.
        vocabulary: how many ids there are.
        orders: the longest n-gram.

    Returns:
        For each length (m − 1,) float64, of all tokens but the first.
    """
    train = train[-MOST_TOKENS_COUNTED:].astype(np.int64)
    judged = judged.astype(np.int64)
    chances = np.full(len(judged), 1.0 / vocabulary)
    result = []
    for order in range(1, orders + 1):
        if len(train) < order or len(judged) < order:
            break
        known = count_ngrams(train, order, vocabulary)
        keys = ngram_keys(judged, order, vocabulary)
        times = _looked_up(known.keys, known.counts, keys)
        totals = _looked_up(known.histories, known.totals, keys // vocabulary)
        kinds = _looked_up(known.histories, known.kinds, keys // vocabulary)
        shorter = chances[order - 1 :]
        seen = totals > 0
        mixed = (times + kinds * shorter) / np.where(seen, totals + kinds, 1)
        chances = chances.copy()
        chances[order - 1 :] = np.where(seen, mixed, shorter)
        result.append(-np.log(chances[1:]))
    return result


def _looked_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted key, 0 where it is not among the sorted keys."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)


def baseline_nats(
    train: np.ndarray, valid: np.ndarray, test: np.ndarray, vocabulary: int
) -> dict[str, np.ndarray]:
    """Name → nats of each token of the test text but the first; the n-grams' length is chosen on the validation text.

    Args:
        train, valid, test: (n,) token ids.
        vocabulary: how many ids there are.
    """
    orders = longest_order(vocabulary)
    choosing = ngram_nats(train, valid, vocabulary, orders) if len(valid) > 1 else []
    of_test = ngram_nats(train, test, vocabulary, orders)
    means = [float(nats.mean()) for nats in choosing]
    best = int(np.argmin(means)) if means else min(2, len(of_test) - 1)
    best = min(best, len(of_test) - 1)
    found = {"uniform": np.full(len(test) - 1, math.log(vocabulary)), "frequencies": of_test[0]}
    if best > 0:
        found[f"{best + 1}-grams"] = of_test[best]
    return found


def block_means(values: np.ndarray, resamples: int, seed: int, block: int = BLOCK) -> np.ndarray:
    """(resamples,) means of (n,) neighbouring values, drawn in blocks of neighbours (Künsch 1989).

    Tokens of a text are no independent samples: their nats come in runs, so whole runs are drawn; of a short text
    shorter ones, so that there are ten.
    """
    blocks = min(len(values), max(FEWEST_BLOCKS, len(values) // block))
    sums = np.array([part.sum() for part in np.array_split(values, blocks)])
    sizes = np.array([len(part) for part in np.array_split(values, blocks)], dtype=np.float64)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, blocks, size=(resamples, blocks))
    return sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)


def token_intervals(
    nats: np.ndarray, *, nats_a_character: float, resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """Nats per token, perplexity and bits per character, each with the interval of 95 % of block resamples.

    Args:
        nats: (n,) of the tokens.
        nats_a_character: tokens a character: what a mean over tokens is multiplied by for one over characters.
        resamples: how often blocks are drawn.
        seed: equal seeds give equal intervals.
    """
    mean = float(nats.mean())
    low, high = (float(q) for q in np.quantile(block_means(nats, resamples, seed), [0.025, 0.975]))
    return {
        name: {"value": v, "low": lo, "high": hi}
        for name, (v, lo, hi) in _units(mean, low, high, nats_a_character)
    }


def _units(mean: float, low: float, high: float, rate: float) -> list[tuple[str, tuple[float, float, float]]]:
    three = (mean, low, high)
    perplexity = tuple(math.exp(min(700.0, value)) for value in three)
    bits = tuple(value * rate / math.log(2) for value in three)
    return [
        ("nats_per_token", three),
        ("perplexity", (perplexity[0], perplexity[1], perplexity[2])),
        ("bits_per_character", (bits[0], bits[1], bits[2])),
    ]


def nats_to_scores(nats: np.ndarray, rate: float) -> dict[str, float]:
    """The mean of (n,) nats in the three units of `token_intervals`."""
    mean = float(nats.mean())
    return {name: values[0] for name, values in _units(mean, mean, mean, rate)}
