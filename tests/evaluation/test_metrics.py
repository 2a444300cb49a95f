"""The scores equal scikit-learn's and stay sane where a class is absent."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from flambeau.evaluation.metrics import higher_is_better, main_metric, score_predictions
from flambeau.evaluation.resampling import score_resamples


def random_classification(rows: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    targets = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[targets]
    return targets, (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)


def test_classification_equals_scikit_learn() -> None:
    targets, probabilities = random_classification()
    scores = score_predictions("classification", targets, probabilities)
    chosen = probabilities.argmax(1)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    assert list(scores) == ["accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss"]
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(targets, chosen))
    assert scores["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(targets, chosen))
    assert scores["f1_macro"] == pytest.approx(reference.f1_score(targets, chosen, average="macro"))
    assert scores["roc_auc"] == pytest.approx(reference.roc_auc_score(targets, exact, multi_class="ovr"))
    assert scores["log_loss"] == pytest.approx(reference.log_loss(targets, exact))


def test_absent_class_is_left_out_of_means() -> None:
    targets, probabilities = random_classification()
    kept = targets != 2
    scores = score_predictions("classification", targets[kept], probabilities[kept])
    chosen = probabilities[kept].argmax(1)
    recalls = [(chosen[targets[kept] == label] == label).mean() for label in (0, 1, 3)]
    assert scores["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert 0.5 < scores["roc_auc"] <= 1


def test_one_class_only_has_no_roc_auc() -> None:
    scores = score_predictions("classification", np.zeros(5, dtype=int), np.full((5, 3), 1 / 3))
    assert "roc_auc" not in scores
    assert all(np.isfinite(list(scores.values())))


def test_certain_and_wrong_has_a_finite_log_loss() -> None:
    scores = score_predictions("classification", np.array([0, 1]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert np.isfinite(scores["log_loss"])


def test_multilabel_equals_scikit_learn_on_labels_that_occur() -> None:
    generator = np.random.default_rng(2)
    targets = (generator.random((150, 4)) < 0.3).astype(np.float32)
    targets[:, 3] = 0
    probabilities = np.clip(0.3 * targets + 0.6 * generator.random((150, 4)), 0, 1)
    probabilities[:, 3] = 0.1
    scores = score_predictions("multilabel", targets, probabilities)
    first = slice(0, 3)
    expected = reference.average_precision_score(targets[:, first], probabilities[:, first], average="macro")
    assert scores["average_precision"] == pytest.approx(expected)
    chosen = probabilities > 0.5
    assert scores["f1_macro"] == pytest.approx(
        reference.f1_score(targets[:, first], chosen[:, first], average="macro")
    )
    assert scores["accuracy"] == pytest.approx((chosen == targets).all(1).mean())


def test_multilabel_without_any_label_keeps_only_accuracy() -> None:
    scores = score_predictions("multilabel", np.zeros((4, 2)), np.full((4, 2), 0.2))
    assert scores == {"accuracy": 1.0}


def test_regression_and_constant_targets() -> None:
    targets = np.array([1.0, 2.0, 4.0])
    scores = score_predictions("regression", targets, targets + np.array([0.0, 1.0, -1.0]))
    assert scores["mae"] == pytest.approx(2 / 3)
    assert scores["rmse"] == pytest.approx(np.sqrt(2 / 3))
    assert scores["r2"] == pytest.approx(1 - 2 / ((targets - targets.mean()) ** 2).sum())
    assert "r2" not in score_predictions("regression", np.ones(3), np.zeros(3))
    assert scores["mape"] == pytest.approx((0 + 1 / 2 + 1 / 4) / 3)
    assert "mape" not in score_predictions("regression", targets - 1.0, targets)


def test_resampled_percentage_errors_are_those_of_the_metric() -> None:
    targets, predictions = np.array([1.0, 2.0, 5.0]), np.array([2.0, 2.0, 4.0])
    weights = np.array([[1.0, 2.0], [1.0, 0.0], [1.0, 1.0]])
    resampled = score_resamples("regression", "mape", targets, predictions, weights)
    rows = np.array([0, 0, 2])
    wanted = [
        score_predictions("regression", t, p)["mape"]
        for t, p in ((targets, predictions), (targets[rows], predictions[rows]))
    ]
    assert resampled == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("task", "targets", "predictions", "words"),
    [
        ("classification", np.array([0]), np.array([0.5]), "dimensions"),
        ("classification", np.array([3]), np.array([[0.5, 0.5]]), "expected 0 to 1"),
        ("regression", np.zeros(0), np.zeros(0), "0 rows"),
        ("regression", np.zeros(2), np.array([1.0, np.nan]), "finite"),
        ("multilabel", np.zeros((2, 3)), np.zeros((2, 2)), "expected \\(2, 3\\)"),
        ("ranking", np.zeros(2), np.zeros(2), "unknown task"),
    ],
)
def test_wrong_input_is_named(task: str, targets: np.ndarray, predictions: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        score_predictions(task, targets, predictions)


def test_directions_and_main_metrics() -> None:
    assert [main_metric(task) for task in ("classification", "multilabel", "regression")] == [
        "accuracy",
        "average_precision",
        "rmse",
    ]
    assert higher_is_better("accuracy")
    assert not higher_is_better("rmse")
    with pytest.raises(ValueError, match="unknown metric"):
        higher_is_better("acuracy")
