"""The confidence below which answers are given up, and what that costs and gains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flambeau.evaluation.unknown import choose_threshold, score_unknown
from flambeau.stages.judged import Judged, join_judged
from flambeau.stages.texts.unknown import threshold_of_folds


def answers(*confident: tuple[int, float]) -> np.ndarray:
    """(n, 3) probabilities with this class at this confidence."""
    rows = np.array([[(1 - sure) / 2] * 3 for _, sure in confident])
    for row, (place, sure) in enumerate(confident):
        rows[row, place] = sure
    return rows


def test_all_but_three_percent_of_the_right_answers_are_kept() -> None:
    generator = np.random.default_rng(0)
    sure = generator.uniform(0.5, 1, 1000)
    predictions = answers(*((0, float(one)) for one in sure))
    targets = np.zeros(1000, dtype=np.int64)
    targets[::10] = 1  # wrong answers decide nothing
    threshold = choose_threshold(predictions, targets, None)
    assert (sure[targets == 0] >= threshold).mean() == pytest.approx(0.97, abs=0.005)


def test_samples_out_of_scope_choose_nothing() -> None:
    predictions = answers((0, 0.9), (0, 0.8), (2, 0.4), (2, 0.99))
    targets = np.array([0, 0, 2, 2])
    assert choose_threshold(predictions, targets, 2) == pytest.approx(0.803)
    assert choose_threshold(predictions[2:], np.array([0, 0]), None) == 0


def test_scores_with_and_without_giving_up() -> None:
    predictions = answers((0, 0.9), (1, 0.5), (1, 0.45), (2, 0.8), (0, 0.4))
    targets = np.array([0, 1, 0, 2, 2])
    scores = score_unknown(predictions, targets, 0.48, 2)
    assert scores["in_scope_accuracy"] == pytest.approx(2 / 3, abs=1e-5)
    assert scores["out_of_scope_recall"] == 0.5
    behind = scores["with_threshold"]
    assert behind["in_scope_accuracy"] == pytest.approx(2 / 3, abs=1e-5)
    assert behind["out_of_scope_recall"] == 1.0
    assert behind["answered"] == pytest.approx(2 / 3, abs=1e-5)
    assert score_unknown(predictions, targets, 0.48, None)["out_of_scope_recall"] is None


def test_each_fold_is_judged_at_its_own_threshold() -> None:
    predictions = np.array([[0.6, 0.4], [0.6, 0.4]])
    scores = score_unknown(predictions, np.array([0, 0]), np.array([0.5, 0.7]), None)
    assert scores["threshold"] == 0.6 and scores["with_threshold"]["answered"] == 0.5


def test_what_is_kept_gives_up_at_the_middle_of_the_folds_thresholds() -> None:
    folds = [
        Judged(np.array(rows), np.eye(2), {}, np.eye(2), thresholds=np.full(2, value))
        for rows, value in (([0, 3], 0.2), ([1, 4], 0.4), ([2, 5], 0.9))
    ]
    joined = join_judged(folds)
    assert joined.thresholds is not None and joined.thresholds.tolist() == [0.2, 0.4, 0.9] * 2
    assert threshold_of_folds(joined) == 0.4
    assert join_judged([replace(one, thresholds=None) for one in folds]).thresholds is None
