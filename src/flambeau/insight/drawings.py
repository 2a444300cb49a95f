"""Which plots a run's report has, drawn from its facts and saved beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from flambeau.evaluation.uncertainty import calibration_bins
from flambeau.evaluation.wording import metric_name
from flambeau.insight.facts import Evaluation, RunFacts
from flambeau.insight.forecasts import forecast_figures
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
from flambeau.insight.plots_of_training import plot_rate_test, plot_spans
from flambeau.insight.style import BLUE, FLAME, save_plot
from flambeau.insight.training_tables import last_spans, rate_test
from flambeau.insight.wording import headline_metric
from flambeau.schema import Schema

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_STEPS = 500


def draw_plots(facts: RunFacts) -> dict[str, Markup]:
    """Draw every plot that the run has data for; each goes to plots/NAME.png and comes back as SVG."""
    figures = [*_curve_figures(facts), *_training_figures(facts), *_score_figures(facts)]
    figures += forecast_figures(facts)
    if facts.evaluation is not None and facts.schema is not None and facts.schema.series is None:
        figures += _evaluation_figures(facts.schema, facts.evaluation, facts.data.get("class_counts"))
    # The SVG holds no text of the run that matplotlib has not escaped.
    return {name: Markup(save_plot(figure, facts.run.plots, name)) for name, figure in figures}


def stages_of(facts: RunFacts) -> list[str]:
    """The names of the trainings of this run (one, or folds, bags and so on), in order."""
    return list(dict.fromkeys(str(record.get("stage", "")) for record in facts.records_of("epoch")))


def _curve_figures(facts: RunFacts) -> Iterator[tuple[str, Figure]]:
    every = _by_stage(facts.records_of("epoch"), lambda record: record["epoch"])
    steps = _by_stage(facts.records_of("step"), _step_position)
    metrics = list(dict.fromkeys(_metric_of(records) for records in every.values()))
    for number, metric in enumerate(metrics, start=1):
        # nets with different scores, such as the two of a chatbot, have plots of their own
        stages = {name: records for name, records in every.items() if _metric_of(records) == metric}
        net = next(iter(stages)).rpartition(", ")[2] if len(metrics) > 1 else ""
        parts = {name: steps[name] for name in stages if name in steps}
        for name, figure in _curves_of_net(stages, parts, metric, f", {net}" if net else ""):
            yield name if number == 1 else f"{name}_{number}", figure


def _metric_of(records: list[dict[str, Any]]) -> str:
    return str(records[-1].get("metric") or "score")


def _curves_of_net(
    epochs: dict[str, list[dict[str, Any]]], steps: dict[str, list[dict[str, Any]]], metric: str, net: str
) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of the trainings that are judged by one metric; `net` ends the titles."""
    best = [record["epoch"] for record in list(epochs.values())[-1] if record.get("best")]
    best_x = best[-1] if best else None
    losses = _stage_curves(epochs, "generator_loss", "generator", BLUE)
    losses += _stage_curves(epochs, "discriminator_loss", "discriminator", FLAME)
    if losses:
        yield "loss", plot_curves(f"Losses of both nets{net}", "epoch", losses, best_x=best_x)
    else:
        losses = _stage_curves(epochs, "loss", "training", BLUE)
        losses += _stage_curves(epochs, "valid_loss", "validation", FLAME)
        yield "loss", plot_curves(f"Loss{net}", "epoch", losses, best_x=best_x, logarithmic=True)
    scores = _stage_curves(epochs, "score", "", FLAME)
    if scores:
        yield "score", plot_curves(f"Validation: {metric_name(metric)}{net}", "epoch", scores, best_x=best_x)
    for key, title in (("lr", "Learning rate"), ("gradient_norm", "Gradient norm")):
        # Without clipping, most steps have no norm: then the epochs tell more.
        finer, coarser = (_stage_curves(records, key, "", BLUE) for records in (steps, epochs))
        curves = max(finer, coarser, key=lambda found: sum(len(curve.x) for curve in found))
        if curves:
            yield key, plot_curves(f"{title}{net}", "epoch", curves, logarithmic=key == "gradient_norm")


def _training_figures(facts: RunFacts) -> Iterator[tuple[str, Figure]]:
    test = rate_test(facts)
    if test is not None:
        curves = (test["rates"], test["losses"], test["smoothed"])
        yield "rate_test", plot_rate_test(*curves, chosen=float(test["chosen"]))
    spans = {stage: record["spans"] for stage, record in last_spans(facts).items()}
    if spans:
        yield "spans", plot_spans(spans)


def _step_position(record: dict[str, Any]) -> float:
    return float(record["epoch"] - 1 + record["step"] / max(1, record["steps"]))


def _by_stage(
    records: list[dict[str, Any]], position: Callable[[dict[str, Any]], float]
) -> dict[str, list[dict[str, Any]]]:
    """Stage → records by position; of epochs that a resumed run did twice, the later stands."""
    stages: dict[str, dict[float, dict[str, Any]]] = {}
    for record in records:
        if isinstance(record.get("epoch"), int):
            place = position(record)
            stages.setdefault(str(record.get("stage", "")), {})[place] = {**record, "position": place}
    return {stage: [found[place] for place in sorted(found)] for stage, found in stages.items()}


def _stage_curves(stages: dict[str, list[dict[str, Any]]], key: str, label: str, colour: str) -> list[Curve]:
    """One curve a stage; all but the last stand behind, faint."""
    curves = []
    for place, records in enumerate(stages.values()):
        known = [(record["position"], record[key]) for record in records if record.get(key) is not None]
        if known:
            kept = known[:: max(1, len(known) // _MOST_STEPS)]
            last = place == len(stages) - 1
            x, y = zip(*kept, strict=True)
            curves.append(Curve(label if last else "", x, y, colour, faint=not last))
    return curves


def _score_figures(facts: RunFacts) -> Iterator[tuple[str, Figure]]:
    if facts.scores is None or not facts.scores["test"]:
        return
    metric = headline_metric(facts.scores)
    baselines = facts.scores.get("baselines") or {}
    yield "scores", plot_scores(metric, facts.scores["test"][metric], baselines, "this model")


def _evaluation_figures(
    schema: Schema, evaluation: Evaluation, class_counts: list[int] | None
) -> Iterator[tuple[str, Figure]]:
    targets, predictions = evaluation.targets, evaluation.predictions
    if schema.task == "regression":
        yield "target", plot_target_histogram(targets, schema.target)
        yield "predicted_actual", plot_predicted_actual(targets, predictions, schema.target)
        yield "residuals", plot_residuals(targets, predictions, schema.target)
        return
    classes = len(schema.classes)
    scored = targets.sum(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=classes)
    if class_counts is not None and len(class_counts) == classes:
        yield "classes", plot_class_counts(schema.classes, class_counts, "Samples of each class")
    else:
        what = "label" if schema.task == "multilabel" else "class"
        yield "classes", plot_class_counts(schema.classes, list(scored), f"Scored samples of each {what}")
    yield "calibration", plot_reliability(*calibration_bins(predictions, targets))
    if schema.task == "classification":
        counts = confusion_counts(targets, evaluation.chosen, classes)
        yield "confusion", plot_confusion(counts, schema.classes)
        if classes == 2 and 0 < targets.sum() < len(targets):
            point = _rates_of(targets, evaluation.decided)
            yield "roc", plot_roc(targets, predictions[:, 1], schema.classes[1], point)
            yield "precision_recall", plot_precision_recall(targets, predictions[:, 1], schema.classes[1])


def _rates_of(targets: np.ndarray, decided: np.ndarray | None) -> tuple[float, float] | None:
    """Share of false alarms and share found of decisions; None where nothing was decided."""
    if decided is None:
        return None
    return float((decided[targets == 0] == 1).mean()), float((decided[targets == 1] == 1).mean())
