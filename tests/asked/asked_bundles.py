"""Bundles that talk, write and make pictures, made in milliseconds without a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from flambeau.deploy.bundle import Bundle, Preparation, save_bundle
from flambeau.models.build import build_model
from flambeau.models.chat import ChatModel
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, PictureFacts, Schema
from flambeau.transforms.corpus import fit_corpus
from flambeau.transforms.dialogue import ChatPreparation, chat_pieces, wide_pieces
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TargetScaler

STORY = "the cat sat on a mat and the dog ran after a ball\nwhile a bird sang in the tree\n"
ANSWERS = (("Hello!", "Hi there!"), ("From 9 to 5.",), ("It costs <b>ten</b> euros.",))
ASKED = ("hello good morning", "when are you open hours", "how much is it price")
TAGS = ("greeting", "hours", "price")
UNKNOWN = "I do not know."
BUCKETS, LENGTH = 2048, 24


def chat_bundle(writes: bool = True) -> Bundle:
    """It compares questions with answers by their pieces alone, which finds those that share words."""
    pieces = chat_pieces(BUCKETS)
    tokens = fit_corpus("".join(ASKED), tokens="characters", context=LENGTH)
    known = wide_pieces(pieces, ASKED)
    writer = {"vocabulary": tokens.cardinality + 2, "context": LENGTH, "width": 16, "depth": 1, "heads": 2}
    arguments = {
        "buckets": BUCKETS,
        "width": 64,
        "answers": len(ANSWERS),
        "longest": known.shape[1],
        "writer": writer if writes else None,
    }
    schema = Schema("corpus", "chat", "answer")
    preparation = ChatPreparation(pieces, tokens, ANSWERS, TAGS, 1.0, 3.0, 0.5, UNKNOWN, LENGTH)
    bundle = _bundle(schema, ModelSpec("chat", arguments), preparation)
    assert isinstance(bundle.module, ChatModel)
    rarity = torch.linspace(1, 2, BUCKETS + 1)
    bundle.module.finder.set_answers(
        torch.from_numpy(known), torch.ones(len(ANSWERS), dtype=torch.bool), rarity
    )
    return bundle


def language_bundle(
    model: str = "language_transformer", tokens: str = "characters", context: int = 12
) -> Bundle:
    """It writes letters at random, each kind of model and of tokens."""
    preparation = fit_corpus(STORY * 20, tokens=tokens, context=context, vocabulary=300)
    arguments: dict[str, Any] = {
        "vocabulary": preparation.cardinality,
        "context": context,
        "width": 16,
        "depth": 2,
    }
    if model == "language_transformer":
        arguments["heads"] = 2
    bundle = _bundle(Schema("corpus", "language", "next token"), ModelSpec(model, arguments), preparation)
    with torch.no_grad():
        for parameter in bundle.module.parameters():
            parameter.mul_(3.0)  # so that some tokens are much likelier than others
    return bundle


def generator_bundle() -> Bundle:
    """It makes grey pictures of 8 pixels."""
    facts = PictureFacts(1, 8, 8, 8)
    schema = Schema("pictures", "generate", "picture", (), (Column("image", "image"),), facts)
    arguments = {"channels": 1, "size": [8, 8], "latent": 4, "width": 2}
    preparation = PicturePreparation((8, 8), 1, 8, mean=(0.5,), std=(0.5,))
    return _bundle(schema, ModelSpec("dcgan", arguments), preparation)


def _bundle(schema: Schema, spec: ModelSpec, preparation: Preparation) -> Bundle:
    torch.manual_seed(0)
    return Bundle(schema, spec, preparation, build_model(spec).eval(), TargetScaler(0.0, 1.0))


def saved(folder: Path, bundle: Bundle) -> Path:
    """The folder with the bundle in it."""
    save_bundle(folder, bundle, "")
    return folder
