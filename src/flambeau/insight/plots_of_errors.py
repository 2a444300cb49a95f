"""The plots of where a model errs: confusion matrix, ROC and precision-recall, residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from flambeau.insight.plots import grouped_ticks
from flambeau.insight.style import (
    BLUE,
    FLAME,
    INK,
    LINE,
    MUTED,
    PAPER,
    add_legend,
    new_figure,
    plain,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLASSES = 50
_MOST_NUMBERED = 20
_MOST_POINTS = 1500


def confusion_counts(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(actual class, predicted class) counts of two (n,) arrays of class indices."""
    cells = targets.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def plot_confusion(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Actual classes down, predicted across, each row coloured by its own shares; right answers in blue.

    Up to 20 classes show their numbers. Beyond 50, only the 50 classes with the most errors are drawn.
    """
    from matplotlib.patches import Rectangle

    title = "What was taken for what"
    if len(counts) > _MOST_CLASSES:
        errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
        kept = np.sort(np.argsort(-errors, kind="stable")[:_MOST_CLASSES])
        title += f" (the {_MOST_CLASSES} of {len(counts)} classes with the most errors)"
        counts, names = counts[np.ix_(kept, kept)], [names[i] for i in kept]
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(1.6 + 0.42 * classes, 3.6, 8.6))
    figure = new_figure(side + 0.6, side)
    axes = figure.subplots()
    style_axes(axes, title, "predicted", "actual", grid="")
    font = float(np.clip(66 / classes, 5.5, 9))
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = float(shares[row, column])
        colour = BLUE if row == column else FLAME
        # A lone mistake among thousands is still to be seen.
        strength = 0.08 + 0.87 * share if row == column else 0.14 + 0.81 * share
        axes.add_patch(
            Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, color=colour, alpha=strength, linewidth=0)
        )
        if classes <= _MOST_NUMBERED:
            axes.text(
                column, row, f"{counts[row, column]:,}", ha="center", va="center",
                fontsize=font, color=PAPER if strength > 0.6 else INK,
            )  # fmt: skip
    for spine in axes.spines.values():
        spine.set_visible(False)
    limit = 22 if classes <= _MOST_NUMBERED else 14
    labels = [plain(name, limit) for name in _without_common_ends(names, limit)]
    tilted = classes * max(map(len, labels)) > 50
    axes.set_xticks(range(classes), labels, rotation=90 if tilted else 0)
    axes.set_yticks(range(classes), labels)
    axes.tick_params(labelsize=max(font, 6) if classes > _MOST_NUMBERED else 8.5, pad=3)
    axes.set_xlim(-0.5, classes - 0.5)
    axes.set_ylim(classes - 0.5, -0.5)
    axes.set_aspect("equal")
    return figure


def _without_common_ends(names: Sequence[str], limit: int) -> list[str]:
    """Names without the words that all begin and end with: shortened, they would all look alike."""
    if max(map(len, names)) <= limit:
        return list(names)
    words = [name.split() for name in names]
    start = _equal_words(words)
    end = _equal_words([found[start:][::-1] for found in words])
    kept = [" ".join(found[start : len(found) - end]) for found in words]
    return [short or name for short, name in zip(kept, names, strict=True)]


def _equal_words(lists: Sequence[Sequence[str]]) -> int:
    """How many words all lists begin with."""
    count = 0
    for column in zip(*lists, strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count


def plot_roc(
    positive: np.ndarray, probability: np.ndarray, name: str, point: tuple[float, float] | None = None
) -> Figure:
    """Receiver operating characteristic of two classes; `name` is the class that counts as positive.

    Args:
        positive: (n,) 1 for positive samples.
        probability: (n,) of being positive.
        name: of the positive class.
        point: share of false alarms and share found where answers are decided.
    """
    false_rate, true_rate, _ = roc_curve(positive, probability)
    figure = new_figure(4.4, 3.8)
    axes = figure.subplots()
    style_axes(axes, f"ROC curve of “{plain(name)}”", "false alarms", "share found", grid="both")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    axes.fill_between(false_rate, true_rate, false_rate, color=FLAME, alpha=0.08, linewidth=0)
    axes.plot(false_rate, true_rate, color=FLAME, linewidth=1.8)
    if point is not None:
        axes.plot(
            *point, "o", color=INK, markersize=6, markeredgecolor=PAPER, zorder=4, label="where it decides"
        )
        add_legend(axes)
    _unit_square(axes)
    return figure


def plot_precision_recall(positive: np.ndarray, probability: np.ndarray, name: str) -> Figure:
    """Precision against recall of two classes, with the share of positives as the level of guessing."""
    precision, recall, _ = precision_recall_curve(positive, probability)
    figure = new_figure(4.4, 3.8)
    axes = figure.subplots()
    style_axes(
        axes,
        f"Precision and recall of “{plain(name)}”",
        "share found",
        "share of alarms that are right",
        "both",
    )
    axes.axhline(float(np.mean(positive)), color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    axes.plot(recall, precision, color=FLAME, linewidth=1.8, drawstyle="steps-post")
    _unit_square(axes)
    return figure


def plot_predicted_actual(targets: np.ndarray, predictions: np.ndarray, target: str) -> Figure:
    """Each prediction against the truth; on the line they are equal."""
    shown = _spread(len(targets))
    figure = new_figure(4.4, 3.8)
    axes = figure.subplots()
    style_axes(axes, "Predicted against actual", f"actual {target}", f"predicted {target}", "both")
    low, high = float(min(targets.min(), predictions.min())), float(max(targets.max(), predictions.max()))
    axes.plot([low, high], [low, high], color=INK, linewidth=1, linestyle=(0, (2, 3)), zorder=3)
    _dots(axes, targets[shown], predictions[shown])
    axes.xaxis.set_major_formatter(grouped_ticks)
    axes.yaxis.set_major_formatter(grouped_ticks)
    axes.locator_params(nbins=5)
    return figure


def plot_residuals(targets: np.ndarray, predictions: np.ndarray, target: str) -> Figure:
    """Predicted minus actual over the prediction, with the median error of each tenth of the predictions."""
    shown = _spread(len(targets))
    errors = predictions - targets
    figure = new_figure(4.4, 3.8)
    axes = figure.subplots()
    style_axes(axes, "Errors over the prediction", f"predicted {target}", "predicted − actual", "both")
    axes.axhline(0, color=INK, linewidth=1, linestyle=(0, (2, 3)), zorder=3)
    _dots(axes, predictions[shown], errors[shown])
    if len(targets) >= 50:
        groups = np.array_split(np.argsort(predictions, kind="stable"), 10)
        axes.plot(
            [np.median(predictions[group]) for group in groups],
            [np.median(errors[group]) for group in groups],
            "o-", color=FLAME, linewidth=1.6, markersize=5, markeredgecolor=PAPER, zorder=4,
            label="median of a tenth",
        )  # fmt: skip
        add_legend(axes)
    axes.xaxis.set_major_formatter(grouped_ticks)
    axes.yaxis.set_major_formatter(grouped_ticks)
    axes.locator_params(nbins=5)
    return figure


def _dots(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    size = 4.5 if len(x) < 300 else 3
    axes.plot(x, y, "o", color=BLUE, markersize=size, alpha=0.35, markeredgewidth=0)


def _spread(rows: int) -> np.ndarray:
    """Positions of at most 1,500 rows at even steps: more dots only make the file large."""
    return np.unique(np.linspace(0, rows - 1, min(rows, _MOST_POINTS)).astype(int))


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    axes.spines["bottom"].set_color(LINE)
