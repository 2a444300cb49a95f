"""Plots of how the training went beside its curves: the range test of the learning rate, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flambeau.insight.style import (
    BLUE,
    FLAME,
    GREEN,
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
    from matplotlib.figure import Figure

SPAN_COLOURS = {
    "compute": BLUE,
    "data": FLAME,
    "optimizer": GREEN,
    "validation": MUTED,
    "saving": INK,
    "other": LINE,
}
MOST_STAGES = 20
ROOM_ABOVE = 1.6


def plot_rate_test(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], chosen: float
) -> Figure:
    """Losses against rates on a logarithmic axis, smoothed in front, and the rate that was taken."""
    figure = new_figure()
    axes = figure.subplots()
    style_axes(axes, "Range test", "learning rate", "training loss")
    axes.plot(rates, losses, color=BLUE, alpha=0.35, linewidth=1.0, label="each step")
    axes.plot(rates, smoothed, color=BLUE, linewidth=1.8, label="smoothed", solid_joinstyle="round")
    axes.axvline(chosen, color=FLAME, linewidth=1.4, linestyle=(0, (4, 2)), label=f"taken: {chosen:g}")
    axes.set_xscale("log")
    axes.tick_params(which="minor", length=0)
    low, high = min(smoothed), max(smoothed[0], *smoothed[: len(smoothed) // 2 or 1])
    # the last steps have diverged: they would flatten all that is of interest
    axes.set_ylim(low - 0.15 * (high - low), high + ROOM_ABOVE * max(high - low, 1e-9) * 0.5)
    add_legend(axes)
    return figure


def plot_spans(stages: Mapping[str, Mapping[str, float]]) -> Figure:
    """One bar a training: the shares of its time."""
    shown = list(stages.items())[:MOST_STAGES]
    figure = new_figure(5.2, 1.25 + 0.3 * len(shown))
    axes = figure.subplots()
    style_axes(axes, "Where the time went", grid="")
    for place, (_, spans) in enumerate(shown):
        whole, left = sum(spans.values()) or 1.0, 0.0
        for name, colour in SPAN_COLOURS.items():
            share = spans.get(name, 0.0) / whole
            axes.barh(
                place,
                share,
                left=left,
                height=0.62,
                color=colour,
                edgecolor=PAPER,
                linewidth=0.6,
                label=name if place == 0 else None,
            )
            left += share
    axes.set_yticks(range(len(shown)), [plain(stage or "training", 22) for stage, _ in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8, handlelength=0.9,
        columnspacing=1.0, handletextpad=0.4,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_color(INK)
    return figure
