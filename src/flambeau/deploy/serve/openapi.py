"""OpenAPI 3.1 for the models of a server, made by pydantic from their schemas."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import models_json_schema

from flambeau import __version__
from flambeau.deploy.serve.limits import TEXT_LETTERS, Limits
from flambeau.deploy.serve.models import Loaded, Models
from flambeau.deploy.serve.predicting import dumps
from flambeau.deploy.serve.series import series_parts
from flambeau.schema import Column

REFERENCE = "#/components/schemas/{model}"
PICTURES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/tiff",
    "image/bmp",
    "image/gif",
    "application/octet-stream",
)
PROBLEMS = {
    400: "The body is not what its type says.",
    401: "The key is missing or another one.",
    408: "The request took too long to arrive.",
    413: "Too many bytes, pixels, rows or files, or more to make than there is time for.",
    415: "The model does not take bodies of this type.",
    422: "The body is well formed, but no input of this model.",
    429: "Too many explanations at a time; Retry-After says when.",
    503: "More is asked than the server can do; Retry-After says when.",
}


class Problem(BaseModel):
    """Why a request, or one input of it, has no answer."""

    what: str
    where: str = ""
    got: str = ""
    expected: str = ""
    hint: str = ""


def describe_model(model: Loaded, versions: list[str]) -> dict[str, Any]:
    """What a client needs to know of a model; no place of this machine."""
    schema = model.bundle.schema
    described: dict[str, Any] = {
        "name": model.name,
        "version": model.version,
        "versions": versions,
        "task": schema.task,
        "takes": schema.source,
        "target": schema.target,
        "predict": f"/models/{model.name}/versions/{model.version}/predict",
    }
    if schema.series is not None:
        facts = schema.series
        described |= {"horizon": facts.horizon, "lookback": facts.lookback, "frequency": facts.frequency}
        described |= {"quantiles": list(facts.quantiles), "time": list(facts.time), "series": facts.series}
    if model.asked is not None:
        return {**described, "takes": "fields", "fields": model.asked.describe()}
    if schema.task not in ("regression", "forecast"):
        described["classes"] = list(schema.classes)
    if not model.takes_pictures:
        described["columns"] = [
            {
                "name": column.name,
                "kind": column.kind,
                "low": column.low,
                "high": column.high,
                "values": list(column.values),
            }
            for column in schema.used_columns
        ]
    return described


def openapi_document(models: Models, limits: Limits, locked: bool) -> bytes:
    """The document, as JSON.

    Args:
        models: of the server.
        limits: told where they matter to a client.
        locked: whether a key is asked for.
    """
    parts: list[type[BaseModel]] = [Problem]
    paths: dict[str, Any] = _plain_paths()
    for number, model in enumerate(models):
        row, answer, answers = _parts(model, number)
        parts += [*dict.fromkeys([answer, answers]), *([row] if row else [])]
        first = next(iter(models.by_name[model.name].values()))
        addresses = [f"/models/{model.name}/versions/{model.version}/predict"]
        addresses += [f"/models/{model.name}/predict"] if model is first else []
        addresses += ["/predict"] if model is models.default else []
        for address in addresses:
            paths[address] = {"post": _operation(model, row, answer, answers, limits)}
    _, made = models_json_schema([(part, "validation") for part in parts], ref_template=REFERENCE)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "flambeau", "version": __version__},
        "paths": paths,
        "components": {"schemas": made["$defs"]},
    }
    if locked:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return dumps(document)


def _parts(model: Loaded, number: int) -> tuple[type[BaseModel] | None, type[BaseModel], type[BaseModel]]:
    """The row (tables only), the answer and the list of answers of a model; numbered, as names may hold anything."""
    schema = model.bundle.schema
    if schema.series is not None:
        past, forecast = series_parts(schema.series, number)
        return past, forecast, forecast
    if model.asked is not None:
        request, told = model.asked.parts(number)
        return request, told, _answers_of(told, number)
    row: type[BaseModel] | None = None
    if not model.takes_pictures:
        fields: dict[str, Any] = {
            f"column_{place}": (_column_type(column), _column_field(column))
            for place, column in enumerate(schema.used_columns)
        }
        row = create_model(f"Row{number}", __config__=ConfigDict(extra="allow"), **fields)
    classes: Any = Literal[schema.classes] if schema.classes else str
    label: dict[str, Any] = {"label": (classes, ...), "probabilities": (dict[str, float | None], ...)}
    if schema.task == "multilabel":
        label["label"] = (list[classes], ...)
    elif schema.task == "regression":
        label = {"value": (float | None, ...)}
    strange = (list[str], Field(description="What about this input the training data had none of."))
    why: Any = (dict[str, Any] | None, Field(None, description="With ?explain: what speaks for the answer."))
    answer = create_model(f"Answer{number}", **label, strange=strange, why=why)
    return row, answer, _answers_of(answer, number)


def _answers_of(answer: type[BaseModel], number: int) -> type[BaseModel]:
    """A list of answers, each named."""
    failed: Any = create_model(f"Failed{number}", input=(str, ...), error=(Problem, ...))
    named: Any = create_model(f"Named{number}", __base__=answer, input=(str, ...))
    return create_model(
        f"Answers{number}", model=(str, ...), version=(str, ...), answers=(list[named | failed], ...)
    )


def _column_type(column: Column) -> Any:
    if column.kind == "category":
        known: Any = Literal[column.values] if column.values else str
        return known | str | float | bool | None
    if column.kind == "text":
        return Annotated[str, Field(max_length=TEXT_LETTERS)] | None
    if column.kind == "date":
        return str | None
    return float | bool | str | None if column.kind == "boolean" else float | str | None


def _column_field(column: Column) -> Any:
    text = {
        "number": "A number; null where it is missing.",
        "boolean": "Yes or no; null where it is missing.",
        "text": f"A text of up to {TEXT_LETTERS:,} characters; null where it is missing.",
        "date": f"A date, written {column.date_format or 'as in ISO 8601'}; null where it is missing.",
    }.get(column.kind, "A category; another than those of the training data is allowed and told as strange.")
    extra: dict[str, Any] = {}
    if column.low is not None and column.high is not None:
        text += f" The model was trained on {column.low:g} to {column.high:g}; others are told as strange."
        extra = {"x-trained-low": column.low, "x-trained-high": column.high}
    return Field(alias=column.name, description=text, json_schema_extra=extra)


_EXPLAIN = {
    "name": "explain",
    "in": "query",
    "required": False,
    "description": "1, or a label: also say why. One input only; takes long.",
    "schema": {"type": "string"},
}


def _operation(
    model: Loaded,
    row: type[BaseModel] | None,
    answer: type[BaseModel],
    answers: type[BaseModel],
    limits: Limits,
) -> dict[str, Any]:
    problem = {"application/json": {"schema": {"$ref": REFERENCE.format(model="Problem")}}}
    one = {"$ref": REFERENCE.format(model=answer.__name__)}
    several = {"$ref": REFERENCE.format(model=answers.__name__)}
    responses: dict[str, Any] = {
        str(status): {"description": text, "content": problem} for status, text in PROBLEMS.items()
    }
    responses["200"] = {
        "description": "The answer; for a list of inputs, a list of answers.",
        "content": {"application/json": {"schema": {"anyOf": [one, several]}}},
    }
    if row is None:
        kinds: dict[str, Any] = {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in PICTURES
        }
        files = {"type": "array", "maxItems": limits.files, "items": {"type": "string", "format": "binary"}}
        kinds["multipart/form-data"] = {
            "schema": {"type": "object", "properties": {"file": files}, "required": ["file"]}
        }
    else:
        reference = {"$ref": REFERENCE.format(model=row.__name__)}
        most = limits.rows if model.asked is None else min(limits.rows, model.asked.rows)
        rows = {"type": "array", "minItems": 1, "maxItems": most, "items": reference}
        forms = [
            {
                "type": "object",
                "properties": {"rows": rows},
                "required": ["rows"],
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {"row": reference},
                "required": ["row"],
                "additionalProperties": False,
            },
            rows,
            reference,
        ]
        if model.takes_series:  # a row alone is no series
            forms = [forms[0], rows]
        kinds = {"application/json": {"schema": {"anyOf": forms}}}
    return {
        "summary": f"{'Predict with' if model.asked is None else 'Ask'} {model.name}, version {model.version}",
        "parameters": [] if model.takes_series or model.asked is not None else [_EXPLAIN],
        "requestBody": {"required": True, "content": kinds},
        "responses": dict(sorted(responses.items())),
    }


def _plain_paths() -> dict[str, Any]:
    told = {
        "/health": ("The process is alive.", "application/json"),
        "/ready": ("Requests are answered.", "application/json"),
        "/models": ("All models and their versions.", "application/json"),
        "/metrics": ("Counters for Prometheus.", "text/plain"),
        "/openapi.json": ("This document.", "application/json"),
    }
    problem = {"application/json": {"schema": {"$ref": REFERENCE.format(model="Problem")}}}
    paths: dict[str, Any] = {}
    for path, (text, kind) in told.items():
        responses: dict[str, Any] = {"200": {"description": text, "content": {kind: {}}}}
        for status in (401, 503):
            responses[str(status)] = {"description": PROBLEMS[status], "content": problem}
        paths[path] = {"get": {"summary": text, "responses": responses}}
    return paths
