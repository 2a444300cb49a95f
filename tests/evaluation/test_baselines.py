"""Baselines learn what is there to learn, bear bad columns, repeat exactly and never warn."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.evaluation import baselines
from flambeau.evaluation.baselines import fit_baselines
from flambeau.evaluation.metrics import score_predictions


def mixed_table(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A number, a category of 300 codes, gaps, a constant, an all-missing column; and a signal."""
    generator = np.random.default_rng(seed)
    number = generator.normal(50, 10, rows)
    code = np.minimum(generator.geometric(0.02, rows), 300)
    gaps = np.where(generator.random(rows) < 0.3, np.nan, number + generator.normal(0, 5, rows))
    features = np.stack([number, code, gaps, np.ones(rows), np.full(rows, np.nan)], axis=1)
    signal = (number - 50) / 10 + (code % 2) + generator.normal(0, 0.3, rows)
    return features.astype(np.float32), signal


def test_classification_on_a_table() -> None:
    features, signal = mixed_table(600, 0)
    targets = np.digitize(signal, [0, 1])
    targets[targets == 2] = 3  # class 2 is known but has no training row
    predictions, notes = fit_baselines(
        "classification", features[:400], targets[:400], features[400:], outputs=4, categorical=[1], seed=0
    )
    assert list(predictions) == ["majority", "logistic regression", "gradient boosting"]
    assert notes == []
    scores = {
        name: score_predictions("classification", targets[400:], p)["accuracy"]
        for name, p in predictions.items()
    }
    for p in predictions.values():
        assert p.shape == (200, 4)
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
        assert (p[:, 2] == 0).all()
    assert scores["logistic regression"] > scores["majority"] + 0.2
    assert scores["gradient boosting"] > scores["majority"] + 0.2


def test_regression_on_a_table_repeats() -> None:
    features, signal = mixed_table(500, 1)
    runs = [
        fit_baselines("regression", features[:300], signal[:300], features[300:], outputs=1, categorical=[1])[
            0
        ]
        for _ in range(2)
    ]
    assert list(runs[0]) == ["mean", "ridge regression", "gradient boosting"]
    for name, numbers in runs[0].items():
        np.testing.assert_array_equal(numbers, runs[1][name])
    scores = {name: score_predictions("regression", signal[300:], p)["rmse"] for name, p in runs[0].items()}
    assert scores["ridge regression"] < 0.7 * scores["mean"]
    assert scores["gradient boosting"] < 0.7 * scores["mean"]


def test_pixels_are_thinned_by_the_seed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(baselines._LINEAR_ROWS, "pixels", 100)
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 3, 300)
    pixels = (generator.random((300, 16)) + np.eye(3, 16)[targets]).astype(np.float32)
    predictions, notes = fit_baselines(
        "classification", pixels[:200], targets[:200], pixels[200:], outputs=3, seed=7, kind="pixels"
    )
    assert list(predictions) == ["majority", "logistic regression"]
    assert "100 of 200 training rows" in notes[0]
    accuracy = score_predictions("classification", targets[200:], predictions["logistic regression"])[
        "accuracy"
    ]
    assert accuracy > 0.8


def test_multilabel_with_a_label_that_never_occurs() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 3)).astype(np.float32)
    targets = np.stack([features[:, 0] > 0, features[:, 1] > 1, np.zeros(200)], axis=1).astype(np.float32)
    predictions, _ = fit_baselines(
        "multilabel", features[:150], targets[:150], features[150:], outputs=3, kind="features"
    )
    assert (predictions["logistic regression"][:, 2] == 0).all()
    np.testing.assert_allclose(predictions["majority"][0], targets[:150].mean(0), atol=1e-6)
    score = score_predictions("multilabel", targets[150:], predictions["logistic regression"])
    assert score["average_precision"] > 0.9


def test_single_row_class_in_a_long_table_does_not_stop_boosting() -> None:
    features, signal = mixed_table(10_500, 2)
    targets = (signal > 0).astype(int)
    targets[17] = 2
    predictions, _ = fit_baselines(
        "classification", features, targets, features[:10], outputs=3, categorical=[1]
    )
    assert predictions["gradient boosting"].shape == (10, 3)


def test_no_usable_column_leaves_the_naive_guess() -> None:
    empty = np.zeros((4, 0), dtype=np.float32)
    predictions, notes = fit_baselines("regression", empty, np.arange(4.0), empty[:2], outputs=1)
    assert predictions["mean"].tolist() == [1.5, 1.5]
    assert "no column" in notes[0]


def test_differing_columns_are_an_error() -> None:
    with pytest.raises(ValueError, match="equal columns"):
        fit_baselines("regression", np.zeros((3, 2)), np.zeros(3), np.zeros((3, 1)), outputs=1)
