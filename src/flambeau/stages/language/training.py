"""A language model on one text: read, divided by place, made into tokens, trained by the common loop, judged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import INIT_STREAM, mix_seed
from flambeau.data.corpus.corpus import WindowBatches, part_borders
from flambeau.data.corpus.source import open_corpus
from flambeau.errors import DataError, ModelError
from flambeau.evaluation.language import validate_tokens
from flambeau.models.build import ModelSpec, build_model
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
        train, valid, test: neighbouring parts, in this order.
        fingerprint: of the whole text.
        findings: of reading.
    """

    train: str
    valid: str
    test: str
    fingerprint: str
    findings: tuple[Finding, ...]

    @property
    def facts(self) -> TextFacts:
        """What defaults depend on."""
        kinds = len(set(self.train) | set(self.valid) | set(self.test))
        return TextFacts(len(self.train) + len(self.valid) + len(self.test), kinds)


@dataclass(frozen=True)
class LanguageFeed:
    """What a language model is fed.

    Args:
        preparation: fitted on the training part.
        train, valid, test: (tokens,) int32 ids of the parts, on the device.
    """

    preparation: CorpusPreparation
    train: Tensor
    valid: Tensor
    test: Tensor


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
    first, second = part_borders(len(text), recipe.split.train, recipe.split.valid)
    parts = text[:first], text[first:second], text[second:]
    if min(len(part) for part in parts) < 2:
        raise DataError(
            "a part of the text is left empty",
            where=recipe.source,
            got=", ".join(f"{len(part):,}" for part in parts) + " characters to train, choose and test",
            expected="shares that leave something to each",
        )
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return TextMaterial(*parts, digest, findings)


def feed_text(material: TextMaterial, recipe: Recipe, device: torch.device) -> LanguageFeed:
    """Learn the tokens on the training part, and make all parts into ids.

    Raises DataError for a part that is too short for a window.
    """
    options = recipe.language
    preparation = fit_corpus(
        material.train,
        tokens=options.tokens or "characters",
        context=options.context or 256,
        vocabulary=options.vocabulary or 0,
    )
    parts = [
        torch.from_numpy(preparation.encode(text)).to(device)
        for text in (material.train, material.valid, material.test)
    ]
    if len(parts[0]) <= preparation.context or min(len(part) for part in parts) < 2:
        raise DataError(
            "the text is too short for windows of this length",
            where=recipe.source,
            got=f"{len(parts[0]):,} tokens to train on, {preparation.context} a window",
            expected=f"a context below {len(parts[0]):,} tokens",
            command="--set language.context=…",
        )
    return LanguageFeed(preparation, *parts)


def unknown_findings(feed: LanguageFeed) -> list[Finding]:
    """A warning where characters of the later parts do not occur in the training part."""
    if feed.preparation.tokens != "characters":
        return []
    unknown = int((feed.valid == 0).sum() + (feed.test == 0).sum())
    if not unknown:
        return []
    total = len(feed.valid) + len(feed.test)
    message = f"{unknown:,} of {total:,} characters of the later parts never occur in the training part: each counts "
    message += "as the one unknown character"
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
        feed.train,
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
        validate=partial(validate_tokens, tokens=feed.valid, context=feed.preparation.context),
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
