"""The Fréchet distance against scipy's matrix root, and collapse and copies that were planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from flambeau.evaluation.generated import (
    MOST_COPIES,
    class_shares,
    diversity_of,
    find_copies,
    fit_gaussian,
    frechet_interval,
    frechet_of,
    mean_distance,
    nearest_distances,
)

RANDOM = np.random.default_rng(0)


def features(count: int, shift: float = 0.0) -> np.ndarray:
    mixing = np.random.default_rng(1).normal(size=(6, 6))
    return RANDOM.normal(size=(count, 6)) @ mixing + shift


def test_frechet_distance_is_that_of_the_matrix_root() -> None:
    one, other = features(200), features(150, 0.5) * 1.7
    first, second = fit_gaussian(one), fit_gaussian(other)
    root = sqrtm(first.covariance @ second.covariance)
    expected = np.sum((first.mean - second.mean) ** 2) + np.trace(
        first.covariance + second.covariance - 2 * root.real
    )
    assert frechet_of(one, other) == pytest.approx(float(expected), rel=1e-9)


def test_frechet_distance_of_the_same_is_nothing_and_of_a_shift_its_square() -> None:
    one = features(300)
    assert frechet_of(one, one) == pytest.approx(0.0, abs=1e-9)
    assert frechet_of(one, one + 2.0) == pytest.approx(6 * 4.0, rel=1e-9)


def test_frechet_distance_bears_fewer_pictures_than_features() -> None:
    few = features(3)
    assert frechet_of(few, features(50)) > 0
    with pytest.raises(ValueError, match=r"n of 2 or more, got shape \(1, 6\)"):
        frechet_of(few[:1], few)


def test_the_interval_holds_the_value_and_shrinks_with_pictures() -> None:
    wide, narrow = (
        frechet_interval(features(n, 0.3), features(n), resamples=100, seed=0) for n in (60, 1000)
    )
    for score in (wide, narrow):
        assert 0 <= score["low"] <= score["value"] <= score["high"]
    assert narrow["high"] - narrow["low"] < wide["high"] - wide["low"]


def test_collapse_shows_in_the_diversity() -> None:
    centres = np.random.default_rng(2).normal(size=(10, 6)) * 8
    real = centres[np.arange(400) % 10] + RANDOM.normal(size=(400, 6))
    same = np.repeat(real[:1], 400, axis=0)
    one_mode = centres[0] + RANDOM.normal(size=(400, 6))
    honest = centres[np.arange(300) % 10] + RANDOM.normal(size=(300, 6))
    assert diversity_of(same, real) == pytest.approx(0.0, abs=1e-6)
    assert diversity_of(one_mode, real) < 0.4
    assert diversity_of(honest, real) == pytest.approx(1.0, abs=0.05)


def test_mean_distance_is_that_of_all_pairs() -> None:
    few = RANDOM.normal(size=(7, 3))
    pairs = [np.linalg.norm(few[i] - few[j]) for i in range(7) for j in range(7) if i != j]
    assert mean_distance(few) == pytest.approx(float(np.mean(pairs)))
    assert mean_distance(few[:1]) == 0.0


def test_copies_of_training_pictures_are_found() -> None:
    train, test = RANDOM.uniform(size=(300, 40)), RANDOM.uniform(size=(100, 40))
    copied = train[:80] + RANDOM.normal(size=(80, 40)) * 0.01
    fresh = RANDOM.uniform(size=(80, 40))
    assert find_copies(copied, train, test).share == 1.0
    assert find_copies(copied, train, test).ratio < 0.1
    assert find_copies(copied, iter(np.array_split(train, 3)), test) == find_copies(copied, train, test)
    assert find_copies(fresh, train, test).share < MOST_COPIES
    half = np.concatenate([copied[:40], fresh[:40]])
    assert find_copies(half, train, test).share == pytest.approx(0.5, abs=0.1)


def test_nearest_distance_is_that_of_the_nearest() -> None:
    known = RANDOM.normal(size=(50, 4))
    asked = RANDOM.normal(size=(9, 4))
    expected = [min(np.linalg.norm(one - other) for other in known) for one in asked]
    assert nearest_distances(asked, known) == pytest.approx(expected)


def test_class_shares_count_what_is_lacking() -> None:
    assert class_shares(np.array([0, 0, 2, 2]), 4).tolist() == [0.5, 0.0, 0.5, 0.0]
