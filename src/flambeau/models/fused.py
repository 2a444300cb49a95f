"""Descriptions of fused models: which encoder each kind of column has, and the module that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from flambeau.errors import ModelError
from flambeau.models.embeddings import TableFeatures
from flambeau.models.encoders import build_encoder
from flambeau.models.fusion import Fusion, PictureColumns
from flambeau.models.spec import PICTURE_MODELS, ModelSpec

ENCODERS_OF_PICTURES = (*PICTURE_MODELS, "torchvision", "timm")


def build_fusion(arguments: dict[str, Any], build: Callable[[ModelSpec], nn.Module]) -> nn.Module:
    """The module that the arguments of a description name; see `fusion_spec`.

    Args:
        arguments: of the description.
        build: makes the encoder of pictures from its own description.

    Raises:
        ModelError: an encoder that is no model for its kind of column.
    """
    own = dict(arguments)
    number_features, cardinalities = own.pop("number_features", 0), own.pop("cardinalities", [])
    bins, columns = own.pop("bins", 0), own.pop("picture_columns", 0)
    dropout = own.pop("part_dropout", 0.0)
    picture, text = own.pop("picture", None), own.pop("text", None)
    table = None
    if number_features or cardinalities:
        table = TableFeatures(number_features, cardinalities, bins=bins)
    pictures = None
    if picture is not None:
        spec = ModelSpec.from_json(picture)
        if spec.name not in ENCODERS_OF_PICTURES or spec.arguments.get("outputs") != own.get("picture_width"):
            raise ModelError(
                "this is no encoder of pictures", got=spec.name, expected=", ".join(ENCODERS_OF_PICTURES)
            )
        pictures = PictureColumns(build(spec), columns, own["picture_width"], dropout=dropout)
    words = None if text is None else ModelSpec.from_json(text)
    encoder = None if words is None else build_encoder(words.name, words.arguments)
    return Fusion(
        own.pop("outputs"), table=table, text=encoder, pictures=pictures, text_dropout=dropout, **own
    )


def fusion_spec(
    *,
    outputs: int,
    number_features: int,
    cardinalities: tuple[int, ...],
    bins: int,
    picture: ModelSpec | None,
    picture_columns: int,
    picture_width: int,
    text: ModelSpec | None,
    part_dropout: float,
    options: dict[str, Any],
) -> ModelSpec:
    """The description of a fused model.

    Args:
        outputs: classes, labels, or 1 for a regression.
        number_features, cardinalities, bins: of numbers and categories, as for a table's model.
        picture: of the encoder that all columns of pictures share; its outputs are `picture_width`.
        picture_columns: how many columns of pictures there are.
        picture_width: numbers that a picture becomes.
        text: of the encoder of texts.
        part_dropout: share dropped of what pictures and texts say.
        options: fusion, members, width, depth and dropout of `Fusion`, those that are not left to it.
    """
    arguments: dict[str, Any] = {
        "outputs": outputs,
        "number_features": number_features,
        "cardinalities": list(cardinalities),
        "bins": bins,
        "part_dropout": part_dropout,
        **options,
    }
    if picture is not None:
        arguments |= {
            "picture": picture.to_json(),
            "picture_columns": picture_columns,
            "picture_width": picture_width,
        }
    if text is not None:
        arguments["text"] = text.to_json()
    return ModelSpec("fusion", arguments)
