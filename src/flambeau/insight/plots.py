"""The plots of a report: curves of the training, scores beside baselines, and how the counts are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flambeau.evaluation.metrics import higher_is_better
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
from flambeau.insight.wording import METRIC_TITLES, format_metric, format_tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_BARS = 30
MOST_DECADES = 1000


@dataclass(frozen=True)
class Curve:
    """One line of a curve plot.

    Args:
        label: for the legend; "" for none.
        x, y: equally long; NaN where there is no value.
        colour: of the palette.
        faint: whether it stands behind, as an earlier stage or a fold does.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    faint: bool = False


def plot_curves(
    title: str,
    x_label: str,
    curves: Sequence[Curve],
    *,
    best_x: float | None = None,
    logarithmic: bool = False,
) -> Figure:
    """Lines over epochs or steps, with the kept epoch marked on the last curve that is not faint."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    figure = new_figure()
    axes = figure.subplots()
    style_axes(axes, title, x_label)
    for curve in curves:
        few = len(curve.x) <= 1
        axes.plot(
            curve.x,
            curve.y,
            color=curve.colour,
            alpha=0.35 if curve.faint else 1,
            linewidth=1.0 if curve.faint else 1.8,
            label=plain(curve.label) or None,
            marker="o" if few else None,
            markersize=4,
            solid_joinstyle="round",
        )
    positive = [value for curve in curves for value in curve.y if np.isfinite(value)]
    if logarithmic and positive and min(positive) > 0 and max(positive) > 20 * min(positive):
        axes.set_yscale("log")
        # over many decades their powers alone, or the labels run into each other
        wide = max(positive) > MOST_DECADES * min(positive)
        axes.yaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5), numticks=7))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_formatter(grouped_ticks)
    # Ticks at whole numbers only: there is no epoch 2.5.
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    if {x for curve in curves for x in curve.x} == {1}:
        axes.set_xticks([1])
    front = [curve for curve in curves if not curve.faint]
    if best_x is not None and front and best_x in list(front[-1].x):
        value = front[-1].y[list(front[-1].x).index(best_x)]
        axes.plot(
            [best_x], [value], "o", color=front[-1].colour, markersize=6, markeredgecolor=PAPER, clip_on=False
        )
        axes.axvline(best_x, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
    if any(curve.label for curve in curves):
        add_legend(axes)
    return figure


def plot_scores(
    metric: str, score: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]], name: str
) -> Figure:
    """The model's score as a dot with its interval, beside the baselines as open dots, best on top.

    A baseline so far away that it would flatten the rest stands at the edge with an arrow.
    """
    rows = [(label, values[metric]) for label, values in baselines.items() if values.get(metric) is not None]
    rows.append((name, score["value"]))
    rows.sort(key=lambda row: row[1], reverse=not higher_is_better(metric))
    near = sorted((value for _, value in rows), reverse=higher_is_better(metric))[:2]
    ends = [score["low"], score["high"], *near]
    reach = max(max(ends) - min(ends), abs(score["value"]) * 1e-3, 1e-9)
    left, right = min(ends) - 2.5 * reach, max(ends) + 2.5 * reach
    figure = new_figure(6.2, 0.8 + 0.34 * len(rows))
    axes = figure.subplots()
    better = "further right is better" if higher_is_better(metric) else "further left is better"
    style_axes(axes, f"{METRIC_TITLES.get(metric, metric)}: {better}", grid="x")
    axes.plot(
        [score["low"], score["high"]],
        [rows.index((name, score["value"]))] * 2,
        color=FLAME,
        linewidth=5,
        alpha=0.3,
        solid_capstyle="round",
    )
    for place, (label, value) in enumerate(rows):
        _score_dot(axes, place, value, (left, right), metric, score["high"] if label == name else None)
    axes.set_yticks(range(len(rows)), [plain(label, 30) for label, _ in rows])
    for (label, _), tick in zip(rows, axes.get_yticklabels(), strict=True):
        tick.set_fontweight("bold" if label == name else "normal")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.margins(x=0.14)
    axes.xaxis.set_major_formatter(lambda tick, _: format_tick(metric, tick))
    axes.locator_params(axis="x", nbins=6)
    if higher_is_better(metric):
        # An area or a share above 1 would be a tick that cannot be.
        axes.set_xticks([tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= 1.0001])
    return figure


def _score_dot(
    axes: Axes, place: int, value: float, window: tuple[float, float], metric: str, end: float | None
) -> None:
    """One row's dot and number; `end` is where the interval of the model itself ends, None for a baseline."""
    ours = end is not None
    colour = FLAME if ours else MUTED
    shown = min(max(value, window[0]), window[1])
    arrow = "← " if shown > value else "→ " if shown < value else ""
    axes.plot(
        [shown],
        [place],
        marker="<" if shown > value else ">" if shown < value else "o",
        color=colour,
        markersize=8 if ours else 6.5,
        markerfacecolor=colour if ours else PAPER,
        markeredgewidth=1.6,
        zorder=3,
    )
    axes.annotate(
        arrow + format_metric(metric, value),
        (max(shown, end) if end is not None else shown, place),
        xytext=(9, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=colour,
        fontweight="bold" if ours else "normal",
    )


def plot_class_counts(names: Sequence[str], counts: Sequence[int], title: str) -> Figure:
    """How many samples each class has, most first; beyond thirty classes, the rest in one bar."""
    order = np.argsort(-np.asarray(counts), kind="stable")
    labels = [plain(names[i], 26) for i in order]
    values = [int(counts[i]) for i in order]
    if len(values) > _MOST_BARS:
        rest = values[_MOST_BARS - 1 :]
        labels = [*labels[: _MOST_BARS - 1], f"{len(rest)} more classes (mean)"]
        values = [*values[: _MOST_BARS - 1], round(float(np.mean(rest)))]
    figure = new_figure(5.2, 0.8 + 0.23 * len(values))
    axes = figure.subplots()
    style_axes(axes, title, grid="")
    axes.barh(range(len(values)), values, height=0.62, color=BLUE, alpha=0.85)
    for place, value in enumerate(values):
        axes.annotate(
            f"{value:,}", (value, place), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=8, color=MUTED,
        )  # fmt: skip
    axes.set_yticks(range(len(values)), labels)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.margins(x=0.14)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return figure


def plot_target_histogram(targets: np.ndarray, target: str) -> Figure:
    """How the numbers to predict are spread; the outermost percent is gathered in the end bars."""
    from matplotlib.ticker import MaxNLocator

    low, high = np.quantile(targets, [0.005, 0.995])
    figure = new_figure()
    axes = figure.subplots()
    style_axes(axes, f"How {plain(target)} is spread", target, "samples")
    if low == high:
        low, high = low - 0.5, high + 0.5
    bins = min(40, max(8, int(np.sqrt(len(targets)))))
    axes.hist(np.clip(targets, low, high), bins=bins, color=BLUE, alpha=0.85, rwidth=0.92)
    axes.axvline(float(np.median(targets)), color=INK, linewidth=1, linestyle=(0, (2, 3)), label="median")
    # Whole units such as 400,000 set apart read better than 1e5 in a corner.
    axes.xaxis.set_major_formatter(grouped_ticks)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    add_legend(axes)
    return figure


def grouped_ticks(value: float, _: Any = None) -> str:
    """A tick label with thousands set apart, and without digits that say nothing."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def plot_reliability(sure: np.ndarray, true: np.ndarray, counts: np.ndarray) -> Figure:
    """Confidence against how often it came true, with the number of cases of each bin below."""
    figure = new_figure(5.2, 4.4)
    upper, lower = figure.subplots(2, 1, height_ratios=[3.4, 1], sharex=True)
    style_axes(upper, "Calibration", "", "share that was right")
    style_axes(lower, "", "how sure the model was", "cases")
    upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)), label="perfectly honest")
    upper.vlines(sure, sure, true, color=FLAME, alpha=0.3, linewidth=3)
    upper.plot(
        sure, true, "o-", color=FLAME, linewidth=1.6, markersize=5, markeredgecolor=PAPER, label="model"
    )
    upper.set_ylim(-0.02, 1.02)
    start = max(0.0, float(np.floor(sure.min() * 10) / 10) - 0.05)
    upper.set_xlim(start, 1.02)
    lower.bar(sure, counts, width=0.05, color=BLUE, alpha=0.85)
    lower.set_yticks([0, int(counts.max())], ["0", f"{int(counts.max()):,}"])
    lower.grid(visible=False)
    lower.spines["bottom"].set_color(LINE)
    add_legend(upper)
    return figure
