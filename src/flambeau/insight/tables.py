"""The report's tables and sentences, as plain values that the template lays out."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.insight.facts import Evaluation, RecipeLine, RunFacts
from flambeau.insight.plots_of_errors import confusion_counts
from flambeau.insight.texts import noun_of, onward_commands
from flambeau.insight.training_tables import peak_memory
from flambeau.insight.wording import (
    METRIC_MEANINGS,
    METRIC_TITLES,
    MODEL_TITLES,
    count_of,
    format_interval,
    format_metric,
    format_number,
    format_seconds,
    headline_metric,
)
from flambeau.schema import Schema

_SECTION_TITLES = {
    "": "Run",
    "data": "Data",
    "split": "Split",
    "image": "Pictures",
    "table": "Table",
    "model": "Model",
    "mixed": "Columns of several kinds",
    "training": "Training",
    "evaluation": "Evaluation",
    "generate": "Made pictures",
    "forecast": "Forecast",
    "language": "Language",
    "chat": "Chat",
}


@dataclass(frozen=True)
class ClassRow:
    """How one class or label fares: precision and recall from 0 to 1, None where undefined."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


def headline(facts: RunFacts) -> tuple[str, str]:
    """The first sentence of the report: the number, and what it says."""
    if facts.scores is None or facts.schema is None or not facts.scores["test"]:
        return "", "This run has no scores yet."
    scores, schema = facts.scores, facts.schema
    metric = headline_metric(scores)
    value = format_metric(metric, scores["test"][metric]["value"])
    rows = (
        len(facts.evaluation.targets) if facts.evaluation else int((scores.get("rows") or {}).get("test", 0))
    )
    noun = "token" if schema.task == "language" else noun_of(schema)
    folds = "cross-validation" in str(scores.get("method", ""))
    who = "models trained without them" if folds else "that the model had never seen"
    unseen = f"{count_of(rows, noun)}{' by' if folds else ''} {who}" if rows else f"unseen {noun}s"
    if metric == "accuracy" and schema.task == "classification":
        return value, f"of {unseen} {'is' if rows == 1 else 'are'} classified correctly."
    if metric == "top1":
        return value, f"of {unseen} {'finds its' if rows == 1 else 'find their'} right answer first."
    if schema.task == "generate":
        return value, f"is the Fréchet distance of made pictures from {unseen}."
    if schema.series is not None:
        steps = schema.series.horizon
        ahead = "one step" if steps == 1 else f"up to {steps:,} steps"
        title = METRIC_TITLES[metric][:1].lower() + METRIC_TITLES[metric][1:]
        told = f"{_few_targets(schema)}, {ahead} ahead, in {count_of(rows, 'window')} {who}."
        return value, f"is the {title} of {told}"
    if metric == "rmse":
        return value, f"is the root mean squared error of {schema.target}, on {unseen}."
    return value, f"{METRIC_TITLES[metric].lower()} on {unseen}."


def _few_targets(schema: Schema) -> str:
    names = [] if schema.series is None else list(schema.series.targets)
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} targets"


def key_figures(facts: RunFacts) -> list[tuple[str, str]]:
    """A few numbers that place the run: (label, value)."""
    figures = []
    schema = facts.schema
    if facts.data.get("count") is not None:
        noun = "sample" if schema is None or schema.source != "corpus" else noun_of(schema)
        figures.append((f"{noun}s", f"{facts.data['count']:,}"))
    if schema is not None and schema.classes:
        figures.append(("labels" if schema.task == "multilabel" else "classes", f"{len(schema.classes):,}"))
    if schema is not None and schema.source == "table":
        figures.append(("columns used", f"{len(schema.used_columns)} of {len(schema.columns)}"))
    if facts.option("model.name") not in ("", "auto"):
        figures.append(("model", model_title(facts)))
    epochs = facts.records_of("epoch")
    if epochs:
        figures.append(("epochs", f"{epochs[-1]['epoch']} of {epochs[-1].get('epochs', '?')}"))
    if peak_memory(facts):
        figures.append(("memory at most", peak_memory(facts)))
    if facts.scores is not None and facts.scores.get("seconds") is not None:
        figures.append(("whole command", format_seconds(facts.scores["seconds"])))
    return figures


def model_title(facts: RunFacts) -> str:
    """The model as people call it: "TabM", and beside it what sees pictures and reads texts in other columns."""
    names = [facts.option("model.name").strip("\"'")]
    for key, kind in (("mixed.pictures", "image"), ("mixed.text", "text")):
        used = [] if facts.schema is None else [one.kind for one in facts.schema.used_columns]
        name = facts.option(key).strip("\"'")
        if kind in used and name not in ("", "auto", "null", names[0]):
            names.append(name)
    return ", ".join(MODEL_TITLES.get(name, name) for name in names)


def score_rows(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a metric: title, meaning, value, interval, and the value of each baseline."""
    baselines = scores.get("baselines") or {}
    return [
        {
            "metric": metric,
            "title": METRIC_TITLES.get(metric, metric),
            "meaning": METRIC_MEANINGS.get(metric, ""),
            "value": format_metric(metric, score["value"]),
            "interval": format_interval(metric, score),
            "baselines": [format_metric(metric, values.get(metric)) for values in baselines.values()],
        }
        for metric, score in scores["test"].items()
    ]


def shift_sentence(scores: dict[str, Any]) -> str:
    """That the test part is harder than the validation part, so that the score promises little elsewhere; "" if not."""
    shift = scores.get("shift")
    if not isinstance(shift, dict) or not {"metric", "test", "valid"} <= shift.keys():
        return ""
    metric = str(shift["metric"])
    values = f"{format_metric(metric, shift['test'])} against {format_metric(metric, shift['valid'])}"
    return (
        f"It is harder than the validation part, by more than luck could explain ({METRIC_TITLES.get(metric, metric)} "
        f"{values}): the parts differ, so data from elsewhere may score lower still."
    )


def class_rows(schema: Schema, evaluation: Evaluation) -> list[ClassRow]:
    """Precision, recall and F1 of every class or label, the weakest first."""
    targets, predictions = evaluation.targets, evaluation.predictions
    if schema.task == "multilabel":
        actual, chosen = targets > 0.5, predictions > 0.5
        hits, support, alarms = (actual & chosen).sum(0), actual.sum(0), chosen.sum(0)
    else:
        counts = confusion_counts(targets, evaluation.chosen, len(schema.classes))
        hits, support, alarms = np.diag(counts), counts.sum(1), counts.sum(0)
    rows = [
        ClassRow(
            name,
            float(hit / alarm) if alarm else None,
            float(hit / true) if true else None,
            float(2 * hit / (true + alarm)) if true + alarm else None,
            int(true),
        )
        for name, hit, true, alarm in zip(schema.classes, hits, support, alarms, strict=True)
    ]
    return sorted(rows, key=lambda row: 2.0 if row.f1 is None else row.f1)


def confusions(schema: Schema, evaluation: Evaluation, most: int = 6) -> list[tuple[str, str, int, int]]:
    """The most frequent mistakes: (actual, taken for, times, samples of the actual class)."""
    counts = confusion_counts(evaluation.targets, evaluation.chosen, len(schema.classes))
    totals = counts.sum(axis=1)
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(cell), len(counts)) for cell in order]
    return [
        (schema.classes[row], schema.classes[column], int(wrong[row, column]), int(totals[row]))
        for row, column in pairs
        if wrong[row, column]
    ]


def error_sentence(evaluation: Evaluation) -> str:
    """How far off predictions are: the median and the 90th percentile of the absolute errors."""
    errors = np.abs(evaluation.predictions - evaluation.targets)
    half, most = (format_number(float(np.quantile(errors, share))) for share in (0.5, 0.9))
    return f"Half of the predictions are within {half} of the truth, nine in ten within {most}."


def split_rows(facts: RunFacts) -> list[tuple[str, int, float, str]]:
    """(part, samples, share, what it is for), or of the folds."""
    split = facts.split
    purposes = {
        "train": "what the model learns from",
        "valid": "chooses the best epoch",
        "test": "never used before the final score",
    }
    told = split.get("counts") or {}
    counts = {part: int(told.get(part) or len(split.get(part) or [])) for part in purposes}
    total = sum(counts.values()) or 1
    return [(part, counts[part], counts[part] / total, purposes[part]) for part in purposes if counts[part]]


def recipe_groups(facts: RunFacts) -> list[tuple[str, list[RecipeLine], list[RecipeLine]]]:
    """(section, lines that were chosen or given, lines at their default), sections in the recipe's order."""
    groups = []
    for section, title in _SECTION_TITLES.items():
        lines = [line for line in facts.recipe if line.key.rpartition(".")[0].partition(".")[0] == section]
        chosen = [line for line in lines if line.origin != "default"]
        if lines:
            groups.append((title, chosen, [line for line in lines if line.origin == "default"]))
    return groups


def commands(facts: RunFacts) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Commands that repeat the run and that go on from it: (command, what it does)."""
    run = _shown_path(facts.run.path)
    source = shlex.quote(str(facts.data.get("source", "DATA")))
    typed = str(facts.environment.get("command") or "")
    repeat = [(typed, "as it was typed")] if typed else []
    repeat.append(
        (f"flambeau train {source} --recipe {run}/recipe.yaml", "with every choice fixed as it was here")
    )
    example = "new.jpg" if facts.schema is not None and facts.schema.source == "pictures" else "new.csv"
    if facts.scores is None:
        return repeat, [(f"flambeau resume {run}", "go on from the last checkpoint")]
    if facts.schema is not None and onward_commands(facts.schema.task, run):
        return repeat, onward_commands(facts.schema.task, run)
    if facts.schema is not None and facts.schema.task == "generate":
        return repeat, [
            (f"flambeau sample {run} --count 64", "make more pictures"),
            (f"flambeau serve {run}", "let it make pictures over HTTP, with a page to try it"),
            (f"flambeau export {run} --to onnx", "take it elsewhere as one file"),
            (f"flambeau train DATA --task generate --from {run}", "go on with more epochs or new data"),
            (f"flambeau verify {run}", "check that nothing here has changed since"),
        ]
    return repeat, [
        (f"flambeau predict {run} {example}", "use the model on new data"),
        (f"flambeau evaluate {run} DATA", "score it on other labelled data"),
        (f"flambeau train DATA --from {run}", "go on with more epochs or new data"),
        (f"flambeau verify {run}", "check that nothing here has changed since"),
    ]


def _shown_path(path: Path) -> str:
    try:
        path = path.resolve().relative_to(Path.cwd())
    except ValueError:
        path = path.resolve()
    return shlex.quote(path.as_posix())
