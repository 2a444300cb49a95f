"""What the report tells of decisions between two classes, of the validation part, and of doubtful labels."""

from __future__ import annotations

import re
from typing import Any

from flambeau.insight.facts import RunFacts

RATES = {
    "sensitivity": ("Sensitivity", "share of the positive ones that is found"),
    "specificity": ("Specificity", "share of the others that is left in peace"),
    "positive_predictive_value": ("Positive predictive value", "share of alarms that is right"),
    "negative_predictive_value": ("Negative predictive value", "share of all-clears that is right"),
    "accuracy": ("Accuracy", "share of right answers"),
}
RULES = {"half": "one half", "youden": "the largest sum of sensitivity and specificity (Youden)"}
MOST_SUSPECTS = 24

BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def decision_context(facts: RunFacts) -> dict[str, Any]:
    """The names that the template of decisions uses; empty where there is nothing of the kind."""
    scores = facts.scores or {}
    return {"decision": _decision(scores), "doubtful": _doubtful(facts)}


def _decision(scores: dict[str, Any]) -> dict[str, Any] | None:
    point = scores.get("operating_point")
    if not isinstance(point, dict) or not isinstance(point.get("rates"), dict):
        return None
    rule = str(point.get("rule", "half"))
    rows = [
        (title, meaning, _percent(found["value"]), f"{_percent(found['low'])} to {_percent(found['high'])}")
        for name, (title, meaning) in RATES.items()
        if isinstance(found := point["rates"].get(name), dict)
    ]
    return {
        "positive": str(point.get("positive", "")),
        "threshold": f"{float(point.get('threshold', 0.5)):.3f}",
        "rule": RULES.get(rule, f"a {rule.replace('=', ' of ')}"),
        "moved": rule != "half",
        "trained_again": point.get("trained_again") is True,
        "rows": rows,
    }


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _doubtful(facts: RunFacts) -> dict[str, Any] | None:
    """The run's suspects.json, bounded, with pictures that are plain base64 alone."""
    path = facts.run.path / "suspects.json"
    if not path.is_file():
        return None
    told = facts.run.read_json(path.name)
    listed = told.get("suspects") if isinstance(told, dict) else None
    if not isinstance(listed, list) or not listed:
        return None
    cards = [
        {
            "id": str(item.get("id", "")),
            "part": str(item.get("part", "")),
            "given": str(item.get("given", "")),
            "likely": str(item.get("likely", "")),
            "confidence": float(item.get("confidence") or 0.0),
            "png": png if isinstance(png := item.get("png"), str) and BASE64.fullmatch(png) else None,
        }
        for item in listed[:MOST_SUSPECTS]
        if isinstance(item, dict)
    ]
    return {
        "count": int(told.get("count", len(listed))),
        "judged": int(told.get("judged", 0)),
        "shifted": bool(told.get("shifted")),
        "cards": cards,
    }
