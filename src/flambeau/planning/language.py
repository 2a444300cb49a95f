"""Choices for language models: what a token is, how large the net, how far it looks back, how long it trains.

The measurements behind the numbers are in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flambeau.errors import ModelError, RecipeError, did_you_mean
from flambeau.evaluation.metrics import task_metrics
from flambeau.planning.common import check_epochs, plan_device, plan_one_part, plan_threads
from flambeau.planning.numbers import plan_numbers
from flambeau.planning.rules import came_from_person, plan_loss, plan_optimizer, plan_schedule
from flambeau.recipe import Choices
from flambeau.recipe.fields import is_own

LANGUAGE_MODELS = ("transformer", "lstm")
# Characters of the whole text: above the first there is enough to learn subwords, above the others for larger nets.
MANY_CHARACTERS = 20_000_000
SMALL_TEXT, MIDDLING_TEXT = 200_000, 5_000_000
MOST_KINDS_OF_CHARACTERS = 1_000
TRAIN_SHARE, VALID_SHARE = 0.85, 0.05
# Tokens that are seen in all, each again in every epoch.
TOKENS_SEEN = 5_600_000
MOST_EPOCHS = 40
# Numbers of an attention head: processors multiply matrices of this width faster than narrower ones.
HEAD_WIDTH = 64
NARROW_NET, NARROW_HEAD_WIDTH = 128, 32


@dataclass(frozen=True)
class TextFacts:
    """What defaults depend on.

    Args:
        characters: of the whole text.
        kinds: different characters of the training part.
    """

    characters: int
    kinds: int


def plan_language_parts(choices: Choices) -> None:
    """Fill in how the text is divided, and check what a person gave.

    Raises RecipeError for shares that leave nothing to test on, and for folds.
    """
    plan_one_part(
        choices,
        train=(TRAIN_SHARE, "the last tenth of the text tests, as is usual for language models"),
        valid=(VALID_SHARE, "chooses the best epoch, in short blocks spread over what stands before"),
        refusal="a text is divided by place, once: folds would train on what comes after the tested part",
        reason="a text is divided by place, once",
    )


def plan_language(choices: Choices, facts: TextFacts, machine: Mapping[str, Any]) -> None:
    """Fill in every open value for a language model.

    Args:
        choices: changed in place.
        facts: of the text.
        machine: "device" (cpu, cuda, mps), "cores", "bf16".

    Raises:
        ModelError: a model that is none for texts.
        RecipeError: values that do not go together.
    """
    check_epochs(choices, "language")
    plan_device(choices, machine)
    plan_threads(choices, machine)
    plan_loss(choices, task="language")
    _plan_tokens(choices, facts)
    _plan_net(choices, facts, machine)
    _plan_length(choices, facts)
    _plan_steps(choices)
    plan_schedule(choices)
    plan_numbers(choices, machine, pictures=False)
    _check_metric(choices)


def plan_nothing_pretrained(choices: Choices) -> None:
    """Fill in what only pretrained bodies, classes and several nets would need."""
    choices.choose("training.class_weights", "none", "the next token is predicted as often as it comes")
    choices.choose("training.label_smoothing", 0.0, "the score is the likelihood itself")
    choices.choose("training.head_epochs", 0, "no effect without a pretrained body")
    choices.choose("training.freeze_early", False, "no effect without a pretrained body")
    choices.choose("training.optimizer.body_lr", 1.0, "no effect without a pretrained body")
    choices.choose("training.bags", 1, "one net sees enough")
    choices.choose("training.tolerance", 0.0, "the best epoch is kept")


def _plan_tokens(choices: Choices, facts: TextFacts) -> None:
    if facts.kinds > MOST_KINDS_OF_CHARACTERS:
        kind, reason = "subwords", f"{facts.kinds:,} different characters: pieces of their bytes are fewer"
    elif facts.characters > MANY_CHARACTERS:
        kind, reason = "subwords", f"{facts.characters:,} characters: enough to learn subwords from"
    else:
        kind, reason = "characters", f"{facts.kinds:,} different characters, and no word is unknown to them"
    kind = choices.choose("language.tokens", kind, reason)
    if kind == "subwords":
        size = 4096 if facts.characters < MANY_CHARACTERS else 16_384
        choices.choose("language.vocabulary", size, f"{facts.characters:,} characters to learn them from")
    elif choices.recipe.language.vocabulary is not None:
        raise RecipeError(
            "language.vocabulary is for subwords: characters are as many as there are, and bytes 256",
            got=f"{choices.recipe.language.vocabulary} for {kind}",
            expected="--set language.tokens=subwords beside it, or no vocabulary",
        )


def _plan_net(choices: Choices, facts: TextFacts, machine: Mapping[str, Any]) -> None:
    name = choices.choose("model.name", "transformer", "attention expects texts best, for a given time too")
    if name not in LANGUAGE_MODELS:
        raise ModelError(
            f"there is no model '{name}' for a language",
            expected=" or ".join(LANGUAGE_MODELS),
            hint=did_you_mean(str(name), LANGUAGE_MODELS) if not is_own(str(name)) else "",
            command="--model transformer",
        )
    small = facts.characters < SMALL_TEXT
    large = machine["device"] != "cpu" and facts.characters >= MIDDLING_TEXT
    longest = max(4, facts.characters // 100)
    context = 64 if small else 256
    reason = "further back little is told in a text of this length" if small else "several lines of text"
    choices.choose("language.context", min(context, longest), reason)
    told = f"{facts.characters:,} characters"
    if name == "lstm":
        width = 128 if small else 1024 if large else 512
        choices.choose("model.width", width, f"{told}: wider would learn them by heart")
        choices.choose("model.depth", 1 if small else 2, "more layers are slow and gain little")
        choices.choose("model.dropout", 0.2, "what is seen again and again is not learnt by heart")
    else:
        width, depth = (64, 2) if small else (512, 8) if large else (192, 6)
        choices.choose(
            "model.width", width, f"{told}: wider would learn them by heart, or take too long here"
        )
        choices.choose("model.depth", depth, f"{told}: as deep as the width bears")
        width = choices.get("model.width")
        choices.choose("language.heads", heads_for(width), head_reason(width))
        choices.choose(
            "model.dropout", 0.2 if small else 0.0, "few tokens are seen often" if small else "few epochs"
        )
    choices.choose("language.tie", False, "reading and predicting a token have vectors of their own")


def heads_for(width: int) -> int:
    """Heads of about 64 numbers, or of 32 where that would leave a single one; each has an even count.

    >>> heads_for(192), heads_for(64), heads_for(10)
    (3, 2, 1)
    """
    for heads in range(max(1, width // head_width(width)), 0, -1):
        if width % heads == 0 and (width // heads) % 2 == 0:
            return heads
    return 1


def head_width(width: int) -> int:
    """About how many numbers a head should have."""
    return NARROW_HEAD_WIDTH if width < NARROW_NET else HEAD_WIDTH


def head_reason(width: int) -> str:
    """Why there are as many heads as `heads_for` says."""
    if width < NARROW_NET:
        return f"about {NARROW_HEAD_WIDTH} numbers a head, so that there is more than one"
    return f"about {HEAD_WIDTH} numbers a head: narrower ones take longer"


def _plan_length(choices: Choices, facts: TextFacts) -> None:
    epochs = max(1, min(MOST_EPOCHS, round(TOKENS_SEEN / max(1, facts.characters))))
    choices.choose("training.epochs", epochs, f"{facts.characters:,} characters: more is learnt by heart")
    choices.choose("training.patience", 0, "the rate falls to zero at the end, which is where nets are best")
    plan_nothing_pretrained(choices)


def _plan_steps(choices: Choices) -> None:
    lstm = choices.recipe.model.name == "lstm"
    choices.choose("training.batch_size", 16, "windows a step: many steps learn more than few large ones")
    if not lstm:
        choices.choose(
            "training.optimizer.name", "muon", "the hidden matrices learn about twice as fast as by AdamW"
        )
    plan_optimizer(choices, 2e-3, 0.1, "usual for nets of this size")
    choices.choose("training.ema", 0.0, "the falling rate averages enough")
    choices.choose("training.clip_norm", 1.0, "one odd batch cannot throw the weights far")
    if not came_from_person(choices, "training.schedule.warmup"):
        choices.fix(
            "training.schedule.warmup", 0.1, "short: normalised queries and keys bear large steps soon"
        )


def _check_metric(choices: Choices) -> None:
    metric = choices.choose("evaluation.metric", "nats_per_token", "the main score of the task")
    if metric != "nats_per_token":
        raise RecipeError(
            "evaluation.metric: epochs of a language model are chosen by nats per token, of which the other scores "
            "are functions",
            got=metric,
            expected=", ".join(task_metrics("language")[:1]),
        )
