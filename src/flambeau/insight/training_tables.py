"""What the report tells of the training beside its curves: what bounded it, memory, timings, groups, weights."""

from __future__ import annotations

from typing import Any

from flambeau.insight.facts import RunFacts
from flambeau.insight.wording import format_number, format_seconds

SPAN_MEANINGS = {
    "data": "waiting for samples: reading, changing and moving them",
    "compute": "forward and backward passes",
    "optimizer": "steps of the optimizer",
    "validation": "scores after each epoch",
    "saving": "waiting for checkpoints",
    "other": "everything else, such as records and averages of the weights",
}
LONGEST_LIST = 200


def last_spans(facts: RunFacts) -> dict[str, dict[str, Any]]:
    """Stage → its spans; of a stage that was resumed, what its parts took together."""
    stages: dict[str, dict[str, Any]] = {}
    for record in facts.records_of("spans"):
        before = stages.get(str(record.get("stage", "")))
        together = {
            name: seconds + ((before or {}).get("spans", {}).get(name, 0.0) if record.get("resumed") else 0.0)
            for name, seconds in record["spans"].items()
        }
        stages[str(record.get("stage", ""))] = {**record, "spans": together}
    return stages


def bound_rows(facts: RunFacts) -> list[dict[str, str]]:
    """One row a span, over all trainings: name, meaning, seconds, share; the largest first."""
    totals: dict[str, float] = {}
    for record in last_spans(facts).values():
        for name, seconds in record["spans"].items():
            totals[name] = totals.get(name, 0.0) + float(seconds)
    whole = sum(totals.values()) or 1.0
    return [
        {
            "name": name,
            "meaning": SPAN_MEANINGS.get(name, ""),
            "seconds": format_seconds(seconds),
            "share": f"{100 * seconds / whole:.1f} %",
        }
        for name, seconds in sorted(totals.items(), key=lambda item: -item[1])
    ]


def bound_sentence(facts: RunFacts) -> str:
    """What took most of the time, and how much of it went into waiting for data."""
    stages = last_spans(facts)
    if not stages:
        return ""
    rows = bound_rows(facts)
    words = {"data": "data", "compute": "computing", "optimizer": "the optimizer", "validation": "validation"}
    first = rows[0]
    sentence = (
        f"The training was bound by {words.get(first['name'], first['name'])}: {first['share']} of its time."
    )
    waits = [record.get("later_data_share") for record in stages.values()]
    known = [float(share) for share in waits if share is not None]
    if known:
        mean = sum(known) / len(known)
        sentence += f" After the first epoch it waited for data in {100 * mean:.1f} % of the time."
    if any("events" in str(record.get("measured")) for record in stages.values()):
        sentence += " Measured by events of the device, on every sixteenth step."
    return sentence


def peak_memory(facts: RunFacts) -> str:
    """The largest memory of the device that a record tells, or "" where none does."""
    told = [record.get("memory_gb") for record in (*facts.records_of("epoch"), *facts.records_of("step"))]
    known = [float(value) for value in told if value is not None]
    return f"{format_number(max(known))} GB" if known else ""


def timing_tables(facts: RunFacts) -> list[dict[str, Any]]:
    """Tables that were timed before the training: title, heading, rows."""
    tables = []
    for record in facts.records_of("table"):
        rows = record.get("rows") or []
        if len(rows) > 1:
            tables.append({"title": str(record.get("title", "")), "heading": rows[0], "rows": rows[1:]})
    return tables


def group_lines(facts: RunFacts) -> list[str]:
    """The optimizer's groups of parameters, as the last training had them."""
    records = facts.records_of("groups")
    return [str(line) for line in records[-1].get("lines") or []] if records else []


def load_rows(facts: RunFacts) -> list[tuple[str, int, str]]:
    """What became of the tensors of weights that were loaded: (what, how many, which)."""
    titles = {
        "matched": "loaded",
        "missing": "not in the file",
        "other_shape": "of another shape",
        "only_in_file": "in the file only",
    }
    for record in facts.records_of("note"):
        if "matched" in record:
            return [
                (title, len(names), _listed(names))
                for key, title in titles.items()
                if (names := record.get(key))
            ]
    return []


def _listed(names: list[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:LONGEST_LIST])
    return shown if len(names) <= LONGEST_LIST else f"{shown} and {len(names) - LONGEST_LIST} more"


def rate_test(facts: RunFacts) -> dict[str, Any] | None:
    """The range test of the learning rate, if there was one that can be drawn."""
    records = facts.records_of("lr_test")
    test = records[-1] if records else None
    if (
        test is None
        or len(test.get("rates") or []) < 2
        or len(test["rates"]) != len(test.get("losses") or [])
    ):
        return None
    return test
