"""What a report shows of a net that makes pictures: its sheets by epoch, ways between pictures, what the score says."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from flambeau.insight.facts import RunFacts

MOST_SHEETS_SHOWN = 8
MOST_BYTES = 4 * 2**20
_EPOCH = re.compile(r"epoch-(\d{1,9})\.png")

CAPTIONS = {
    "final": ("Made pictures", "By the epoch that is kept, from fixed noise."),
    "real": ("Real pictures", "Of the training part, to compare with."),
    "interpolation": ("Ways between pictures", "Each row goes from one noise to another on a great circle."),
    "nearest": (
        "Made pictures and the nearest real ones",
        "Above made ones, below the training picture with the nearest pixels: equal pairs would be copies.",
    ),
}


def generated_context(facts: RunFacts) -> dict[str, Any] | None:
    """Sheets and measures for the report; None for a run that makes no pictures."""
    if facts.schema is None or facts.schema.task != "generate":
        return None
    folder = facts.run.path / "samples"
    kept = [
        {"title": title, "caption": caption, "png": png}
        for name, (title, caption) in CAPTIONS.items()
        if (png := _embedded(folder / f"{name}.png"))
    ]
    found = sorted(
        (int(match[1]), path) for path in folder.glob("epoch-*.png") if (match := _EPOCH.fullmatch(path.name))
    )
    epochs = [
        {"title": f"epoch {number}", "caption": "", "png": png}
        for number, path in _spread(found)
        if (png := _embedded(path))
    ]
    scores = facts.scores or {}
    return {
        "kept": kept,
        "epochs": epochs,
        "measured": str(scores.get("measured", "")),
        "measures": _measures(scores),
        "classes": _classes(scores),
    }


def _spread(found: list[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """At most so many, evenly spaced, the first and the last among them."""
    if len(found) <= MOST_SHEETS_SHOWN:
        return found
    last = len(found) - 1
    return [found[round(place * last / (MOST_SHEETS_SHOWN - 1))] for place in range(MOST_SHEETS_SHOWN)]


def _embedded(path: Path) -> str:
    """A PNG as base64; empty where it is absent, far too large, or no PNG."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return ""
    data = path.read_bytes()
    return base64.b64encode(data).decode("ascii") if data.startswith(b"\x89PNG") else ""


def _measures(scores: dict[str, Any]) -> list[tuple[str, str, str]]:
    measures = scores.get("generated") or {}
    rows = []
    for key, title, meaning in (
        ("diversity", "Diversity", "mean distance of two made pictures, as a share of that of two real ones"),
        (
            "copies",
            "As near as copies",
            "share of made pictures nearer to a training picture than 99 % of the test part",
        ),
        (
            "nearest",
            "Distance to the nearest training picture",
            "median, as a share of that of test pictures",
        ),
    ):
        value = measures.get(key)
        if isinstance(value, int | float):
            rows.append((title, f"{100 * value:.0f} %", meaning))
    return rows


def _classes(scores: dict[str, Any]) -> list[tuple[str, str, str]]:
    measures = scores.get("generated") or {}
    made, real = measures.get("classes") or [], measures.get("classes_of_training") or []
    names = scores.get("classes") or []
    if not len(names) == len(made) == len(real):
        return []
    return [
        (str(n), f"{100 * m:.1f} %", f"{100 * r:.1f} %") for n, m, r in zip(names, made, real, strict=True)
    ]
