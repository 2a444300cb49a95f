"""Whether a bundle's preparation of columns of pictures is what it claims to be, and fits its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambeau.models.spec import ModelSpec
from flambeau.schema import Schema
from flambeau.transforms.table import TablePreparation

LARGEST_SIDE = 4096
MOST_CHANNELS = 1024
MOST_PICTURE_COLUMNS = 256


def picture_column_faults(preparation: TablePreparation, schema: Schema) -> dict[str, bool]:
    """Fault → whether it is there, of the columns of pictures."""
    pictures = [column.pictures for column in preparation.pictures]
    return {
        "pictures of other columns": tuple(column.column for column in preparation.pictures)
        != schema.picture_columns,
        "columns of pictures beyond all limits": len(pictures) > MOST_PICTURE_COLUMNS,
        "a size beyond all limits": any(
            not 1 <= side <= LARGEST_SIDE for picture in pictures for side in picture.size
        ),
        "channels beyond all limits": any(not 1 <= picture.channels <= MOST_CHANNELS for picture in pictures),
        "bits that no column of pictures has": any(picture.bits != 8 for picture in pictures),
        "statistics of other channels": any(
            {len(picture.mean), len(picture.std)} not in ({0}, {picture.channels}) for picture in pictures
        ),
        "a deviation of zero": any(min(picture.std, default=1.0) <= 0 for picture in pictures),
        "pictures of several sizes": len({(picture.size, picture.channels) for picture in pictures}) > 1,
    }


def dropouts_of(spec: ModelSpec) -> list[Any]:
    """The shares that a model drops, and those of the encoders inside it; whatever stands there."""
    inner = [spec.arguments.get(part) for part in ("picture", "text")]
    parts = [
        spec.arguments,
        spec.arguments.get("writer"),
        *(one.get("arguments") for one in inner if isinstance(one, Mapping)),
    ]
    keys = ("dropout", "part_dropout")
    found = [part.get(key) for part in parts if isinstance(part, Mapping) for key in keys]
    return [share for share in found if share is not None]


def fusion_arguments(spec: ModelSpec, preparation: TablePreparation) -> dict[str, Any]:
    """What the arguments of a fused model must be for this preparation; nothing for another model."""
    if spec.name != "fusion":
        return {}
    found: dict[str, Any] = {"picture_columns": len(preparation.pictures)}
    picture = spec.arguments.get("picture")
    if preparation.pictures and isinstance(picture, Mapping):
        pictures = preparation.pictures[0].pictures
        given = picture.get("arguments")
        wanted = {"channels": pictures.channels, "size": list(pictures.size)}
        if isinstance(given, Mapping):
            found["picture"] = {
                **picture,
                "arguments": {**given, **{key: value for key, value in wanted.items() if key in given}},
            }
    elif preparation.pictures:
        found["picture"] = "an encoder of pictures"
    if preparation.text is not None:
        text = spec.arguments.get("text")
        given = text.get("arguments") if isinstance(text, Mapping) else None
        if not isinstance(text, Mapping) or not isinstance(given, Mapping):
            return {**found, "text": "an encoder of texts"}
        wanted = {"cardinality": preparation.text.cardinality, "length": preparation.text.length}
        found["text"] = {
            **text,
            "arguments": {**given, **{key: value for key, value in wanted.items() if key in given}},
        }
    return found
