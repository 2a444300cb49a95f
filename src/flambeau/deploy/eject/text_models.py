"""Texts of a script for runs on texts: their tokens, the encoders, and models of several kinds of columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.text import Code, call, literal
from flambeau.errors import RunError
from flambeau.models.pretrained_text import FILES
from flambeau.transforms.table import TablePreparation
from flambeau.transforms.text import TextPreparation

ENCODERS = {
    "text_bag": "TextBag",
    "text_cnn": "TextCNN",
    "lstm": "TextRecurrent",
    "gru": "TextRecurrent",
    "rnn": "TextRecurrent",
    "transformer": "TextTransformer",
}


PICTURE_ENCODERS = {"small_cnn": "SmallCNN", "small_resnet": "SmallResNet", "resnet": "ResNet"}


PRETRAINED = {"torchvision": "pretrained_backbone", "timm": "timm_backbone"}


def text_of(facts: RunFacts) -> TextPreparation | None:
    """How the run prepares its texts; None without any."""
    preparation = facts.bundle.preparation
    return preparation.text if isinstance(preparation, TablePreparation) else None


def texts_alone(facts: RunFacts) -> bool:
    """Whether texts are all that the model sees."""
    preparation = facts.bundle.preparation
    if not isinstance(preparation, TablePreparation) or preparation.text is None:
        return False
    return not preparation.has_cells and not preparation.pictures


def encoder_code(name: str, arguments: dict[str, Any], texts: str) -> Code:
    """An encoder, whose sizes come from the preparation of texts, a variable or attribute of that name."""
    sizes = [key for key in ("cardinality", "length") if key in arguments]
    named = {key: value for key, value in arguments.items() if key not in sizes}
    return call(ENCODERS[name], *(Code(f"{texts}.{key}") for key in sizes), **named)


def text_model(name: str) -> Callable[[dict[str, Any]], Code]:
    """The text of a model for texts alone, from its arguments."""

    def write(arguments: dict[str, Any]) -> Code:
        own = dict(arguments)
        outputs, dropout = own.pop("outputs"), own.pop("dropout", 0.0)
        encoder = encoder_code(name, own, "preparation")
        return call("TextModel", encoder, outputs, **({"dropout": dropout} if dropout else {}))

    return write


def directory_code(arguments: dict[str, Any]) -> Code:
    """A transformer of the library `transformers` by its configuration, with a head."""
    own = dict(arguments["config"])
    config = call("AutoConfig.for_model", own.pop("model_type"), **own)
    encoder = call("BodyEncoder", call("AutoModel.from_config", config))
    dropout = {"dropout": arguments["dropout"]} if arguments.get("dropout") else {}
    return call("TextModel", encoder, arguments["outputs"], **dropout)


def directory_place(facts: RunFacts) -> str | None:
    """The directory, or the name on the hub, of the transformer that the run began with; None for other models."""
    library, _, place = (facts.recipe.model.name or "").partition("/")
    return place if library == "transformers" and place else None


def directory_constants(facts: RunFacts) -> tuple[list[str], list[str]]:
    """Imports and constants of a run that began with a transformer of a directory; none for other runs."""
    place = directory_place(facts)
    if place is None:
        return [], []
    imports = ["from transformers import AutoConfig, AutoModel"]
    if Path(place).expanduser().is_dir():
        return imports, [f"BODY = Path({literal(str(Path(place).expanduser().resolve()))})"]
    fetched = call("snapshot_download", place, allow_patterns=list(FILES))
    return [*imports, "from huggingface_hub import snapshot_download"], [f"BODY = Path({fetched})"]


def fit_text_code(facts: RunFacts) -> Code:
    """A call that fits the tokens again."""
    text = text_of(facts)
    assert text is not None
    if directory_place(facts) is not None:
        tokenizer = Code('(BODY / "tokenizer.json").read_text(encoding="utf-8")')
        return call(
            "TextPreparation", Code("COLUMNS"), tokens="subwords", length=text.length, tokenizer=tokenizer
        )
    named: dict[str, Any] = {"tokens": text.tokens, "length": text.length}
    if text.tokens == "ngrams":
        named |= {"buckets": text.buckets, "ngrams": text.ngrams}
    elif text.tokens != "bytes" and facts.recipe.text.vocabulary is not None:
        named["vocabulary"] = facts.recipe.text.vocabulary
    reasons = {key: facts.reasons.get(f"text.{key}", "") for key in named}
    reasons["ngrams"] = facts.reasons.get("text.word_ngrams", "")
    kinds = {column.kind for column in facts.bundle.schema.used_columns} - {"image"}
    columns = "COLUMNS" if len(kinds) == 1 else "TEXTS"
    rows = Code(f"{{name: columns[name][fitting_rows] for name in {columns}}}")
    return call("fit_text", rows, Code(columns), reasons=reasons, **named)


def picture_code(name: str, arguments: dict[str, Any]) -> Code:
    """An encoder of pictures. Raises RunError for one that has no text."""
    if name in PRETRAINED:
        return call(PRETRAINED[name], **arguments)
    if name not in PICTURE_ENCODERS:
        raise RunError(f"an encoder of pictures '{name}' cannot be written as plain code yet")
    return call(PICTURE_ENCODERS[name], **{**arguments, "size": tuple(arguments["size"])})


def encoder_text(facts: RunFacts) -> Code:
    """The encoder of pictures of a fused model."""
    picture = facts.spec.arguments["picture"]
    return picture_code(picture["name"], picture["arguments"])


def fusion_text(arguments: dict[str, Any]) -> Code:
    """A model of several kinds of columns."""
    own = dict(arguments)
    number_features, cardinalities = own.pop("number_features", 0), own.pop("cardinalities", [])
    bins, dropout = own.pop("bins", 0), own.pop("part_dropout", 0.0)
    columns, picture = own.pop("picture_columns", 0), own.pop("picture", None)
    outputs, text = own.pop("outputs"), own.pop("text", None)
    named: dict[str, Any] = {}
    if number_features or cardinalities:
        sizes = (Code("len(preparation.numbers)"), Code("preparation.cardinalities"))
        named["table"] = call("TableFeatures", *sizes, bins=bins)
    if picture is not None:
        encoder = picture_code(picture["name"], picture["arguments"])
        named["pictures"] = call("PictureColumns", encoder, columns, own["picture_width"], dropout=dropout)
    if text is not None:
        named["text"] = encoder_code(text["name"], text["arguments"], "preparation.text")
    return call("Fusion", outputs, **named, **own, text_dropout=dropout)
