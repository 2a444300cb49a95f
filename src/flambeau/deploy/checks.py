"""Whether the parts of a bundle are what they claim to be and fit each other, before anything is computed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from flambeau.deploy.files import damaged
from flambeau.deploy.rebuild import members_of
from flambeau.errors import RunError
from flambeau.models.build import ModelSpec
from flambeau.models.whiten import PATCH_SIDE, whitened_channels
from flambeau.schema import Schema
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.scaling import DATE_PARTS, SCALINGS
from flambeau.transforms.table import TablePreparation

Part = TypeVar("Part")

LARGEST_SIDE = 4096
MOST_CHANNELS = 1024
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
        "classes of a regression": schema.task == "regression" and bool(schema.classes),
        "no classes": schema.task != "regression" and not schema.classes,
        "classes of one name": len(set(schema.classes)) != len(schema.classes),
        "pictures without facts of them": schema.source == "pictures" and schema.picture is None,
        "columns of no table": schema.source == "table" and not schema.used_columns,
    }
    if schema.picture is not None:
        facts = schema.picture
        sizes_are_right = min(facts.channels, facts.height, facts.width) >= 1 and facts.bits in (8, 16)
        faults["pictures of no size"] = not sizes_are_right
    _refuse(faults, path)


def check_preparation(preparation: PicturePreparation | TablePreparation, schema: Schema, path: Path) -> None:
    """Raises RunError for a preparation that cannot prepare what the schema describes."""
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
        },
        path,
    )


def check_model(
    spec: ModelSpec, schema: Schema, preparation: PicturePreparation | TablePreparation, path: Path
) -> None:
    """Raises RunError for a model that takes or gives other numbers than the schema and the preparation say."""
    expected: dict[str, Any] = {"outputs": schema.outputs}
    if isinstance(preparation, PicturePreparation):
        expected |= {"channels": preparation.channels, "size": list(preparation.size)}
    else:
        expected |= {
            "number_features": len(preparation.numbers),
            "cardinalities": list(preparation.cardinalities),
        }
    for member in members_of(spec):
        seen = _behind_whitening(expected) if "whiten" in member.arguments else expected
        for key, value in seen.items():
            if key in member.arguments and member.arguments[key] != value:
                raise RunError(
                    "the parts of this bundle do not fit each other",
                    where=path,
                    got=f"{key} {str(member.arguments[key])[:100]}",
                    expected=f"{key} {str(value)[:100]}",
                )
        dropout = member.arguments.get("dropout")
        if dropout is not None and not (isinstance(dropout, int | float) and 0 <= dropout < 1):
            raise damaged(path, f"dropout {str(dropout)[:40]!r}", "a share from 0 to below 1")


def _behind_whitening(expected: dict[str, Any]) -> dict[str, Any]:
    """What a model is made for that stands behind a whitening layer; there is none for tables."""
    if "channels" not in expected:
        return {**expected, "whiten": None}
    channels, size = expected["channels"], expected["size"]
    inner = {"channels": whitened_channels(channels), "size": [side - PATCH_SIDE + 1 for side in size]}
    return {**expected, **inner, "whiten": channels}


def _refuse(faults: dict[str, bool], path: Path) -> None:
    found = [fault for fault, is_there in faults.items() if is_there]
    if found:
        raise damaged(path, found[0])
