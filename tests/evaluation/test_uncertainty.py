"""Fast resampled metrics equal scikit-learn on each resample; intervals and temperatures behave."""

from __future__ import annotations

import time

import numpy as np
import pytest

from flambeau.evaluation.calibration import apply_temperature
from flambeau.evaluation.metrics import score_predictions, task_metrics
from flambeau.evaluation.resampling import draw_weights, resamples_for, score_resamples
from flambeau.evaluation.temperature import fit_temperature
from flambeau.evaluation.uncertainty import (
    bootstrap_intervals,
    calibration_bins,
    expected_calibration_error,
    paired_difference,
)


def synthetic(task: str, rows: int, outputs: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets and imperfect predictions, rounded so that scores hold ties."""
    generator = np.random.default_rng(seed)
    if task == "regression":
        targets = generator.normal(1000, 3, rows)
        return targets, targets + generator.normal(0, 1, rows)
    if task == "multilabel":
        targets = (generator.random((rows, outputs)) < 0.3).astype(np.float32)
        return targets, np.clip(np.round(0.4 * targets + 0.6 * generator.random(targets.shape), 2), 0, 1)
    targets = generator.integers(0, outputs, rows)
    logits = np.round(generator.normal(size=(rows, outputs)) + 1.2 * np.eye(outputs)[targets], 1)
    return targets, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_each_resample_equals_scikit_learn(task: str) -> None:
    # So few rows that classes go missing in some resamples.
    targets, predictions = synthetic(task, rows=17)
    weights = next(draw_weights(17, 12, seed=3))
    assert (weights.sum(axis=0) == 17).all()
    for column in range(12):
        drawn = np.repeat(np.arange(17), weights[:, column].astype(int))
        expected = score_predictions(task, targets[drawn], predictions[drawn])
        for metric in task_metrics(task):
            ours = score_resamples(task, metric, targets, predictions, weights)[column]
            assert ours == pytest.approx(expected.get(metric, np.nan), abs=1e-5, nan_ok=True), metric


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_intervals_hold_the_value_and_repeat(task: str) -> None:
    targets, predictions = synthetic(task, rows=300)
    intervals = bootstrap_intervals(task, targets, predictions, resamples=300, seed=5)
    assert set(intervals) == set(task_metrics(task))
    for interval in intervals.values():
        assert interval["low"] < interval["value"] < interval["high"]
    assert intervals == bootstrap_intervals(task, targets, predictions, resamples=300, seed=5)
    assert intervals != bootstrap_intervals(task, targets, predictions, resamples=300, seed=6)


def test_interval_of_accuracy_has_the_width_of_the_binomial() -> None:
    generator = np.random.default_rng(0)
    right = generator.random(2000) < 0.9
    targets = np.zeros(2000, dtype=int)
    predictions = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    interval = bootstrap_intervals("classification", targets, predictions, resamples=1000, seed=1)["accuracy"]
    share = right.mean()
    expected = 2 * 1.96 * np.sqrt(share * (1 - share) / 2000)
    assert interval["high"] - interval["low"] == pytest.approx(expected, rel=0.1)


def test_five_thousand_rows_and_ten_classes_are_quick() -> None:
    targets, predictions = synthetic("classification", rows=5000, outputs=10)
    start = time.process_time()
    bootstrap_intervals("classification", targets, predictions, resamples=1000, seed=0)
    assert time.process_time() - start < 6


def test_large_parts_use_fewer_resamples() -> None:
    assert resamples_for("accuracy", 5000, 10, 1000) == 1000
    assert resamples_for("roc_auc", 5000, 1000, 1000) == 100
    assert resamples_for("mae", 1_000_000, 1, 1000) == 400


def test_paired_difference_sees_what_two_intervals_hide() -> None:
    targets, first = synthetic("regression", rows=400)
    second = first + 0.15 * np.sign(first - targets)
    difference = paired_difference("regression", "mae", targets, first, second, resamples=400, seed=0)
    assert difference["value"] == pytest.approx(-0.15)
    assert difference["high"] < 0
    equal = paired_difference("regression", "mae", targets, first, first, resamples=100, seed=0)
    assert equal == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_paired_difference_refuses_an_undefined_metric() -> None:
    with pytest.raises(ValueError, match="unknown metric of regression"):
        paired_difference("regression", "accuracy", np.zeros(3), np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="not defined on these rows"):
        paired_difference("regression", "r2", np.zeros(3), np.zeros(3), np.zeros(3))


@pytest.mark.parametrize("multilabel", [False, True])
def test_temperature_is_recovered(multilabel: bool) -> None:
    generator = np.random.default_rng(4)
    logits = generator.normal(0, 1.5, size=(6000, 4))
    if multilabel:
        honest = 1 / (1 + np.exp(-logits))
        targets = (generator.random(honest.shape) < honest).astype(np.float32)
    else:
        honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        targets = (generator.random((6000, 1)) > honest.cumsum(1)).sum(1).clip(0, 3)
    too_sure = apply_temperature(honest, 0.5, multilabel=multilabel)
    temperature = fit_temperature(too_sure, targets)
    assert temperature == pytest.approx(2, rel=0.08)
    repaired = apply_temperature(too_sure, temperature, multilabel=multilabel)
    assert expected_calibration_error(repaired, targets) < 0.5 * expected_calibration_error(too_sure, targets)


def test_calibration_bins_count_every_case() -> None:
    targets, probabilities = synthetic("classification", rows=200)
    sure, true, counts = calibration_bins(probabilities, targets)
    assert counts.sum() == 200
    assert (sure * counts).sum() == pytest.approx(probabilities.max(1).sum())
    assert (true * counts).sum() == pytest.approx((probabilities.argmax(1) == targets).sum())
