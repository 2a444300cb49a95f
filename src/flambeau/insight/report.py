"""The report of a run: one HTML file that opens without a network, made only from the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flambeau.evaluation.uncertainty import expected_calibration_error
from flambeau.insight.decisions import BASE64, decision_context
from flambeau.insight.drawings import draw_plots, stages_of
from flambeau.insight.facts import RunFacts, read_facts
from flambeau.insight.forecasts import forecast_context
from flambeau.insight.generated import generated_context
from flambeau.insight.parts import part_rows
from flambeau.insight.tables import (
    class_rows,
    commands,
    confusions,
    error_sentence,
    headline,
    key_figures,
    recipe_groups,
    score_rows,
    shift_sentence,
    split_rows,
)
from flambeau.insight.texts import noun_of, subject_of, written_texts
from flambeau.insight.training_tables import (
    bound_rows,
    bound_sentence,
    group_lines,
    load_rows,
    peak_memory,
    timing_tables,
)
from flambeau.insight.wording import (
    as_sentence,
    compare_with_baseline,
    count_of,
    format_interval,
    format_number,
    headline_metric,
)

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_WORST = 24


def write_report(folder: Path) -> Path:
    """Write report.html and plots/*.png into a run's folder.

    Args:
        folder: of a run, finished or not; what it lacks is told in the report.

    Returns:
        The path of report.html.

    Raises:
        RunError: the folder is no run, one of its files is damaged, or it cannot be written to.
    """
    facts = read_facts(Path(folder))
    facts.run.write_text(facts.run.report.name, render_report(facts))
    return facts.run.report


def render_report(facts: RunFacts) -> str:
    """The report's HTML; the plots are drawn and saved on the way."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=format_number, count_of=count_of, shown=_shown, as_sentence=as_sentence)
    return environment.get_template("report.html.j2").render(_context(facts))


def _context(facts: RunFacts) -> dict[str, Any]:
    number, sentence = headline(facts)
    repeat, onward = commands(facts)
    findings = facts.records_of("finding")
    order = {"error": 0, "warning": 1, "info": 2}
    return {
        "facts": facts,
        "schema": facts.schema,
        "noun": "row" if facts.schema is None else noun_of(facts.schema),
        "subject": subject_of(facts.schema),
        "written": written_texts(facts),
        "scores": facts.scores,
        "number": number,
        "sentence": sentence,
        "key_figures": key_figures(facts),
        "plots": draw_plots(facts),
        "stages": stages_of(facts),
        "split_rows": split_rows(facts),
        "findings": sorted(findings, key=lambda finding: order.get(str(finding.get("level")), 3)),
        "notes": list(dict.fromkeys(str(record.get("text", "")) for record in facts.records_of("note"))),
        "groups": recipe_groups(facts),
        "bound_sentence": bound_sentence(facts),
        "bound_rows": bound_rows(facts),
        "peak_memory": peak_memory(facts),
        "timings": timing_tables(facts),
        "group_lines": group_lines(facts),
        "load_rows": load_rows(facts),
        "worst": [_worst_card(item) for item in facts.worst[:_MOST_WORST]],
        "generated": generated_context(facts),
        "parts": part_rows(facts.scores),
        "forecasts": forecast_context(facts),
        "machine": [
            (name, value)
            for name, value in facts.environment.items()
            if name != "command" and value not in (None, "")
        ],
        "repeat": repeat,
        "onward": onward,
        **_score_context(facts),
        **decision_context(facts),
    }


def _score_context(facts: RunFacts) -> dict[str, Any]:
    context: dict[str, Any] = {
        "standing": "none",
        "verdict": "",
        "interval": "",
        "shift": "",
        "score_rows": [],
        "class_rows": [],
        "confusions": [],
        "error_sentence": "",
        "temperature": None,
        "calibrated_scores": True,
        "calibration_error": None,
    }
    if facts.scores is None or not facts.scores["test"]:
        return context
    metric = headline_metric(facts.scores)
    standing, verdict = compare_with_baseline(facts.scores)
    stored = facts.scores.get("verdict")
    # The run's own verdict compares row by row, which scores.json alone cannot: it stands, and so does its colour.
    context["standing"] = facts.scores.get("standing", "none") if stored else standing
    context["verdict"] = stored or verdict
    context["interval"] = format_interval(metric, facts.scores["test"][metric])
    context["shift"] = shift_sentence(facts.scores)
    context["score_rows"] = score_rows(facts.scores)
    calibration = facts.scores.get("calibration") or {}
    context["temperature"] = calibration.get("temperature")
    context["calibrated_scores"] = calibration.get("in_scores", True)
    if facts.schema is not None and facts.evaluation is not None:
        if facts.schema.task == "regression":
            context["error_sentence"] = error_sentence(facts.evaluation)
        elif facts.schema.classes:
            context["class_rows"] = class_rows(facts.schema, facts.evaluation)
            context["calibration_error"] = expected_calibration_error(
                facts.evaluation.predictions, facts.evaluation.targets
            )
        if facts.schema.task == "classification":
            context["confusions"] = confusions(facts.schema, facts.evaluation)
    return context


def _worst_card(item: dict[str, Any]) -> dict[str, Any]:
    """One mistake with every key there; a picture that is not plain base64 is left out."""
    png = item.get("png")
    return {
        "id": item.get("id", ""),
        "target": _shown(item.get("target")),
        "predicted": _shown(item.get("predicted")),
        "confidence": item.get("confidence"),
        "error": item.get("error"),
        "png": png if isinstance(png, str) and BASE64.fullmatch(png) else None,
        "row": item.get("row") or {},
    }


def _shown(value: Any) -> str:
    """A value of the data as a person reads it."""
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value) or "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return format_number(value, 4)
    return "missing" if value is None else str(value)
