"""Plots become SVG that follows the page's colours, bear any label, and stay small."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flambeau.insight import style
from flambeau.insight.plots import (
    Curve,
    plot_class_counts,
    plot_curves,
    plot_reliability,
    plot_scores,
    plot_target_histogram,
)
from flambeau.insight.plots_of_errors import (
    confusion_counts,
    plot_confusion,
    plot_precision_recall,
    plot_predicted_actual,
    plot_residuals,
    plot_roc,
)
from flambeau.insight.style import figure_to_svg, plain, save_plot


def test_svg_takes_its_colours_from_the_page(tmp_path: Path) -> None:
    figure = plot_curves(
        "Loss", "epoch", [Curve("training", [1, 2, 3], [2.0, 1.0, 0.5], style.BLUE)], best_x=2
    )
    svg = save_plot(figure, tmp_path / "plots", "loss")
    ElementTree.fromstring(svg)
    assert "currentColor" in svg
    assert "var(--blue" in svg
    for colour in ("#000000", "#ffffff", style.INK):
        assert colour not in svg
    assert "<text" in svg
    assert "font-family" not in svg
    with Image.open(tmp_path / "plots" / "loss.png") as picture:
        assert picture.width > 800
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_ids_of_two_plots_never_meet() -> None:
    figures = [plot_curves("Loss", "epoch", [Curve("", [1, 2], [2.0, 1.0], style.BLUE)]) for _ in range(2)]
    ids = [
        {element.get("id") for element in ElementTree.fromstring(figure_to_svg(figure, name)).iter()} - {None}
        for figure, name in zip(figures, ("first", "second"), strict=True)
    ]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_equal_figures_give_equal_files() -> None:
    drawings = [figure_to_svg(plot_class_counts(["a", "b"], [3, 4], "Classes"), "classes") for _ in range(2)]
    assert drawings[0] == drawings[1]


@pytest.mark.parametrize(
    "label", ["<script>alert(1)</script>", "$\\frac$ & $", "日本語 🐈", "a\x00\x08b", "x" * 300]
)
def test_any_label_can_be_drawn(label: str, tmp_path: Path) -> None:
    counts = np.array([[5, 1], [2, 6]])
    svg = save_plot(plot_confusion(counts, [label, "other"]), tmp_path, "confusion")
    ElementTree.fromstring(svg)
    assert "<script" not in svg


def test_plain_keeps_both_ends_of_a_long_name() -> None:
    assert plain("abcdefghijklmnopqrstuvwxyz", 10) == "abcdef…xyz"
    assert plain("5 $") == r"5 \$"


@pytest.mark.parametrize("classes", [2, 20, 50, 120])
def test_confusion_matrix_of_many_classes_stays_small(classes: int) -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, classes, 2000)
    predicted = np.where(generator.random(2000) < 0.8, targets, generator.integers(0, classes, 2000))
    counts = confusion_counts(targets, predicted, classes)
    assert counts.sum() == 2000
    assert counts.trace() == (targets == predicted).sum()
    names = [f"a long name of the species {i}" for i in range(classes)]
    svg = figure_to_svg(plot_confusion(counts, names), "confusion")
    assert len(svg) < 400_000
    shown = [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]
    assert ("the 50 of 120 classes" in " ".join(filter(None, shown))) == (classes == 120)
    if classes == 50:
        assert "17" in shown


def test_scores_chart_names_every_baseline_and_value() -> None:
    figure = plot_scores(
        "rmse",
        {"value": 4.0, "low": 3.5, "high": 4.4},
        {"mean": {"rmse": 9.0}, "ridge regression": {"rmse": 5.25}, "broken": {}},
        "this model",
    )
    svg = figure_to_svg(figure, "scores")
    for words in ("further left is better", "this model", "ridge regression", "5.25"):
        assert words in svg
    assert "broken" not in svg


def test_far_baseline_stands_at_the_edge_of_the_scores() -> None:
    score = {"value": 0.988, "low": 0.981, "high": 0.993}
    baselines = {"majority": {"accuracy": 0.028}, "logistic regression": {"accuracy": 0.979}}
    figure = plot_scores("accuracy", score, baselines, "this model")
    assert "← 2.8 %" in figure_to_svg(figure, "scores")
    assert figure.axes[0].get_xlim()[0] > 0.9


def test_plots_of_odd_data_are_drawn() -> None:
    same = np.full(20, 3.0)
    binary = np.array([0, 1] * 10)
    for figure in (
        plot_target_histogram(same, "price"),
        plot_predicted_actual(same, same, "price"),
        plot_residuals(np.arange(60.0), np.arange(60.0) + 1, "price"),
        plot_roc(binary, np.linspace(0, 1, 20), "yes"),
        plot_precision_recall(binary, np.linspace(0, 1, 20), "yes"),
        plot_reliability(np.array([0.95]), np.array([1.0]), np.array([20])),
        plot_curves("Loss", "epoch", [Curve("one", [1], [2.0], style.BLUE)], best_x=1),
        plot_class_counts([str(i) for i in range(80)], list(range(80)), "Classes"),
    ):
        assert figure_to_svg(figure, "x").startswith("<svg")
