"""The page at "/": one self-contained HTML file to try the models, without a request to anywhere else.

Its script and its style stand in the page and are named by their digests in a content security policy, so that
markup in a label, a column's name or a file's name could not run even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from flambeau.deploy.bundle import Bundle
from flambeau.deploy.serve.talking import ASKED, asked_of
from flambeau.deploy.why.why import typical_value
from flambeau.evaluation.wording import metric_name
from flambeau.schema import Column, Schema
from flambeau.transforms.table import TablePreparation

MOST_VALUES = 500
_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("words.js", "answer.js", "picture.js", "parse.js", "row.js", "series.js", "talk.js", "page.js")


class Served(Protocol):
    """One version of one model, as the server knows it."""

    @property
    def name(self) -> str:
        """As it stands in its address."""

    @property
    def version(self) -> str:
        """As it stands in its address."""

    @property
    def bundle(self) -> Bundle:
        """The model."""


def render_page(models: Iterable[Served], *, locked: bool = False) -> str:
    """The page's HTML.

    Args:
        models: the first of which is shown first.
        locked: whether the server asks for a key. The page, which it gives to everyone, then tells nothing of the
            models; it asks for page.json (`page_models`) with the key.

    Raises:
        ValueError: no models.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    told = page_models(models)
    if not told:
        raise ValueError("a page needs at least one model, got none")
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script, style = _sources()
    return environment.get_template("page.html.j2").render(
        title=told[0]["name"] if len(told) == 1 and not locked else "Models",
        models=[] if locked else told,
        policy=_policy(),
        script=Markup(script),
        style=Markup(style),
    )


def page_models(models: Iterable[Served]) -> list[dict[str, Any]]:
    """What the page knows of the models, plain values only."""
    return [page_model(model) for model in models]


def page_headers() -> dict[str, str]:
    """HTTP headers that the page should be sent with; its policy stands in the page too."""
    return {
        "content-security-policy": f"{_policy()}; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-cache",
    }


def page_model(model: Served) -> dict[str, Any]:
    """What the page knows of one model: its address, its task, its score, and the columns of its form."""
    bundle, schema = model.bundle, model.bundle.schema
    name, version = quote(model.name, safe=""), quote(model.version, safe="")
    return {
        "name": model.name,
        "version": model.version,
        "url": f"models/{name}/versions/{version}/predict",
        "kind": schema.task if schema.task in ASKED else schema.source,
        "task": schema.task,
        "target": schema.target,
        "classes": list(schema.classes),
        "score": _score(bundle.scores),
        "scans": bool(schema.picture and schema.picture.scans),
        "series": _series(schema),
        "fields": _fields(bundle),
        "columns": [_column(bundle, column) for column in _form_columns(schema)],
    }


def _form_columns(schema: Schema) -> list[Column]:
    """The columns with a field each; the form of time series takes whole tables."""
    return list(schema.used_columns) if schema.source == "table" else []


def _fields(bundle: Bundle) -> list[dict[str, Any]]:
    """What the form of a model asks for that is shown no samples."""
    asked = asked_of(bundle)
    if asked is None:
        return []
    return [
        {"name": field.name, "default": field.default, "low": field.low, "high": _finite(field.high)}
        for field in asked.fields
    ]


def _series(schema: Schema) -> dict[str, Any] | None:
    """What the form of time series asks for, and what its answer draws."""
    facts = schema.series
    if facts is None:
        return None
    told = {"targets": list(facts.targets), "channels": list(facts.channels), "time": list(facts.time)}
    sizes = {"lookback": facts.lookback, "horizon": facts.horizon, "frequency": facts.frequency}
    return {**told, **sizes, "series": facts.series}


def _column(bundle: Bundle, column: Column) -> dict[str, Any]:
    values = column.values[:MOST_VALUES]
    known: set[str] = set()
    if isinstance(bundle.preparation, TablePreparation):
        for feature in bundle.preparation.categories:
            if feature.column == column.name:
                known.update(feature.values)
    return {
        "name": column.name,
        "kind": column.kind,
        "low": _finite(column.low),
        "high": _finite(column.high),
        "values": list(values),
        "complete": known <= set(values),
        "typical": _rounded(typical_value(bundle, column.name)),
        "date_format": column.date_format,
    }


def _score(scores: dict[str, Any]) -> dict[str, Any] | None:
    """The main score with its interval, or None before a test."""
    metric = scores.get("metric", "")
    found = scores.get("test", {}).get(metric)
    if not found:
        return None
    words = "right answer found first" if metric == "top1" else metric_name(metric)
    numbers = {key: _finite(found.get(key)) for key in ("value", "low", "high")}
    method = str(scores.get("method", ""))
    folds = method if "cross-validation" in method else ""
    return {"metric": words, **numbers, "rows": scores["rows"]["test"], "folds": folds}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _rounded(value: str | float | bool | None) -> str | float | bool | None:
    if not isinstance(value, float):
        return value
    short = float(f"{value:.6g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


@cache
def _sources() -> tuple[str, str]:
    """The page's script and its style."""
    scripts = [(_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    return "\n".join(scripts), (_TEMPLATES / "page.css").read_text(encoding="utf-8")


@cache
def _policy() -> str:
    script, style = (
        base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in _sources()
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'"
    )
