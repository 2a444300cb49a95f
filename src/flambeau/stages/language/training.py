"""A language model on one text: read, divided by place, made into tokens, trained by the common loop, judged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import INIT_STREAM, mix_seed
from flambeau.data.corpus.check import check_text
from flambeau.data.corpus.corpus import Places, WindowBatches, cut_text, divide_places
from flambeau.data.corpus.source import open_corpus
from flambeau.errors import DataError, ModelError
from flambeau.evaluation.language import validate_tokens
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec
from flambeau.planning.language import TextFacts
from flambeau.recipe import Recipe
from flambeau.schema import Finding, Schema
from flambeau.stages.engine.passes import set_passes
from flambeau.stages.engine.technique import Stage, make_optimizer, make_technique
from flambeau.stages.engine.trial import TRIAL, begin_weights
from flambeau.stages.journal import Journal
from flambeau.training.loop import Technique
from flambeau.training.losses import Loss, token_loss
from flambeau.training.optimizers import describe_groups
from flambeau.training.session import Session
from flambeau.transforms.corpus import CorpusPreparation, fit_corpus

SCHEMA = Schema(source="corpus", task="language", target="next token")


@dataclass(frozen=True)
class TextMaterial:
    """A text and its parts.

    Args:
        train, valid: pieces, which take turns.
        test: the end.
        places: where in the text the pieces of each part stand.
        fingerprint: of the whole text.
        findings: of reading.
    """

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: str
    places: dict[str, Places]
    fingerprint: str
    findings: tuple[Finding, ...]

    @property
    def facts(self) -> TextFacts:
        """What defaults depend on."""
        length = total((*self.train, *self.valid, self.test))
        return TextFacts(length, len(set().union(*self.train)))


@dataclass(frozen=True)
class LanguageFeed:
    """What a language model is fed.

    Args:
        preparation: fitted on the training part.
        train, valid: (tokens,) int32 ids of each piece, on the device.
        test: those of the test part.
    """

    preparation: CorpusPreparation
    train: tuple[Tensor, ...]
    valid: tuple[Tensor, ...]
    test: Tensor

    @property
    def counts(self) -> dict[str, int]:
        """How many tokens each part has."""
        return {"train": total(self.train), "valid": total(self.valid), "test": len(self.test)}


def total(pieces: Iterable[Sized]) -> int:
    """How long all pieces are together."""
    return sum(len(piece) for piece in pieces)


@dataclass
class LanguageParts:
    """Everything that `run_session` takes."""

    model: nn.Module
    spec: ModelSpec
    batches: WindowBatches
    optimizer: Optimizer
    loss: Loss
    technique: Technique
    session: Session


def read_text(recipe: Recipe, journal: Journal) -> TextMaterial:
    """Read the text and divide it by place.

    Raises DataError where there is no text, or a part of it is left empty.
    """
    journal.stage("read", f"reading {recipe.source}")
    text, findings = open_corpus(recipe)
    divided = divide_places(len(text), recipe.split.train, recipe.split.valid)
    parts = [cut_text(text, places) for places in divided]
    if min(total(part) for part in parts) < 2:
        raise DataError(
            "a part of the text is left empty",
            where=recipe.source,
            got=", ".join(f"{total(part):,}" for part in parts) + " characters to train, choose and test",
            expected="shares that leave something to each",
        )
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    places = dict(zip(("train", "valid", "test"), divided, strict=True))
    train, valid, (test,) = parts
    findings = (*findings, *check_text((*train, *valid), test))
    return TextMaterial(train, valid, test, places, digest, findings)


def feed_text(material: TextMaterial, recipe: Recipe, device: torch.device) -> LanguageFeed:
    """Learn the tokens on the training part, and make all parts into ids.

    Raises DataError for a part that is too short for a window.
    """
    options = recipe.language
    preparation = fit_corpus(
        "".join(material.train),
        tokens=options.tokens or "characters",
        context=options.context or 256,
        vocabulary=options.vocabulary or 0,
    )
    train, valid, (test,) = (
        tuple(torch.from_numpy(preparation.encode(text)).to(device) for text in texts)
        for texts in (material.train, material.valid, (material.test,))
    )
    longest = max(len(piece) for piece in train)
    if longest <= preparation.context or min(len(piece) for piece in (*valid, test)) < 2:
        raise DataError(
            "the text is too short for windows of this length",
            where=recipe.source,
            got=f"{longest:,} tokens without a break to train on, {preparation.context} a window",
            expected=f"a context below {longest:,} tokens",
            command="--set language.context=…",
        )
    return LanguageFeed(preparation, train, valid, test)


def unknown_findings(feed: LanguageFeed) -> list[Finding]:
    """A warning where characters of the other parts do not occur in the training part."""
    if feed.preparation.tokens != "characters":
        return []
    later = (*feed.valid, feed.test)
    unknown = sum(int((piece == 0).sum()) for piece in later)
    if not unknown:
        return []
    message = f"{unknown:,} of {total(later):,} characters of the other parts never occur in the training part: each "
    message += "counts as the one unknown character"
    return [Finding("warning", "unknown-characters", message)]


def language_spec(recipe: Recipe, preparation: CorpusPreparation) -> ModelSpec:
    """The description of the model that the recipe asks for, for these tokens."""
    options, model = recipe.language, recipe.model
    common = {"vocabulary": preparation.cardinality, "context": preparation.context, "width": model.width,
              "depth": model.depth, "dropout": model.dropout, "tie": options.tie}  # fmt: skip
    if model.name == "lstm":
        return ModelSpec("language_lstm", common)
    return ModelSpec("language_transformer", {**common, "heads": options.heads})


def make_language_model(spec: ModelSpec, recipe: Recipe, number: int) -> nn.Module:
    """The module with its first weights. Raises ModelError for sizes that do not go together."""
    seed = mix_seed(recipe.seed, INIT_STREAM, number)
    torch.manual_seed(seed)
    try:
        model = build_model(spec)
    except ModelError as error:
        raise ModelError(error.what, got=error.got, command="--set language.heads=…") from error
    begin_weights(model, recipe, seed)
    return model


def assemble_language(feed: LanguageFeed, recipe: Recipe, stage: Stage) -> LanguageParts:
    """Everything for the training: model, batches, optimizer, loss, technique and session."""
    device = torch.device(recipe.device or "cpu")
    spec = language_spec(recipe, feed.preparation)
    model = make_language_model(spec, recipe, stage.number).to(device)
    batches = WindowBatches(
        torch.cat(feed.train),
        tuple(len(piece) for piece in feed.train),
        context=feed.preparation.context,
        batch_size=recipe.training.batch_size or 32,
        seed=mix_seed(recipe.seed, stage.number),
    )
    set_passes(model, recipe, next(iter(batches.epoch(0))).inputs)
    optimizer = make_optimizer(model, recipe, [], device)
    if stage.name != TRIAL:
        stage.journal({"kind": "groups", "lines": describe_groups(optimizer.param_groups)})
    session = Session(
        folder=stage.folder,
        validate=partial(validate_tokens, pieces=feed.valid, context=feed.preparation.context),
        metric="nats_per_token",
        higher_is_better=False,
        tolerance=recipe.training.tolerance or 0.0,
        patience=recipe.training.patience or 0,
        checkpoint_seconds=recipe.training.checkpoint_seconds,
        stage=stage.name,
        listen=stage.journal,
        should_stop=stage.should_stop,
    )
    return LanguageParts(
        model, spec, batches, optimizer, token_loss, make_technique(recipe, device, stage), session
    )


def sample_prompts(text: str, count: int) -> list[str]:
    """Beginnings of lines at evenly spaced places of a text, of at most 40 characters."""
    prompts = []
    for place in np.linspace(0, max(0, len(text) - 200), count).astype(int).tolist():
        begin = text.find("\n", place) + 1
        line = text[begin : begin + 40].partition("\n")[0].strip() or text[place : place + 40]
        prompts.append(line)
    return prompts
