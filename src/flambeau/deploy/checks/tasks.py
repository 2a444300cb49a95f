"""Whether a bundle's task, its preparation and its model go together, and what its weights hold besides numbers."""

from __future__ import annotations

import torch
from torch import nn

from flambeau.models.chat import ChatModel
from flambeau.models.pretrained_text import DirectoryEncoder
from flambeau.models.spec import FORECAST_MODELS, ModelSpec
from flambeau.schema import Schema
from flambeau.transforms.corpus import CorpusPreparation
from flambeau.transforms.dialogue import ChatPreparation
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation

Preparation = PicturePreparation | TablePreparation | SeriesPreparation | CorpusPreparation | ChatPreparation

_SAMPLES: dict[str, type[Preparation]] = {"pictures": PicturePreparation, "table": TablePreparation}
# task → source → how its samples are prepared
PREPARATIONS_OF_TASK: dict[str, dict[str, type[Preparation]]] = {
    "classification": _SAMPLES,
    "multilabel": _SAMPLES,
    "regression": _SAMPLES,
    "forecast": {"series": SeriesPreparation},
    "language": {"corpus": CorpusPreparation},
    "chat": {"corpus": ChatPreparation},
    "generate": {"pictures": PicturePreparation},
}
# task → the only models that it has
MODELS_OF_TASK: dict[str, tuple[str, ...]] = {
    "forecast": (*(name for name in FORECAST_MODELS if name != "lstm"), "lstm_forecast", "own"),
    "language": ("language_transformer", "language_lstm"),
    "chat": ("chat",),
    "generate": ("dcgan",),
}
_OF_NO_SAMPLES = {name for names in MODELS_OF_TASK.values() for name in names} - {"own"}
MOST_LATENT = 2**16


def task_faults(preparation: Preparation, schema: Schema) -> dict[str, bool]:
    """Sentence → whether it is true, of a preparation that is to fit the task and the source."""
    wanted = PREPARATIONS_OF_TASK[schema.task].get(schema.source)
    return {
        f"{schema.task} of a source that has no such task: {schema.source}": wanted is None,
        "a preparation of another kind of data": wanted is not None and not isinstance(preparation, wanted),
    }


def model_faults(members: list[ModelSpec], schema: Schema) -> dict[str, bool]:
    """Sentence → whether it is true, of the models that are to fit the task."""
    names = {member.name for member in members}
    known = MODELS_OF_TASK.get(schema.task)
    latent = [member.arguments.get("latent", 1) for member in members if member.name == "dcgan"]
    return {
        f"a model that is none for {schema.task}": bool(
            names & _OF_NO_SAMPLES if known is None else names - set(known)
        ),
        "several generators": schema.task == "generate" and len(members) > 1,
        "noise of a size that cannot be": not all(
            type(one) is int and 1 <= one <= MOST_LATENT for one in latent
        ),
    }


def module_faults(module: nn.Module, preparation: Preparation) -> dict[str, bool]:
    """Sentence → whether it is true, of what the weights hold that is looked up by."""
    if isinstance(preparation, TablePreparation) and preparation.text is not None:
        encoders = [part for part in module.modules() if isinstance(part, DirectoryEncoder)]
        # tokens are the tokenizer's numbers moved by one
        needed = preparation.text.cardinality - 1
        return {"more subwords than the model has vectors": any(one.known < needed for one in encoders)}
    if not isinstance(module, ChatModel) or not isinstance(preparation, ChatPreparation):
        return {}
    finder = module.finder
    texts = finder.texts
    return {
        "answers of pieces that there are none of": bool(texts.numel())
        and not (int(texts.min()) >= 0 and int(texts.max()) <= preparation.pieces.buckets),
        "weights of pieces that are no numbers": not bool(torch.isfinite(finder.rarity).all()),
    }
