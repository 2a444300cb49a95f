"""The report's table of what each kind of column tells alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flambeau.insight.wording import METRIC_TITLES, format_metric

MOST_NAMED = 6


def part_rows(scores: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Headings and rows of the table; None for a run whose columns were not judged alone.

    Each row is a metric with the value of the whole model, and of each part the value and by how much the whole model
    differs from it, with a paired 95 % interval.
    """
    parts = (scores or {}).get("parts")
    if not isinstance(parts, dict) or not parts or scores is None:
        return None
    rows = []
    for metric, score in scores["test"].items():
        cells = []
        for part in parts.values():
            gap = part["difference"].get(metric)
            cells.append(
                {
                    "value": format_metric(metric, part["scores"].get(metric)),
                    "gap": "" if gap is None else _gap(metric, gap),
                }
            )
        title = METRIC_TITLES.get(metric, metric)
        rows.append({"title": title, "value": format_metric(metric, score["value"]), "cells": cells})
    columns = {kind: _few(part["columns"]) for kind, part in parts.items()}
    return {"kinds": columns, "rows": rows}


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _gap(metric: str, gap: Mapping[str, float]) -> str:
    value, low, high = (_signed(metric, gap[key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _signed(metric: str, value: float) -> str:
    return ("+" if value >= 0 else "−") + format_metric(metric, abs(value))
