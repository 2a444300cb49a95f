"""Whether the parts of a bundle are what they claim to be and fit each other, before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from torch import nn

from flambeau.deploy.checks.language import (
    chat_faults,
    chat_model_arguments,
    corpus_faults,
    language_model_arguments,
    writer_faults,
)
from flambeau.deploy.checks.mixed import (
    LARGEST_SIDE,
    MOST_CHANNELS,
    dropouts_of,
    fusion_arguments,
    picture_column_faults,
)
from flambeau.deploy.checks.series import series_faults, series_model_arguments, series_preparation_faults
from flambeau.deploy.checks.subwords import tokenizer_fault
from flambeau.deploy.checks.tasks import Preparation, model_faults, module_faults, task_faults
from flambeau.deploy.checks.values import argument_faults, same_value
from flambeau.deploy.files import damaged
from flambeau.deploy.rebuild import members_of
from flambeau.errors import RunError
from flambeau.models.spec import ModelSpec
from flambeau.models.whiten import PATCH_SIDE, whitened_channels
from flambeau.schema import Schema
from flambeau.transforms.corpus import CorpusPreparation
from flambeau.transforms.dialogue import ChatPreparation
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.scaling import DATE_PARTS, SCALINGS
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation
from flambeau.transforms.text import BYTES_A_TOKEN, TOKENS, TextPreparation

Part = TypeVar("Part")

MOST_TOKENS = 2**17
MOST_BUCKETS = 2**24
PARTS_OF_KIND = {
    "number": ("value", "missing"),
    "boolean": ("value", "missing"),
    "date": (*DATE_PARTS, "missing"),
}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def typed(kind: type[Part], data: Any, path: Path) -> Part:
    """Plain values as a dataclass, with every field of its very type. Raises RunError where one is of another."""
    wanted: Any = kind
    try:
        part: Part = _adapter(wanted).validate_json(json.dumps(data), strict=True)
        return part
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(key) for key in first["loc"])[:120]
        raise damaged(path, f"{place}: {first['msg']}") from error


def check_schema(schema: Schema, path: Path) -> None:
    """Raises RunError for a schema that contradicts itself."""
    names = [column.name for column in schema.columns]
    faults = {
        "columns of one name": len(set(names)) != len(names),
        "classes of numbers": schema.task in ("regression", "forecast") and bool(schema.classes),
        "no classes": schema.task in ("classification", "multilabel") and not schema.classes,
        "classes of one name": len(set(schema.classes)) != len(schema.classes),
        "pictures without facts of them": schema.source == "pictures" and schema.picture is None,
        "columns of no table": schema.source == "table" and not schema.used_columns,
    }
    if schema.picture is not None:
        facts = schema.picture
        sizes_are_right = min(facts.channels, facts.height, facts.width) >= 1 and facts.bits in (8, 16)
        faults["pictures of no size"] = not sizes_are_right
    _refuse({**faults, **series_faults(schema)}, path)


def check_preparation(preparation: Preparation, schema: Schema, path: Path) -> None:
    """Raises RunError for a preparation that cannot prepare what the schema describes."""
    _refuse(task_faults(preparation, schema), path)
    if isinstance(preparation, SeriesPreparation):
        _refuse(series_preparation_faults(preparation, schema), path)
        return
    if isinstance(preparation, CorpusPreparation):
        _refuse(corpus_faults(preparation, schema), path)
        return
    if isinstance(preparation, ChatPreparation):
        _refuse(chat_faults(preparation, schema), path)
        return
    if isinstance(preparation, PicturePreparation):
        statistics = {len(preparation.mean), len(preparation.std)}
        _refuse(
            {
                "a preparation of pictures, for a table": schema.source != "pictures",
                "a size beyond all limits": not all(1 <= side <= LARGEST_SIDE for side in preparation.size),
                "channels beyond all limits": not 1 <= preparation.channels <= MOST_CHANNELS,
                "bits that no picture has": preparation.bits not in (8, 16),
                "statistics of other channels": statistics not in ({0}, {preparation.channels}),
                "a deviation of zero": min(preparation.std, default=1.0) <= 0,
            },
            path,
        )
        return
    kinds = {column.name: column.kind for column in schema.used_columns}
    numbers = preparation.numbers
    _refuse(
        {
            "a preparation of a table, for pictures": schema.source != "table",
            "features of unknown columns": any(
                feature.part not in PARTS_OF_KIND.get(kinds.get(feature.column, ""), ())
                for feature in numbers
            ),
            "categories of unknown columns": any(
                kinds.get(feature.column) != "category" for feature in preparation.categories
            ),
            "an unknown scaling": any(feature.scaling not in (*SCALINGS, "none") for feature in numbers),
            "no quantiles": any(
                feature.scaling == "quantile" and feature.spread != 0 and not feature.quantiles
                for feature in numbers
            ),
            "texts that are not prepared": preparation.text is None and "text" in kinds.values(),
            **picture_column_faults(preparation, schema),
        },
        path,
    )
    if preparation.text is not None:
        _check_text(preparation.text, kinds, path)


def _check_text(text: TextPreparation, kinds: Mapping[str, str], path: Path) -> None:
    """Raises RunError for tokens beyond all limits, or of columns that are no texts."""
    known = text.vocabulary
    of_texts = [name for name, kind in kinds.items() if kind == "text"]
    _refuse(
        {
            "texts of other columns": list(text.columns) != of_texts,
            "tokens of an unknown kind": text.tokens not in TOKENS,
            "a length beyond all limits": not 1 <= text.length <= MOST_TOKENS,
            "buckets beyond all limits": not 0 <= text.buckets <= MOST_BUCKETS,
            "n-grams without buckets": text.tokens == "ngrams" and text.buckets < 1,
            "n-grams beyond all limits": not (1 <= text.ngrams[0] <= 8 and 0 <= text.ngrams[1] <= 16),
            "a vocabulary beyond all limits": len(known) > MOST_BUCKETS,
            "tokens of one name": len(set(known)) != len(known),
            "characters of other lengths": text.tokens == "characters" and any(len(c) != 1 for c in known),
            "subwords without a tokenizer": text.tokens == "subwords" and not text.tokenizer,
        },
        path,
    )
    if text.tokens == "subwords":
        if fault := tokenizer_fault(text.tokenizer, BYTES_A_TOKEN * text.length, text.length):
            raise damaged(path, fault)
        _refuse({"subwords beyond all limits": not 1 < text.cardinality <= MOST_BUCKETS}, path)


def check_model(spec: ModelSpec, schema: Schema, preparation: Preparation, path: Path) -> None:
    """Raises RunError for a model that takes or gives other numbers than the schema and the preparation say."""
    _refuse(model_faults(members_of(spec), schema), path)
    expected: dict[str, Any] = {"outputs": schema.outputs}
    if isinstance(preparation, PicturePreparation):
        expected |= {"channels": preparation.channels, "size": list(preparation.size)}
    elif isinstance(preparation, SeriesPreparation):
        expected |= series_model_arguments(preparation)
    elif isinstance(preparation, CorpusPreparation):
        expected = language_model_arguments(preparation)
    elif isinstance(preparation, ChatPreparation):
        expected = chat_model_arguments(preparation)
        for member in members_of(spec):
            _refuse(writer_faults(member, preparation), path)
    else:
        expected |= {
            "number_features": len(preparation.numbers),
            "cardinalities": list(preparation.cardinalities),
        }
        if preparation.text is not None and not preparation.has_cells and not preparation.pictures:
            expected = {
                **expected,
                "cardinality": preparation.text.cardinality,
                "length": preparation.text.length,
            }
    for member in members_of(spec):
        _refuse(argument_faults(member), path)
        seen = _behind_whitening(expected) if "whiten" in member.arguments else expected
        if isinstance(preparation, TablePreparation):
            seen = {**seen, **fusion_arguments(member, preparation)}
        for key, value in seen.items():
            if key in member.arguments and not same_value(member.arguments[key], value):
                raise RunError(
                    "the parts of this bundle do not fit each other",
                    where=path,
                    got=f"{key} {str(member.arguments[key])[:100]}",
                    expected=f"{key} {str(value)[:100]}",
                )
        for dropout in dropouts_of(member):
            if not (isinstance(dropout, int | float) and 0 <= dropout < 1):
                raise damaged(path, f"dropout {str(dropout)[:40]!r}", "a share from 0 to below 1")


def check_module(module: nn.Module, preparation: Preparation, path: Path) -> None:
    """Raises RunError for weights that point at what is not there."""
    _refuse(module_faults(module, preparation), path)


def _behind_whitening(expected: dict[str, Any]) -> dict[str, Any]:
    """What a model is made for that stands behind a whitening layer; there is none but for pictures."""
    if "size" not in expected:
        return {**expected, "whiten": None}
    channels, size = expected["channels"], expected["size"]
    inner = {"channels": whitened_channels(channels), "size": [side - PATCH_SIDE + 1 for side in size]}
    return {**expected, **inner, "whiten": channels}


def _refuse(faults: dict[str, bool], path: Path) -> None:
    found = [fault for fault, is_there in faults.items() if is_there]
    if found:
        raise damaged(path, found[0])
