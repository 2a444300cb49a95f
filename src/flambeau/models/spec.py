"""The plain descriptions from which models are built: a name and the arguments of a constructor, by what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flambeau.errors import ModelError, did_you_mean
from flambeau.models.own import SYNONYMS, digest_of, load_own_class, own_arguments
from flambeau.models.whiten import whitened_channels, whitened_size
from flambeau.recipe.generate_options import GenerateOptions
from flambeau.recipe.options import ModelOptions


@dataclass(frozen=True)
class ModelSpec:
    """What rebuilds a model: its name in the table and the arguments of its constructor, plain values only."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelSpec:
        """The inverse of `to_json`. Raises ModelError for anything else."""
        try:
            return cls(str(data["name"]), dict(data["arguments"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError("this is not a description of a model", got=repr(data)[:200]) from error


FORECAST_MODELS = ("ridge", "linear", "nlinear", "dlinear", "tcn", "lstm", "patchtst")


TEXT_MODELS = ("text_bag", "text_cnn", "lstm", "gru", "rnn", "transformer")


PICTURE_MODELS = ("small_cnn", "small_resnet", "fast_cnn", "resnet", "cnn3d")


TABLE_MODELS = ("tabm", "mlp")


def ensemble_spec(members: list[ModelSpec]) -> ModelSpec:
    """The description of several models judged as one; of one model, its own."""
    if len(members) == 1:
        return members[0]
    return ModelSpec("ensemble", {"members": [member.to_json() for member in members]})


def _given(**arguments: Any) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if value is not None}


def picture_spec(options: ModelOptions, *, channels: int, size: tuple[int, int], outputs: int) -> ModelSpec:
    """The description of a model for pictures (batch, channels, *size) with resolved options."""
    if not options.whiten:
        return _plain_picture_spec(options, channels=channels, size=size, outputs=outputs)
    try:
        inner_size = whitened_size(size)
    except ValueError as error:
        raise ModelError(
            "these pictures are too small for a whitening layer",
            got=str(error),
            command="--set model.whiten=false",
        ) from error
    maps = whitened_channels(channels)
    inner = _plain_picture_spec(options, channels=maps, size=inner_size, outputs=outputs)
    if inner.name == "own" and inner.arguments["arguments"].keys().isdisjoint(SYNONYMS["channels"]):
        raise ModelError(
            f"a whitening layer makes {maps} maps of {channels} channels, and this model cannot be told so",
            where=options.name,
            expected="a constructor with one of the parameters " + ", ".join(SYNONYMS["channels"]),
            command="--set model.whiten=false",
        )
    return ModelSpec(inner.name, {**inner.arguments, "whiten": channels})


def _plain_picture_spec(
    options: ModelOptions, *, channels: int, size: tuple[int, int], outputs: int
) -> ModelSpec:
    name = options.name or "small_resnet"
    if name in ("small_cnn", "fast_cnn", "cnn3d"):
        arguments = _given(size=list(size), width=options.width, dropout=options.dropout)
    elif name == "small_resnet":
        arguments = _given(
            size=list(size), width=options.width, blocks=options.depth, dropout=options.dropout
        )
    elif name == "resnet":
        arguments = _given(size=list(size), width=options.width, depth=options.depth, dropout=options.dropout)
    elif ":" in name:
        known = {"channels": channels, "outputs": outputs, "height": size[0], "width": size[1]}
        return own_spec(name, known)
    elif name in TABLE_MODELS:
        raise ModelError(
            f"'{name}' is a model for tables, and this is data of pictures", hint=_known(PICTURE_MODELS)
        )
    else:
        library, _, architecture = name.partition("/")
        if library not in ("torchvision", "timm") or not architecture:
            raise ModelError(f"there is no model '{name}' for pictures", hint=_hint(name, PICTURE_MODELS))
        return ModelSpec(
            library,
            {
                "arch": architecture,
                "outputs": outputs,
                "channels": channels,
                **_given(dropout=options.dropout),
            },
        )
    return ModelSpec(name, {"channels": channels, "outputs": outputs, **arguments})


def generator_spec(options: GenerateOptions, *, channels: int, size: tuple[int, int]) -> ModelSpec:
    """The description of a generator of pictures (batch, channels, *size) with resolved options."""
    arguments = _given(latent=options.latent, width=options.width)
    return ModelSpec("dcgan", {"channels": channels, "size": list(size), **arguments})


def table_spec(
    options: ModelOptions, *, number_features: int, cardinalities: tuple[int, ...], outputs: int, bins: int
) -> ModelSpec:
    """The description of a model for tables with resolved options."""
    if options.whiten:
        raise ModelError(
            "model.whiten is for pictures, and this is a table", command="--set model.whiten=false"
        )
    name = options.name or "tabm"
    common = {"number_features": number_features, "cardinalities": list(cardinalities), "outputs": outputs}
    sizes = _given(width=options.width, depth=options.depth, dropout=options.dropout)
    if name == "tabm":
        return ModelSpec("tabm", {**common, **sizes, **_given(members=options.members), "bins": bins})
    if name == "mlp":
        kinds = _given(activation=options.activation, normalisation=options.normalisation)
        return ModelSpec("mlp", {**common, **sizes, **kinds})
    if ":" in name:
        inputs = number_features + sum(cardinality - 1 for cardinality in cardinalities)
        return own_spec(name, {"inputs": inputs, "outputs": outputs}, cardinalities=list(cardinalities))
    if name in PICTURE_MODELS:
        raise ModelError(f"'{name}' is a model for pictures, and this is a table", hint=_known(TABLE_MODELS))
    raise ModelError(f"there is no model '{name}' for tables", hint=_hint(name, TABLE_MODELS))


def own_spec(name: str, known: dict[str, int], cardinalities: list[int] | None = None) -> ModelSpec:
    """The description of a person's own class, "file.py:Class", whose constructor is given what it asks for."""
    file, _, class_name = name.rpartition(":")
    path = Path(file).resolve()
    digest = digest_of(path)
    own_class = load_own_class(path, class_name, digest=digest)
    arguments: dict[str, Any] = {
        "file": str(path),
        "class": class_name,
        "digest": digest,
        "arguments": own_arguments(own_class, known),
    }
    if cardinalities is not None:
        arguments["cardinalities"] = cardinalities
    return ModelSpec("own", arguments)


def _known(names: tuple[str, ...]) -> str:
    return "known are: " + ", ".join(names) + ", or file.py:Class"


def _hint(name: str, names: tuple[str, ...]) -> str:
    return did_you_mean(name, names) + "; your own is --model file.py:Class"
