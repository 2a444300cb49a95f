"""The table from a name to an encoder of texts, and the descriptions of models of texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from flambeau.errors import ModelError, did_you_mean
from flambeau.models.rnn import TextRecurrent
from flambeau.models.spec import TEXT_MODELS, ModelSpec, own_spec
from flambeau.models.text import TextBag, TextCNN, TextModel
from flambeau.models.transformer import TextTransformer
from flambeau.recipe.options import ModelOptions
from flambeau.recipe.text_options import TextOptions


def _bag(arguments: dict[str, Any]) -> nn.Module:
    return TextBag(**arguments)


def _cnn(arguments: dict[str, Any]) -> nn.Module:
    return TextCNN(**arguments)


def _recurrent(arguments: dict[str, Any]) -> nn.Module:
    return TextRecurrent(**arguments)


def _transformer(arguments: dict[str, Any]) -> nn.Module:
    return TextTransformer(**arguments)


def _directory(arguments: dict[str, Any]) -> nn.Module:
    from flambeau.models.pretrained_text import DirectoryEncoder

    return DirectoryEncoder(**arguments)


TEXT_ENCODERS: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    "text_bag": _bag,
    "text_cnn": _cnn,
    "lstm": _recurrent,
    "gru": _recurrent,
    "rnn": _recurrent,
    "transformer": _transformer,
    "transformers": _directory,
}


def build_encoder(name: str, arguments: dict[str, Any]) -> nn.Module:
    """The encoder of a description, tokens (batch, length) → (batch, its attribute `width`), with fresh weights.

    Raises:
        ModelError: there is no encoder of that name.
    """
    if name not in TEXT_ENCODERS:
        raise ModelError(f"there is no encoder of texts '{name}'", hint=did_you_mean(name, TEXT_ENCODERS))
    return TEXT_ENCODERS[name](dict(arguments))


def build_text_model(name: str, arguments: dict[str, Any]) -> nn.Module:
    """An encoder with its linear head; `outputs` and `dropout` are the head's, all else is the encoder's."""
    own = dict(arguments)
    outputs, dropout = own.pop("outputs"), own.pop("dropout", 0.0)
    return TextModel(build_encoder(name, own), outputs, dropout)


def encoder_arguments(
    name: str,
    *,
    cardinality: int,
    length: int,
    width: int,
    depth: int | None,
    token_dropout: float | None,
    heads: int | None,
) -> dict[str, Any]:
    """What `build_encoder` is given for an encoder of that name.

    Args:
        name: one of `TEXT_MODELS`.
        cardinality: of the tokens, padding included.
        length: the most tokens of a text.
        width: of a token's vector; of a CNN also the number of filters of each size.
        depth: layers of a recurrent net, blocks of a transformer.
        token_dropout: share of the tokens of a bag, or of other encoders' vectors, dropped in training.
        heads: of a transformer.

    Raises:
        ModelError: there is no encoder of that name.
    """
    dropped = token_dropout or 0.0
    plain: dict[str, Any] = {"cardinality": cardinality, "width": width}
    if name == "text_bag":
        return {**plain, "token_dropout": dropped}
    if name == "text_cnn":
        return {**plain, "filters": width, "dropout": dropped}
    if name in ("lstm", "gru", "rnn"):
        return {**plain, "cell": name, "depth": depth or 1, "dropout": dropped}
    if name == "transformer":
        return {**plain, "length": length, "depth": depth or 2, "heads": heads or 4, "dropout": dropped}
    raise ModelError(
        f"there is no model '{name}' for texts",
        hint=did_you_mean(name, TEXT_MODELS) + "; your own is --model file.py:Class",
        expected=", ".join(TEXT_MODELS) + ", or transformers/DIRECTORY",
    )


def text_spec(
    options: ModelOptions, texts: TextOptions, *, cardinality: int, length: int, outputs: int
) -> ModelSpec:
    """The description of a model for texts alone, with resolved options.

    Args:
        options, texts: of the recipe.
        cardinality: of the tokens, padding included.
        length: the most tokens of a text.
        outputs: classes, labels, or 1 for a regression.

    Raises:
        ModelError: there is no such model for texts.
    """
    if options.whiten:
        raise ModelError(
            "model.whiten is for pictures, and these are texts", command="--set model.whiten=false"
        )
    name = options.name or "text_bag"
    if ":" in name:
        return own_spec(name, {"inputs": cardinality, "length": length, "outputs": outputs})
    library, _, place = name.partition("/")
    if library == "transformers" and place:
        return directory_spec(place, outputs=outputs, dropout=options.dropout or 0.0)
    arguments = encoder_arguments(
        name,
        cardinality=cardinality,
        length=length,
        width=options.width or 64,
        depth=options.depth,
        token_dropout=texts.token_dropout,
        heads=texts.heads,
    )
    return ModelSpec(name, {**arguments, "outputs": outputs, "dropout": options.dropout or 0.0})


def directory_spec(place: str, *, outputs: int, dropout: float) -> ModelSpec:
    """The description of a transformer in a directory, with its own configuration as plain values.

    Raises:
        ModelError: the directory has no configuration, or the library is not installed.
    """
    from flambeau.models.pretrained_text import read_directory_config

    return ModelSpec(
        "transformers", {"config": read_directory_config(place), "outputs": outputs, "dropout": dropout}
    )
