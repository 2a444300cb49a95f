"""What a run must beat: a naive guess and simple classical models, fitted on the same training rows.

Large data is thinned to a fixed number of rows by the seed, never by a clock, so that a repeat gives equal
scores.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

Kind = Literal["table", "pixels", "features"]

_LINEAR_ROWS = {"table": 100_000, "pixels": 20_000, "features": 50_000}
_BOOSTING_ROWS = 500_000
_BOOSTING_TREES_ROWS = 2_000_000  # rows x trees an iteration: many classes grow many trees
_LINEAR_ITERATIONS = {"table": 300, "pixels": 60, "features": 200}
_ONE_HOT_CATEGORIES = 50
_BOOSTING_CATEGORIES = 255


def fit_baselines(
    task: str,
    train_features: np.ndarray,
    train_targets: np.ndarray,
    test_features: np.ndarray,
    *,
    outputs: int,
    categorical: Sequence[int] = (),
    seed: int = 0,
    kind: Kind = "table",
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Fit the baselines of the task on the training rows and predict the test rows.

    Args:
        task: "classification", "multilabel" or "regression".
        train_features, test_features: (n, features) float32, NaN where missing; categories as whole-number
            codes.
        train_targets: (n,) class indices; (n, labels) of 0 and 1; or (n,) numbers.
        outputs: number of classes or labels; 1 for regression.
        categorical: positions of the columns that hold codes.
        seed: of thinning and of boosting's own validation part.
        kind: "table" (linear and boosting), "pixels" or "features" of a backbone (linear only).

    Returns:
        Name → predictions on the test rows, in the shape that `score_predictions` takes, and sentences about
        what was thinned. Names: "majority" or "mean"; "logistic regression" or "ridge regression"; "gradient
        boosting".

    Raises:
        ValueError: no training rows, or features whose columns differ.
    """
    if len(train_targets) == 0 or train_features.shape[1] != test_features.shape[1]:
        raise ValueError(
            "baselines need training rows and equal columns: "
            f"got {train_features.shape} to train on and {test_features.shape} to test on"
        )
    naive = "mean" if task == "regression" else "majority"
    predictions = {naive: predict_frequencies(task, train_targets, len(test_features), outputs)}
    notes: list[str] = []
    if train_features.shape[1] == 0:
        return predictions, ["There is no column that a classical model could use."]
    linear = "ridge regression" if task == "regression" else "logistic regression"
    rows = thin_rows(len(train_targets), _LINEAR_ROWS[kind], seed, linear, notes)
    train, test = _linear_features(train_features[rows], test_features, categorical, kind)
    make = _ridge if task == "regression" else _logistic(_LINEAR_ITERATIONS[kind])
    predictions[linear] = fit_predict(task, make, train, train_targets[rows], test, outputs)
    if kind == "table":
        trees = outputs if task == "classification" and outputs > 2 else 1
        limit = min(_BOOSTING_ROWS, max(20_000, _BOOSTING_TREES_ROWS // trees))
        rows = thin_rows(len(train_targets), limit, seed, "gradient boosting", notes)
        train, test = _boosting_features(train_features[rows], test_features, categorical)
        make = _boosting(task, categorical, seed)
        predictions["gradient boosting"] = fit_predict(task, make, train, train_targets[rows], test, outputs)
    return predictions, notes


def predict_frequencies(task: str, targets: np.ndarray, rows: int, outputs: int) -> np.ndarray:
    """The best guess without looking at inputs: the training mean, or frequencies of classes or labels."""
    if task == "regression":
        return np.full(rows, np.mean(targets, dtype=np.float64))
    if task == "multilabel":
        return np.tile(targets.mean(axis=0, dtype=np.float64), (rows, 1))
    return np.tile(np.bincount(targets, minlength=outputs) / len(targets), (rows, 1))


def thin_rows(rows: int, limit: int, seed: int, name: str, notes: list[str]) -> np.ndarray:
    """At most so many positions of `rows`, drawn by the seed; adds a sentence to the notes where it leaves some out."""
    if rows <= limit:
        return np.arange(rows)
    notes.append(f"The baseline {name} was fitted on {limit:,} of {rows:,} training rows, drawn by the seed.")
    return np.sort(np.random.default_rng(seed).choice(rows, size=limit, replace=False))


def fit_predict(
    task: str,
    make: Callable[[np.ndarray], Any],
    features: np.ndarray,
    targets: np.ndarray,
    test_features: np.ndarray,
    outputs: int,
) -> np.ndarray:
    """Predictions of a classical model for the test rows, in the shape that `score_predictions` takes.

    Args:
        task: "classification", "multilabel" or "regression".
        make: targets → a model of scikit-learn; for multilabel one is made a label.
        features, test_features: (n, features), dense or sparse.
        targets: (n,) class indices; (n, labels) of 0 and 1; or (n,) numbers.
        outputs: number of classes or labels.
    """
    if task == "multilabel":
        columns = [
            _probabilities(make, features, targets[:, i] > 0.5, test_features, 2)[:, 1]
            for i in range(outputs)
        ]
        return np.stack(columns, axis=1)
    if task == "classification":
        return _probabilities(make, features, targets, test_features, outputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(make(targets).fit(features, targets).predict(test_features), dtype=np.float64)


def _probabilities(
    make: Callable[[np.ndarray], Any],
    features: np.ndarray,
    targets: np.ndarray,
    test_features: np.ndarray,
    classes: int,
) -> np.ndarray:
    """(test rows, classes); classes that the training rows lack get probability 0."""
    result = np.zeros((test_features.shape[0], classes))
    targets = targets.astype(np.int64)
    present = np.unique(targets)
    if len(present) == 1:
        result[:, present[0]] = 1.0
        return result
    # Few iterations are meant, and a baseline that stops early is still a baseline: its warnings help nobody.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make(targets).fit(features, targets)
        result[:, model.classes_] = model.predict_proba(test_features)
    return result


def _logistic(iterations: int) -> Callable[[np.ndarray], Any]:
    from sklearn.linear_model import LogisticRegression

    return lambda targets: LogisticRegression(max_iter=iterations)


def _ridge(targets: np.ndarray) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=1.0)


def _boosting(task: str, categorical: Sequence[int], seed: int) -> Callable[[np.ndarray], Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    common = {"categorical_features": list(categorical) or None, "random_state": seed}
    if task == "regression":
        return lambda targets: HistGradientBoostingRegressor(**common)

    def make(targets: np.ndarray) -> Any:
        # Its own validation part is stratified, which fails when a class has a single row.
        rarest = np.unique(targets, return_counts=True)[1].min()
        return HistGradientBoostingClassifier(early_stopping="auto" if rarest > 1 else False, **common)

    return make


def _linear_features(
    train: np.ndarray, test: np.ndarray, categorical: Sequence[int], kind: Kind
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers standardised, missing ones at the mean; categories as one-hot columns; fitted on `train`."""
    numeric = np.setdiff1d(np.arange(train.shape[1]), categorical)
    exact = np.float32 if kind == "pixels" else np.float64
    numbers, test_numbers = train[:, numeric].astype(exact), test[:, numeric].astype(exact)
    seen = np.isfinite(numbers)
    counts = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, numbers, 0).sum(axis=0, dtype=np.float64) / counts
    spread = np.sqrt((np.where(seen, numbers - mean, 0) ** 2).sum(axis=0, dtype=np.float64) / counts)
    if kind == "pixels":
        # One scale for all pixels: each its own would blow up the nearly constant border.
        spread = np.full_like(spread, np.sqrt((spread**2).mean()))
    spread = np.where(spread > 0, spread, 1)
    parts = [[((x - mean) / spread).astype(exact) for x in (numbers, test_numbers)]]
    for column in categorical:
        known = _frequent_codes(train[:, column], _ONE_HOT_CATEGORIES)
        parts.append([(x[:, column, None] == known).astype(exact) for x in (train, test)])
    # Infinite and missing numbers both go to the mean, which is 0 after scaling.
    return tuple(
        np.nan_to_num(np.concatenate([part[side] for part in parts], axis=1), posinf=0, neginf=0)
        for side in (0, 1)
    )


def _boosting_features(
    train: np.ndarray, test: np.ndarray, categorical: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Codes renumbered by frequency; those beyond the limit of categories share the last number."""
    train = np.where(np.isfinite(train), train, np.nan).astype(np.float32)
    test = np.where(np.isfinite(test), test, np.nan).astype(np.float32)
    # scikit-learn cannot bin a column without a single value.
    empty = np.isnan(train).all(axis=0)
    train[:, empty] = test[:, empty] = 0
    for column in categorical:
        known = _frequent_codes(train[:, column], _BOOSTING_CATEGORIES - 1)
        order = np.argsort(known)
        for table in (train, test):
            codes = table[:, column]
            place = np.clip(np.searchsorted(known[order], codes), 0, max(0, len(known) - 1))
            found = known[order][place] == codes if len(known) else np.zeros(len(codes), dtype=bool)
            renumbered = np.where(found, order[place] if len(known) else 0, _BOOSTING_CATEGORIES - 1)
            table[:, column] = np.where(np.isfinite(codes), renumbered, np.nan)
    return train, test


def _frequent_codes(codes: np.ndarray, limit: int) -> np.ndarray:
    """The most frequent codes, most frequent first."""
    values, counts = np.unique(codes[np.isfinite(codes)], return_counts=True)
    return values[np.argsort(-counts, kind="stable")][:limit]
