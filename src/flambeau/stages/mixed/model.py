"""The fused model of a table with columns of pictures: its description, its pretrained body, and what that says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from flambeau.data.batches import Gather, evaluation_batch, gather_present, join_gathers
from flambeau.errors import ModelError
from flambeau.evaluation.validation import Validation, validate_predictions
from flambeau.models.backbone import remove_head
from flambeau.models.encoders import encoder_arguments
from flambeau.models.fused import fusion_spec
from flambeau.models.fused_body import as_it_is, body_features, without_picture_body
from flambeau.models.fusion import Fusion
from flambeau.models.joined import Ensemble
from flambeau.models.spec import ModelSpec
from flambeau.models.state_dicts import LoadReport
from flambeau.recipe import Recipe
from flambeau.stages.inputs import Feed
from flambeau.stages.material import Material
from flambeau.stages.mixed.feed import layout_of, prepare_pictures
from flambeau.stages.parts import Parts
from flambeau.stages.starting.weights import StartingWeights
from flambeau.stages.validating import predict_rows
from flambeau.transforms.mixed import PictureColumn
from flambeau.transforms.table import TablePreparation
from flambeau.transforms.text import TextPreparation

Features = dict[PictureColumn, np.ndarray]
TRUNKS = ("tabm", "mlp")


@dataclass(frozen=True)
class FusionWeights:
    """Pretrained weights for the encoder of pictures inside a fused model; see `StartingWeights`."""

    weights: StartingWeights

    @property
    def origin(self) -> str:
        """The file or the name they came from."""
        return self.weights.origin

    @property
    def told(self) -> list[str]:
        """What was told of them already."""
        return self.weights.told

    def fill(self, model: nn.Module) -> LoadReport:
        """Copy everything but the head into the encoder. Raises ModelError where hardly anything fits."""
        return self.weights.fill(encoder_of(model))

    def rest(self, model: nn.Module) -> str:
        """What the file does not decide, in words."""
        return "what joins the pictures with the other columns is new"

    def body_names(self, model: nn.Module) -> list[str]:
        """Names of the parameters that came from the file."""
        return [f"pictures.encoder.{name}" for name in self.weights.body_names(encoder_of(model))]

    def freeze(self, model: nn.Module) -> None:
        """Let nothing that came from the file learn."""
        names = set(self.body_names(model))
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in names and parameter.requires_grad)


def encoder_of(model: nn.Module) -> nn.Module:
    """The encoder of pictures of a fused model. Raises ModelError where it has none."""
    if not isinstance(model, Fusion) or model.pictures is None:
        raise ModelError("this model has no encoder of pictures", got=type(model).__name__)
    return model.pictures.encoder


def wants_fusion(preparation: TablePreparation, recipe: Recipe) -> bool:
    """Whether these columns are of several kinds, or are a part of such a table that is trained on alone."""
    if preparation.pictures:
        return True
    return preparation.text is not None and (preparation.has_cells or recipe.model.name in TRUNKS)


def choose_fusion(material: Material, preparation: TablePreparation, recipe: Recipe) -> ModelSpec:
    """The description of the fused model that the recipe asks for, for these data."""
    schema, options, mixed = material.samples.schema, recipe.model, recipe.mixed
    name = options.name or "tabm"
    if name not in TRUNKS:
        raise ModelError(
            f"'{name}' is no model for several kinds of columns",
            expected="tabm or mlp, which answer from what the encoders of the columns say",
            hint="mixed.pictures and mixed.text name the nets that see pictures and texts",
        )
    width = mixed.picture_width or 16
    picture = None
    if preparation.pictures:
        pictures = preparation.pictures[0].pictures
        if material.weights is not None:
            picture = material.weights.spec(width, pictures.channels, mixed.dropout)
        else:
            kind = mixed.pictures or "small_cnn"
            arguments: dict[str, Any] = {
                "channels": pictures.channels,
                "outputs": width,
                "size": list(pictures.size),
                "width": mixed.picture_channels or 8,
            }
            picture = ModelSpec(kind, arguments)
    given = {"width": options.width, "depth": options.depth, "dropout": options.dropout}
    return fusion_spec(
        outputs=schema.outputs,
        number_features=len(preparation.numbers),
        cardinalities=preparation.cardinalities,
        bins=recipe.table.bins or 0,
        picture=picture,
        picture_columns=len(preparation.pictures),
        picture_width=width,
        text=None if preparation.text is None else _text_encoder(preparation.text, recipe),
        part_dropout=mixed.dropout or 0.0,
        options={
            "fusion": mixed.fusion or "concat",
            "members": 0 if name == "mlp" else options.members or 16,
            **{key: value for key, value in given.items() if value is not None},
        },
    )


def _text_encoder(text: TextPreparation, recipe: Recipe) -> ModelSpec:
    name = recipe.mixed.text or "text_bag"
    arguments = encoder_arguments(
        name,
        cardinality=text.cardinality,
        length=text.length,
        width=recipe.mixed.text_width or 32,
        depth=None,
        token_dropout=recipe.text.token_dropout,
        heads=recipe.text.heads,
    )
    return ModelSpec(name, arguments)


def encoder_features(
    model: nn.Module, material: Material, preparation: TablePreparation, recipe: Recipe
) -> Features:
    """Of each column, (pictures, features) that the frozen body says of each decoded picture, in fp32."""
    body = remove_head(encoder_of(model)).eval()
    device = next(model.parameters()).device
    found = {}
    for column in preparation.pictures:
        pixels = material.column_pixels[column.column].pixels
        height, width = column.pictures.size
        prepare = partial(prepare_pictures, column.pictures, layout_of(recipe))
        found[column] = body_features(body, prepare, pixels, evaluation_batch(height * width), device)
    return found


def feed_of_features(feed: Feed, material: Material, features: Features) -> Feed:
    """The same feed with what the frozen body says of each picture in the pictures' place."""
    assert isinstance(feed.preparation, TablePreparation)
    device = feed.targets.device
    gathers: list[Gather] = [] if feed.values is None else [feed.values]
    for column in feed.preparation.pictures:
        places = material.column_pixels[column.column].places
        gathers.append(gather_present(features[column], places, as_it_is, device))
    gather = join_gathers(gathers)
    return replace(feed, gather=gather, train_gather=gather, change=None)


def without_body(model: nn.Module, feed: Feed) -> nn.Module:
    """A copy of a fused model, or of an ensemble of them, that takes features in the place of pictures."""
    if isinstance(model, Ensemble):
        return Ensemble(without_body(one, feed) for one in model.models)
    encoder_of(model)
    assert isinstance(model, Fusion) and isinstance(feed.preparation, TablePreparation)
    pictures = feed.preparation.pictures[0].pictures
    return without_picture_body(model, pictures.channels, pictures.size)


def train_on_encoder_features(parts: Parts, features: Features, material: Material, optimizer: Any) -> Parts:
    """The same training on features of a frozen body, with all but this body in the model's place.

    Args:
        parts: of a fused model.
        features: from `encoder_features`.
        material: of the run.
        optimizer: makes the optimizer of a module.
    """
    small = without_body(parts.model, parts.feed).train()
    feed = feed_of_features(parts.feed, material, features)
    task, metric = material.samples.schema.task, parts.session.metric

    def validate(module: nn.Module) -> Validation:
        predictions = predict_rows(module, feed, parts.valid_rows, task)
        return validate_predictions(task, metric, material.samples.targets[parts.valid_rows], predictions)

    return replace(
        parts,
        model=small,
        batches=replace(parts.batches, gather=feed.gather, change=None),
        optimizer=optimizer(small),
        session=replace(parts.session, validate=validate if len(parts.valid_rows) else None),
        whole=parts.model,
    )
