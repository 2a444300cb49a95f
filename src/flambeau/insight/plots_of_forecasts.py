"""The plots of forecasts: windows with past, truth and forecast, the error by step ahead, and the whole tested time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flambeau.insight.plots import grouped_ticks
from flambeau.insight.style import (
    BLUE,
    FLAME,
    GREEN,
    INK,
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

# of dates with a time of the day, more would run into each other
_MOST_TICKS = 4
_COLOURS = (MUTED, BLUE, GREEN, INK)
_STYLES = ((0, (2, 3)), (0, (5, 2)), (0, (1, 1)), "-")


@dataclass(frozen=True)
class DrawnWindow:
    """One forecast beside what came.

    Args:
        past: (rows,) values before it, NaN where they are not known; may be empty.
        truth, forecast: (horizon,) what came and what was forecast.
        low, high: (horizon,) the outermost quantiles; empty where there are none.
        labels: (rows + horizon,) what each row is called; empty for steps.
    """

    past: np.ndarray
    truth: np.ndarray
    forecast: np.ndarray
    low: np.ndarray
    high: np.ndarray
    labels: Sequence[str] = ()


def plot_window(window: DrawnWindow, title: str, band: str) -> Figure:
    """Past, truth and forecast of one window; `band` says what the shaded band holds, "" for none."""
    figure = new_figure()
    axes = figure.subplots()
    style_axes(axes, title, "" if window.labels else "steps from the last known row")
    steps = np.arange(1, len(window.truth) + 1)
    before = np.arange(1 - len(window.past), 1)
    if len(window.low):
        axes.fill_between(
            steps, window.low, window.high, color=FLAME, alpha=0.18, linewidth=0, label=band or None
        )
    if len(before):
        axes.plot(before, window.past, color=MUTED, linewidth=1.3, label="past")
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
    few = len(steps) == 1
    if len(before) and np.isfinite(window.past[-1]):
        # the line goes on from the last known row
        start, value = [0], [window.past[-1]]
    else:
        start, value = [], []
    axes.plot(
        [*start, *steps],
        [*value, *window.truth],
        color=BLUE,
        linewidth=1.6,
        label="came",
        marker="o" if few else None,
    )
    axes.plot(
        steps, window.forecast, color=FLAME, linewidth=1.8, label="forecast", marker="o" if few else None,
        markeredgecolor=PAPER,
    )  # fmt: skip
    _name_steps(axes, before, steps, window.labels)
    axes.yaxis.set_major_formatter(grouped_ticks)
    axes.locator_params(axis="y", nbins=5)
    _legend_below(figure)
    return figure


def _legend_below(figure: Figure) -> None:
    """A legend under the plot: above it, it would lie on the title of a narrow one."""
    legend = figure.legend(
        loc="outside lower left", ncols=5, frameon=False, fontsize=8.5, handlelength=1.2, columnspacing=1.2
    )
    for text in legend.get_texts():
        text.set_color(INK)


def _name_steps(axes: Axes, before: np.ndarray, steps: np.ndarray, labels: Sequence[str]) -> None:
    """A few rows by their times, those that are read best: the last known one among them."""
    from matplotlib.ticker import MaxNLocator

    places = np.concatenate([before, steps])
    if not labels or len(labels) != len(places):
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        return
    chosen = np.unique(np.linspace(0, len(places) - 1, _MOST_TICKS).round().astype(int))
    axes.set_xticks(places[chosen], [plain(labels[place], 20) for place in chosen])


def plot_by_step(
    title: str, ours: Sequence[float], baselines: Mapping[str, Sequence[float]], frequency: str
) -> Figure:
    """The mean error of each row of the horizon, nearest first, beside that of the baselines."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure()
    axes = figure.subplots()
    style_axes(axes, title, f"steps ahead, {plain(frequency)} each")
    steps = np.arange(1, len(ours) + 1)
    for place, (name, errors) in enumerate(list(baselines.items())[: len(_COLOURS)]):
        axes.plot(
            steps, errors, color=_COLOURS[place], linewidth=1.3, linestyle=_STYLES[place], label=plain(name)
        )
    axes.plot(steps, ours, color=FLAME, linewidth=1.9, label="this model")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_formatter(grouped_ticks)
    axes.locator_params(axis="y", nbins=5)
    _legend_below(figure)
    return figure


def plot_tested_time(
    title: str,
    truth: np.ndarray,
    forecast: np.ndarray,
    bands: tuple[np.ndarray, np.ndarray] | None,
    labels: Sequence[str],
) -> Figure:
    """Everything that was tested in the order of time, each row as it was forecast from the same distance.

    Args:
        title: says from how far ahead.
        truth, forecast: (rows,) of windows in the order of time.
        bands: (rows,) outermost quantiles, or None.
        labels: (rows,) times; empty for numbers.
    """
    figure = new_figure(8.4, 2.9)
    axes = figure.subplots()
    style_axes(axes, title, "" if labels else "windows in the order of time")
    places = np.arange(len(truth))
    if bands is not None:
        axes.fill_between(places, *bands, color=FLAME, alpha=0.18, linewidth=0)
    axes.plot(places, truth, color=BLUE, linewidth=1.1, label="came")
    axes.plot(places, forecast, color=FLAME, linewidth=1.1, label="forecast")
    if labels:
        chosen = np.unique(np.linspace(0, len(places) - 1, _MOST_TICKS).round().astype(int))
        axes.set_xticks(places[chosen], [plain(labels[place], 20) for place in chosen])
    axes.yaxis.set_major_formatter(grouped_ticks)
    axes.locator_params(axis="y", nbins=5)
    add_legend(axes)
    return figure
