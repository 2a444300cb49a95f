"""The metrics of many bootstrap resamples at once, in numpy: scikit-learn needs seconds for a hundred.

A resample of n rows is a column of weights: how often each row was drawn. Sums over rows are then matrix
products, and the order of scores, which ROC-AUC and average precision need, is found once for all resamples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flambeau.evaluation.metrics import normalised_probabilities

_CHUNK_CELLS = 4_000_000  # weights in memory at once; with the sorted copies about 100 MB
_RANKING_CELLS = (
    400_000_000  # rows x classes x resamples that ranking metrics may sort through: a few seconds
)
_FEWEST_RESAMPLES = 100
RANKING_METRICS = frozenset({"roc_auc", "average_precision"})


def resamples_for(metric: str, rows: int, outputs: int, resamples: int) -> int:
    """How many resamples a metric uses: all, or fewer where rows x classes x resamples are too many."""
    cells = rows * outputs if metric in RANKING_METRICS else rows
    return min(resamples, max(_FEWEST_RESAMPLES, _RANKING_CELLS // max(1, cells)))


def draw_weights(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks of (rows, resamples in the block) float32: how often each row was drawn with replacement."""
    generator = np.random.default_rng(seed)
    width = max(1, min(resamples, _CHUNK_CELLS // rows))
    for start in range(0, resamples, width):
        columns = min(width, resamples - start)
        drawn = generator.integers(0, rows, size=(rows, columns))
        cells = (drawn * columns + np.arange(columns)).ravel()
        yield np.bincount(cells, minlength=rows * columns).reshape(rows, columns).astype(np.float32)


def score_resamples(
    task: str, metric: str, targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """One metric on every resample.

    Args:
        task, targets, predictions: as for `score_predictions`, predictions in float64.
        metric: a metric of the task.
        weights: (n, resamples) how often each row was drawn.

    Returns:
        (resamples,) float64; NaN where the metric is undefined on a resample.
    """
    if task == "regression":
        return _score_numbers(metric, targets, predictions, weights)
    if metric in RANKING_METRICS:
        positives = (
            targets > 0.5 if task == "multilabel" else targets[:, None] == np.arange(predictions.shape[1])
        )
        return _score_ranking(metric, positives, predictions, weights)
    if task == "multilabel":
        chosen, targets = predictions > 0.5, targets > 0.5
        if metric == "accuracy":
            return _weighted_mean((targets == chosen).all(axis=1), weights)
        hits = _sums((targets & chosen).T, weights)
        return _mean_f1(hits, _sums(targets.T, weights), _sums(chosen.T, weights))
    return _score_classes(metric, targets, predictions, weights)


def _score_classes(
    metric: str, targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    chosen = probabilities.argmax(axis=1)
    if metric == "accuracy":
        return _weighted_mean(chosen == targets, weights)
    if metric == "log_loss":
        of_target = normalised_probabilities(probabilities)[np.arange(len(targets)), targets]
        return _weighted_mean(-np.log(np.clip(of_target, np.finfo(np.float64).eps, 1)), weights)
    classes = probabilities.shape[1]
    correct = chosen == targets
    hits = _class_sums(targets[correct], weights[correct], classes)  # (classes, resamples)
    support = _class_sums(targets, weights, classes)
    if metric == "balanced_accuracy":
        return _defined_mean(hits, support)
    return _mean_f1(hits, support, _class_sums(chosen, weights, classes))


def _score_numbers(
    metric: str, targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    errors = predictions - targets
    if metric == "mae":
        return _weighted_mean(np.abs(errors), weights)
    if metric == "mape":
        return _weighted_mean(np.abs(errors) / targets, weights)
    squared = _weighted_mean(errors**2, weights)
    if metric == "rmse":
        return np.sqrt(squared)
    # Centring first: the difference of two large sums of squares would lose the variance.
    centred = targets - targets.mean()
    variance = _weighted_mean(centred**2, weights) - _weighted_mean(centred, weights) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, 1 - squared / variance, np.nan)


def _score_ranking(metric: str, positives: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over classes of an area, each class against the others.

    ROC-AUC is the weighted share of pairs (positive, negative) in which the positive scores higher, ties
    counting half (Mann and Whitney 1947). Average precision is the mean over positives of the precision at
    their score.
    """
    area = _ranking_area if metric == "roc_auc" else _average_precision
    total = np.zeros(weights.shape[1])
    defined = np.zeros(weights.shape[1])
    for column in range(scores.shape[1]):
        is_positive = positives[:, column]
        if not is_positive.any() or (metric == "roc_auc" and is_positive.all()):
            continue
        values = area(is_positive, scores[:, column], weights)
        total += np.nan_to_num(values)
        defined += np.isfinite(values)
    return np.divide(total, defined, out=np.full_like(total, np.nan), where=defined > 0)


def _ranking_area(is_positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    negative_scores, below = _cumulative(~is_positive, scores, weights)
    ours = scores[is_positive]
    drawn = weights[is_positive]
    wins = below[np.searchsorted(negative_scores, ours, side="left")]
    wins += below[np.searchsorted(negative_scores, ours, side="right")]
    won = np.einsum("nr,nr->r", drawn, wins, dtype=np.float64) / 2
    pairs = drawn.sum(axis=0, dtype=np.float64) * below[-1]
    return np.divide(won, pairs, out=np.full_like(won, np.nan), where=pairs > 0)


def _average_precision(is_positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # Scores are negated so that "from the front" means "at least as high".
    positive_scores, hits = _cumulative(is_positive, -scores, weights)
    negative_scores, alarms = _cumulative(~is_positive, -scores, weights)
    ours = -scores[is_positive]
    found = hits[np.searchsorted(positive_scores, ours, side="right")]
    raised = found + alarms[np.searchsorted(negative_scores, ours, side="right")]
    precision = np.divide(found, raised, out=np.zeros_like(found), where=raised > 0)
    gained = np.einsum("nr,nr->r", weights[is_positive], precision, dtype=np.float64)
    return np.divide(gained, hits[-1], out=np.full_like(gained, np.nan), where=hits[-1] > 0)


def _cumulative(mask: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted scores (m,) of the masked rows, and the weight (m + 1, resamples) before each position."""
    rows = np.flatnonzero(mask)
    rows = rows[np.argsort(scores[rows], kind="stable")]
    sums = np.zeros((len(rows) + 1, weights.shape[1]), dtype=np.float32)
    np.cumsum(weights[rows], axis=0, out=sums[1:])
    return scores[rows], sums


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _sums(values[None], weights)[0] / len(values)


def _sums(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(k, n) values and (n, resamples) weights → (k, resamples) float64, a slice of rows at a time."""
    totals = np.zeros((len(values), weights.shape[1]))
    for start in range(0, values.shape[1], 4096):
        part = slice(start, start + 4096)
        totals += values[:, part].astype(np.float64) @ weights[part].astype(np.float64)
    return totals


def _class_sums(classes_of_rows: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    """(classes, resamples) weight of each class; adding up sorted runs is linear in the number of rows."""
    totals = np.zeros((classes, weights.shape[1]))
    if len(classes_of_rows):
        order = np.argsort(classes_of_rows, kind="stable")
        present, starts = np.unique(classes_of_rows[order], return_index=True)
        totals[present] = np.add.reduceat(weights[order], starts, axis=0)
    return totals


def _mean_f1(hits: np.ndarray, actual: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return _defined_mean(2 * hits, actual + chosen)


def _defined_mean(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """(classes, resamples) fractions → (resamples,) means over the classes whose denominator is not zero."""
    defined = denominators > 0
    fractions = np.divide(numerators, denominators, out=np.zeros_like(numerators), where=defined)
    counts = defined.sum(axis=0)
    return np.divide(fractions.sum(axis=0), counts, out=np.full(len(counts), np.nan), where=counts > 0)
