"""The model card: what a model is for, how it was made and tested, and where its knowledge ends. MODEL_CARD.md.

After Mitchell et al. 2019, "Model Cards for Model Reporting". It is made from the bundle's own files, so it says
nothing that they do not, and it names no path of the machine that it was made on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flambeau.deploy.card.markdown import number, plain, table
from flambeau.deploy.card.series import series_lines
from flambeau.deploy.card.texts import (
    ANSWERS,
    LIMITS,
    MOST_ROWS,
    USES,
    column_lines,
    inputs_in_words,
    words_held,
)
from flambeau.deploy.files import (
    FAMILIAR,
    MODEL,
    PREPARATION,
    SCHEMA,
    WEIGHTS,
    read_facts,
    read_mapping,
    read_scores,
)
from flambeau.deploy.headers import count_kept_rows, count_weights
from flambeau.evaluation.wording import metric_name
from flambeau.schema import Schema

FEW_TESTED = 100

# What reading always tells, and what a card says elsewhere.
SELF_EVIDENT = ("task", "groups", "other-files")
USE = """\
```
flambeau predict THIS_FOLDER NEW_FILES
flambeau evaluate THIS_FOLDER LABELLED_DATA
flambeau serve THIS_FOLDER
```

```python
import flambeau as fb

model = fb.load("THIS_FOLDER")
model.predict({example})
model.module  # the torch.nn.Module
```"""


@dataclass(frozen=True)
class CardParts:
    """What a card is made from: plain values of a bundle's files, how many weights and how many training rows."""

    schema: Schema
    model: dict[str, Any]
    preparation: dict[str, Any]
    scores: dict[str, Any]
    facts: dict[str, Any]
    weights: int
    familiar_rows: int = 0


CALIBRATED = (
    "Probabilities are calibrated with the temperature {temperature} (Guo et al. 2017), so that of all answers given "
    "with probability 0.8 about 80 % are right on data like the test part."
)


def read_card_parts(folder: Path) -> CardParts:
    """Read what a card needs from a bundle's files. Raises RunError or DataError for damaged ones."""
    return CardParts(
        Schema.from_json(read_mapping(folder, SCHEMA)),
        read_mapping(folder, MODEL),
        read_mapping(folder, PREPARATION),
        read_scores(folder),
        read_facts(folder),
        count_weights(folder / WEIGHTS),
        count_kept_rows(folder / FAMILIAR),
    )


def write_card(parts: CardParts) -> str:
    """The whole card as Markdown."""
    sections = {
        "": _purpose(parts),
        "Data": _data(parts),
        "Scores": _scores(parts),
        "Limits": _limits(parts),
        "Findings of the data check": _findings(parts),
        "Licences": _licences(parts),
        "How to use it": [USES.get(parts.schema.task, USE).replace("{example}", _example(parts.schema))],
        "How to repeat it": _repeat(parts),
    }
    lines = [f"# {plain(_title(parts))}"]
    for title, body in sections.items():
        lines += ["", *([f"## {title}", ""] if title else []), *body]
    return "\n".join(lines) + "\n"


def _title(parts: CardParts) -> str:
    return f"{parts.facts.get('name') or parts.schema.target}: a model that predicts {parts.schema.target}"


def _purpose(parts: CardParts) -> list[str]:
    schema, facts = parts.schema, parts.facts
    inputs = inputs_in_words(schema)
    answers = {
        "classification": f"one of {len(schema.classes):,} classes, with a probability for each",
        "multilabel": f"any of {len(schema.classes):,} labels, with a probability for each",
        "regression": "a number",
        **ANSWERS,
    }
    lines = [
        f"From {inputs} it predicts *{plain(schema.target)}*: {answers[schema.task]}.",
        "",
        f"- model: {plain(_model_name(parts.model))}, {parts.weights:,} numbers",
    ]
    lines += [f"- made: {plain(facts['made'])}"] if facts.get("made") else []
    for file, digest in own_files(parts.model):
        lines += [
            f"- **The network is a class in the file {plain(file)}, which is not part of this bundle.** The bundle "
            f"names the file and its digest ({plain(digest)}); the model answers only where that very file is in "
            "the place that model.json names."
        ]
    return lines


def _model_name(model: Mapping[str, Any]) -> str:
    arguments = model.get("arguments") or {}
    if model.get("name") == "ensemble":
        members = arguments.get("members") or [{}]
        return f"{len(members)} models whose answers are averaged, each {_model_name(members[0])}"
    if model.get("name") == "own":
        return f"the class {arguments.get('class')} of {Path(str(arguments.get('file'))).name}"
    return "/".join(str(part) for part in (model.get("name"), arguments.get("arch")) if part)


def own_files(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and digest of each file of a person's own code that a description of a model needs."""
    arguments = model.get("arguments") or {}
    if model.get("name") == "ensemble":
        found = [pair for member in arguments.get("members") or [] for pair in own_files(member)]
        return list(dict.fromkeys(found))
    if model.get("name") != "own":
        return []
    return [(Path(str(arguments.get("file"))).name, str(arguments.get("digest")))]


def _data(parts: CardParts) -> list[str]:
    data, split = parts.facts.get("data") or {}, parts.facts.get("split") or {}
    if not data:
        return ["This bundle was written before bundles told what they were trained on.", *_kept_rows(parts)]
    lines = [f"- source: {plain(data.get('source'))}, {number(data.get('count'))} samples"]
    if data.get("test_source"):
        lines.append(f"- tested on a source of its own: {plain(data['test_source'])}")
    lines.append(
        f"- fingerprint: {plain(data.get('fingerprint'))} (names, contents and targets of all samples)"
    )
    rows = parts.scores.get("rows") or {}
    told = ", ".join(f"{number(rows[part])} {part}" for part in ("train", "valid", "test") if part in rows)
    method, reason = split.get("method"), split.get("reason")
    lines.append(f"- split: {plain(method)}" + (f" ({plain(reason)})" if reason else "") + f"; {told}")
    lines += _kept_rows(parts)
    counts = data.get("class_counts")
    if isinstance(counts, list) and len(counts) == len(parts.schema.classes):
        pairs = list(zip(parts.schema.classes, counts, strict=True))
        lines += ["", *table(("class", "samples"), [(name, number(n)) for name, n in pairs[:MOST_ROWS]])]
        if len(pairs) > MOST_ROWS:
            lines += ["", f"and {len(pairs) - MOST_ROWS:,} more classes"]
    return lines


def _kept_rows(parts: CardParts) -> list[str]:
    if not parts.familiar_rows:
        return []
    held = "features and brightness of"
    if parts.schema.source == "table":
        held = "prepared values of"
    return [
        "",
        f"**This bundle holds {held} {parts.familiar_rows:,} training rows** (in {FAMILIAR}), by which it tells "
        "inputs that are unlike its training data. Where those data are private, so is this bundle.",
        *words_held(parts.schema),
    ]


def _scores(parts: CardParts) -> list[str]:
    scores = parts.scores
    if not scores:
        return ["This model was never tested."]
    baselines = scores.get("baselines") or {}
    rows = []
    for metric, score in scores["test"].items():
        low, high = number(score.get("low")), number(score.get("high"))
        others = [number(values.get(metric)) for values in baselines.values()]
        rows.append((metric_name(metric), number(score.get("value")), f"{low} to {high}", *others))
    lines = [
        f"Method: {plain(scores.get('method'))}. The intervals hold 95 % of the scores of resampled test samples.",
        "",
        *table(("metric", "this model", "95 % interval", *baselines), rows),
    ]
    if scores.get("verdict"):
        lines += ["", plain(scores["verdict"])]
    if scores.get("kept"):
        lines += ["", f"What is kept here is {plain(scores['kept'])}."]
    calibration = scores.get("calibration")
    if isinstance(calibration, dict):
        found = "" if calibration.get("in_scores", True) else " The scores above were made without it."
        lines += ["", CALIBRATED.format(temperature=number(calibration.get("temperature"))) + found]
    return lines


def _limits(parts: CardParts) -> list[str]:
    schema, rows = parts.schema, parts.scores.get("rows") or {}
    lines = [LIMITS[schema.task]] if schema.task in LIMITS else []
    if schema.picture is not None:
        facts, inputs = schema.picture, parts.preparation.get("inputs") or {}
        colour = {1: "grey", 3: "colour"}.get(facts.channels, f"{facts.channels} channels")
        sees = " × ".join(str(side) for side in inputs.get("size") or ())
        lines.append(
            f"- trained on {colour} pictures of {facts.bits} bits, {'about ' if facts.varied else ''}"
            f"{facts.height} × {facts.width} pixels (height × width); it sees them at {sees}"
        )
    if schema.task == "classification":
        lines.append("- it always answers with one of its classes, whatever it is shown; it knows no others")
    if schema.task == "regression" and isinstance(target := parts.facts.get("target"), dict):
        lines.append(
            f"- targets of training went from {number(target.get('low'))} to {number(target.get('high'))}; "
            "beyond that nothing was tested"
        )
    if isinstance(tested := rows.get("test"), int) and 0 < tested < FEW_TESTED:
        lines.append(f"- only {tested} samples were tested, so the scores are rough: mind the intervals")
    lines.append(
        "- not tested on data from another source, time, place or device than that of its training, nor for "
        "fairness between groups of people, nor against inputs made to deceive it"
    )
    columns = ["", *column_lines(schema)] if schema.source == "table" else []
    return lines + (series_lines(schema.series) if schema.series else columns)


def _findings(parts: CardParts) -> list[str]:
    if "findings" not in parts.facts:
        return ["Not told by this bundle."]
    findings = parts.facts.get("findings") or []
    told = [f"- {plain(item.get('message'))}" for item in findings if item.get("code") not in SELF_EVIDENT]
    return told or ["Nothing that was worth a warning."]


def _licences(parts: CardParts) -> list[str]:
    if "weights" not in parts.facts:
        return ["Not told by this bundle."]
    weights = parts.facts["weights"]
    if not isinstance(weights, dict):
        return ["The weights were learnt from the data above alone; no pretrained weights were used."]
    return [
        f"- started from pretrained weights: {plain(weights.get('arch'))}, from {plain(weights.get('origin'))}",
        f"- their licence: {plain(weights.get('licence'))}",
    ]


def _example(schema: Schema) -> str:
    if schema.source != "table":
        return '"new.png"'
    row = {}
    for column in schema.used_columns[:3]:
        row[column.name] = column.values[0] if column.values else column.low
    more = ", ..." if len(schema.used_columns) > len(row) else ""
    return json.dumps(row)[:-1].replace("null", "None") + more + "}"


def _repeat(parts: CardParts) -> list[str]:
    versions: Mapping[str, Any] = parts.facts.get("versions") or {}
    written = ", ".join(f"{plain(name)} {plain(version)}" for name, version in versions.items())
    lines: Sequence[str] = (
        "```",
        "flambeau train YOUR_DATA --recipe recipe.yaml",
        "```",
        "",
        "recipe.yaml, in this bundle, holds every option. The same data, versions and number of threads give the "
        "same weights, bit for bit, on a CPU.",
    )
    return [*lines, *(["", f"Written with {written}."] if written else [])]
