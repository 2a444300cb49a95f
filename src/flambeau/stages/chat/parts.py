"""Both nets of a chatbot put together for training, and how each is judged on questions that it is not trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import INIT_STREAM, Batches, gather_tensors, mix_seed
from flambeau.data.split import Split
from flambeau.evaluation.answers import judge_finder, judge_writer
from flambeau.evaluation.validation import Validation
from flambeau.models.chat import AnswerFinder
from flambeau.models.language import LanguageTransformer
from flambeau.models.spec import ModelSpec
from flambeau.recipe import Recipe
from flambeau.stages.chat.training import ChatFeed, ChatMaterial
from flambeau.stages.engine.technique import Stage, make_optimizer, make_technique
from flambeau.training.loop import Technique
from flambeau.training.losses import Loss, classification_loss, count_tokens, token_loss
from flambeau.training.optimizers import make_adamw, parameter_groups
from flambeau.training.session import Session
from flambeau.transforms.dialogue import pair_ids

FINDER, WRITER = 0, 1
FINDER_BATCHES = 4


@dataclass
class ChatParts:
    """Everything that `run_session` takes, for one of the two nets."""

    model: nn.Module
    batches: Batches
    optimizer: Optimizer
    loss: Loss
    technique: Technique
    session: Session


def chat_spec(feed: ChatFeed, recipe: Recipe) -> ModelSpec:
    """The description of both nets."""
    writer = None
    if recipe.chat.writes:
        writer = {"vocabulary": feed.tokens.cardinality + 2, "context": recipe.chat.length,
                  "width": recipe.model.width, "depth": recipe.model.depth, "heads": recipe.language.heads,
                  "dropout": recipe.model.dropout}  # fmt: skip
    arguments = {"buckets": feed.pieces.buckets, "width": recipe.chat.width, "answers": len(feed.answers),
                 "longest": feed.answers.shape[1], "writer": writer}  # fmt: skip
    return ModelSpec("chat", arguments)


def finder_parts(
    finder: AnswerFinder, material: ChatMaterial, feed: ChatFeed, split: Split, recipe: Recipe, stage: Stage
) -> ChatParts:
    """Everything for training the net that finds answers; `finder` has its answers set."""
    device = feed.questions.device
    batches = Batches(
        gather=gather_tensors(feed.questions),
        targets=feed.right,
        rows=torch.from_numpy(split.train),
        # all answers are compared anew in each step, which is most of its work
        batch_size=FINDER_BATCHES * (recipe.training.batch_size or 32),
        seed=mix_seed(recipe.seed, stage.number),
    )
    groups = parameter_groups(finder, lr=recipe.chat.lr, weight_decay=0.0)
    technique = make_technique(recipe, device, replace(stage, epochs=recipe.chat.epochs))
    validate = None
    if len(split.valid):
        rows = torch.from_numpy(split.valid)
        right = material.right(split.valid)
        validate = partial(judge_finder, questions=feed.questions[rows], places=feed.right[rows], right=right)
    session = _session(recipe, stage, validate, "top1", higher_is_better=True)
    # a mean of vectors and a cosine: bf16 saves nothing here
    technique = replace(technique, precision="fp32", micro_batch=0)
    return ChatParts(
        finder,
        batches,
        make_adamw(groups, beta1=0.9, beta2=0.999, device=device),
        classification_loss,
        technique,
        session,
    )


def writer_parts(
    writer: LanguageTransformer,
    material: ChatMaterial,
    feed: ChatFeed,
    split: Split,
    recipe: Recipe,
    stage: Stage,
) -> ChatParts:
    """Everything for training the net that writes answers."""
    device = feed.questions.device
    inputs, targets = fed_pairs(feed, material.pairs(split.train), recipe)
    batches = Batches(
        gather=gather_tensors(inputs),
        targets=targets,
        rows=torch.arange(len(inputs)),
        batch_size=recipe.training.batch_size or 32,
        seed=mix_seed(recipe.seed, stage.number),
    )
    validate = None
    if len(split.valid):
        ids, aims = fed_pairs(feed, material.pairs(split.valid), recipe)
        validate = partial(judge_writer, inputs=ids, targets=aims)
    technique = replace(make_technique(recipe, device, stage), weight_of=count_tokens)
    session = _session(recipe, stage, validate, "nats_per_token", higher_is_better=False)
    return ChatParts(
        writer, batches, make_optimizer(writer, recipe, [], device), token_loss, technique, session
    )


def fed_pairs(feed: ChatFeed, pairs: list[tuple[str, str]], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Ids and targets (pairs, length) of questions and answers, for the net that writes."""
    inputs, targets = (torch.from_numpy(part) for part in pair_ids(feed.tokens, pairs, recipe.chat.length))
    return inputs.to(feed.questions.device), targets.to(feed.questions.device)


def seed_model(recipe: Recipe, number: int) -> None:
    """Seed torch for the first weights of training `number`."""
    torch.manual_seed(mix_seed(recipe.seed, INIT_STREAM, number))


def _session(
    recipe: Recipe, stage: Stage, validate: partial[Validation] | None, metric: str, *, higher_is_better: bool
) -> Session:
    return Session(
        folder=stage.folder,
        validate=validate,
        metric=metric,
        higher_is_better=higher_is_better,
        tolerance=recipe.training.tolerance or 0.0,
        patience=(recipe.training.patience or 0) if validate is not None else 0,
        checkpoint_seconds=recipe.training.checkpoint_seconds,
        stage=stage.name,
        listen=stage.journal,
        should_stop=stage.should_stop,
    )
