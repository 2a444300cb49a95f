"""Both nets of a chatbot put together for training, and how each is judged on questions that it is not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import INIT_STREAM, Batches, gather_tensors, mix_seed
from flambeau.data.split import Split
from flambeau.evaluation.chat import hits_within
from flambeau.evaluation.validation import Validation
from flambeau.models.build import ModelSpec
from flambeau.models.chat import AnswerFinder
from flambeau.models.language import LanguageTransformer
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
        validate = partial(judge_finder, feed=feed, rows=split.valid, right=material.right(split.valid))
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


def judge_finder(
    module: nn.Module, *, feed: ChatFeed, rows: np.ndarray, right: Sequence[Sequence[int]]
) -> Validation:
    """How often the right answer of these rows is found first, and the mean loss."""
    likeness = likeness_of(module, feed.questions[torch.from_numpy(rows)])
    hits = hits_within(likeness, right, 1)
    logits, places = torch.from_numpy(likeness), feed.right[torch.from_numpy(rows)].cpu()
    losses = torch.nn.functional.cross_entropy(logits, places, reduction="none").double()
    spread = float(losses.std()) / len(rows) ** 0.5 if len(rows) > 1 else 0.0
    return Validation(float(losses.mean()), float(hits.mean()), spread)


def likeness_of(finder: nn.Module, questions: Tensor) -> np.ndarray:
    """(n, answers) float32 similarities of pieces of questions (n, longest), in evaluation mode."""
    finder.eval()
    with torch.inference_mode(), torch.autocast(questions.device.type, enabled=False):
        return torch.cat([finder(block).float() for block in questions.split(256)]).cpu().numpy().copy()


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
    inputs, targets = (
        torch.from_numpy(part).to(device)
        for part in pair_ids(feed.tokens, material.pairs(split.train), recipe.chat.length)
    )
    batches = Batches(
        gather=gather_tensors(inputs),
        targets=targets,
        rows=torch.arange(len(inputs)),
        batch_size=recipe.training.batch_size or 32,
        seed=mix_seed(recipe.seed, stage.number),
    )
    validate = None
    if len(split.valid):
        validate = partial(
            judge_writer, feed=feed, pairs=material.pairs(split.valid), length=recipe.chat.length
        )
    technique = replace(make_technique(recipe, device, stage), weight_of=count_tokens)
    session = _session(recipe, stage, validate, "nats_per_token", higher_is_better=False)
    return ChatParts(
        writer, batches, make_optimizer(writer, recipe, [], device), token_loss, technique, session
    )


def judge_writer(
    module: nn.Module, *, feed: ChatFeed, pairs: list[tuple[str, str]], length: int
) -> Validation:
    """The mean nats of the subwords of right answers, given their questions."""
    nats = answer_nats(module, feed, pairs, length)
    mean = float(np.concatenate(nats).mean())
    return Validation(mean, mean, float(np.std([row.mean() for row in nats]) / len(nats) ** 0.5))


def answer_nats(
    module: nn.Module, feed: ChatFeed, pairs: list[tuple[str, str]], length: int
) -> list[np.ndarray]:
    """For each (question, answer) the nats of each of its answer's subwords and of its end."""
    module.eval()
    device = feed.questions.device
    inputs, targets = (torch.from_numpy(part).to(device) for part in pair_ids(feed.tokens, pairs, length))
    result: list[np.ndarray] = []
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        for ids, aims in zip(inputs.split(64), targets.split(64), strict=True):
            logits = module(ids).float().flatten(0, 1)
            nats = torch.nn.functional.cross_entropy(logits, aims.flatten().clamp(min=0), reduction="none")
            table = nats.view(aims.shape).double().cpu()
            result += [row[aim >= 0].numpy() for row, aim in zip(table, aims.cpu(), strict=True)]
    return result


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
