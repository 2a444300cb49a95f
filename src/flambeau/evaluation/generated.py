"""How good made pictures are: their Fréchet distance from real ones, their diversity, and whether they are copies.

Everything works on features (n, features), whatever net they come from, and on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# What is compared with everything else: more pictures change no digit that matters.
MOST_COMPARED = 2000
# Below this share of the real pictures' mean distance, made pictures hardly differ from each other.
LEAST_DIVERSITY = 0.5
# A class is as good as absent below this share of what real pictures have of it.
LEAST_OF_A_CLASS = 0.1
# Pictures nearer to a training picture than all but this share of the test pictures are; copies are told above so many.
COPY_QUANTILE = 0.01
MOST_COPIES = 0.2


class Gaussian(NamedTuple):
    """Mean (features,) and covariance (features, features) of features, float64."""

    mean: np.ndarray
    covariance: np.ndarray


def fit_gaussian(features: np.ndarray) -> Gaussian:
    """Mean and covariance of (n, features). Raises ValueError for fewer than two rows."""
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features must be (n, features) with n of 2 or more, got shape {features.shape}")
    exact = features.astype(np.float64)
    return Gaussian(exact.mean(axis=0), np.atleast_2d(np.cov(exact, rowvar=False)))


def root_of(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a symmetric matrix without negative eigenvalues, but for rounding."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½), the squared Wasserstein-2 distance of two Gaussians.

    Dowson and Landau 1982; as a score of made pictures: Heusel et al. 2017, equation 6. The trace of the root is
    taken from (C₁^½ C₂ C₁^½)^½, which has the same eigenvalues and is symmetric, so no imaginary parts come up.
    """
    root = root_of(one.covariance)
    inner = np.linalg.eigvalsh(root @ other.covariance @ root)
    trace = np.sqrt(np.clip(inner, 0, None)).sum()
    gap = one.mean - other.mean
    distance = gap @ gap + np.trace(one.covariance) + np.trace(other.covariance) - 2 * trace
    return float(max(0.0, distance))


def frechet_of(one: np.ndarray, other: np.ndarray) -> float:
    """The Fréchet distance of two sets of features (n, features) and (m, features)."""
    return frechet_distance(fit_gaussian(one), fit_gaussian(other))


def frechet_interval(made: np.ndarray, real: np.ndarray, *, resamples: int, seed: int) -> dict[str, float]:
    """The distance with a 95 % bootstrap interval over both sets of pictures.

    Drawing with repetition makes both covariances poorer, which adds to every drawn distance, and the fewer the
    pictures the more. So the drawn distances are moved until their mean is the value: the interval tells how far the
    score would move with other pictures, as many as these. It is not below 0.

    Returns:
        "value", "low" and "high".
    """
    value = frechet_of(made, real)
    random = np.random.default_rng(seed)
    drawn = [
        frechet_of(
            made[random.integers(0, len(made), len(made))], real[random.integers(0, len(real), len(real))]
        )
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975)) - np.mean(drawn) + value
    return {"value": value, "low": float(max(0.0, low)), "high": float(high)}


def evenly_spaced(values: np.ndarray, most: int = MOST_COMPARED) -> np.ndarray:
    """At most so many evenly spaced rows."""
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, most).astype(np.int64)]


def squared_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, m) squared Euclidean distances of (n, features) and (m, features), float64, not below 0."""
    first, second = one.astype(np.float64), other.astype(np.float64)
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None]
    return np.clip(squares - 2 * first @ second.T, 0, None)


def mean_distance(features: np.ndarray) -> float:
    """The mean Euclidean distance of two different pictures, in features (n, features); 0 for one picture."""
    few = evenly_spaced(features)
    if len(few) < 2:
        return 0.0
    return float(np.sqrt(squared_distances(few, few)).sum() / (len(few) * (len(few) - 1)))


def diversity_of(made: np.ndarray, real: np.ndarray) -> float:
    """The mean distance of two made pictures as a share of that of two real ones; near 0 where all are alike."""
    return mean_distance(made) / max(mean_distance(real), 1e-12)


def nearest_distances(features: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(n,) Euclidean distance of each row to the nearest of the `known` rows."""
    few = evenly_spaced(features)
    nearest = [
        squared_distances(block, known).min(axis=1) for block in np.array_split(few, max(1, len(few) // 256))
    ]
    return np.sqrt(np.concatenate(nearest))


class Copies(NamedTuple):
    """How near made pictures are to training pictures.

    Args:
        share: of made pictures that are nearer to a training picture than nearly all test pictures are.
        ratio: the median distance of made pictures to the nearest training picture, over that of test pictures.
    """

    share: float
    ratio: float


def find_copies(made: np.ndarray, train: np.ndarray | Iterable[np.ndarray], test: np.ndarray) -> Copies:
    """Whether made pictures are learnt by heart. Each argument is (n, numbers): pixels or features.

    Args:
        made: of the generator.
        train: all at once, or block by block.
        test: what the generator has not seen.
    """
    own = others = np.array(np.inf)
    for block in (train,) if isinstance(train, np.ndarray) else train:
        own = np.minimum(own, nearest_distances(made, block))
        others = np.minimum(others, nearest_distances(test, block))
    limit = float(np.quantile(others, COPY_QUANTILE))
    share = float((own <= limit).mean())
    return Copies(share, float(np.median(own) / max(float(np.median(others)), 1e-12)))


def class_shares(classes: np.ndarray, count: int) -> np.ndarray:
    """(count,) share of each class among (n,) class indices."""
    return np.bincount(classes, minlength=count) / max(1, len(classes))
