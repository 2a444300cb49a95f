"""Choices for chatbots: how questions are divided, and how large and how long its two nets are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambeau.errors import ModelError, RecipeError
from flambeau.evaluation.metrics import task_metrics
from flambeau.planning.common import check_epochs, plan_device, plan_one_part, plan_threads
from flambeau.planning.language import head_reason, heads_for, plan_nothing_pretrained
from flambeau.planning.numbers import plan_numbers
from flambeau.planning.rules import came_from_person, plan_loss, plan_optimizer, plan_schedule
from flambeau.recipe import Choices

TRAIN_SHARE, VALID_SHARE = 0.8, 0.1
MANY_QUESTIONS = 20_000
FEW_QUESTIONS = 200
SEEN_QUESTIONS = 8_000


def plan_chat_parts(choices: Choices) -> None:
    """Fill in how questions are divided, and that all are learnt after the test.

    Raises RecipeError for shares that leave nothing to test on, and for folds.
    """
    plan_one_part(
        choices,
        train=(TRAIN_SHARE, "a tenth each chooses and tests: answers are many, questions few"),
        valid=(VALID_SHARE, "chooses the best epoch, and when it says that it does not know"),
        refusal="a chatbot is tested on one part of its questions",
        reason="one part of the questions tests",
    )
    if not came_from_person(choices, "split.refit"):
        choices.fix(
            "split.refit", True, "a bot should know all that it was taught: after the test it learns it all"
        )


def finder_epochs(questions: int) -> tuple[int, str]:
    """Passes over the questions for finding answers, and why.

    >>> finder_epochs(1000)[0], finder_epochs(27)[0]
    (8, 60)
    """
    epochs = max(8, min(60, round(SEEN_QUESTIONS / questions)))
    return epochs, f"{questions:,} questions: by then all are learnt, and new ones are found best"


def plan_chat(choices: Choices, *, questions: int, machine: Mapping[str, Any]) -> None:
    """Fill in every open value for a chatbot.

    Args:
        choices: changed in place.
        questions: with an answer.
        machine: "device" (cpu, cuda, mps), "cores", "bf16".

    Raises:
        ModelError: another model than the one there is.
        RecipeError: another metric.
    """
    check_epochs(choices, "chat")
    plan_device(choices, machine)
    plan_threads(choices, machine)
    plan_loss(choices, task="chat")
    name = choices.choose("model.name", "transformer", "it writes; answers are found by pieces of words")
    if name != "transformer":
        raise ModelError(
            "the net of a chatbot that writes is a transformer", got=name, expected="transformer"
        )
    told = f"{questions:,} questions"
    choices.choose("chat.width", 128 if questions < MANY_QUESTIONS else 256, f"{told} to tell apart")
    choices.choose("chat.epochs", *finder_epochs(questions))
    few = questions < FEW_QUESTIONS
    width = choices.choose(
        "model.width", 64 if few else 128, f"{told}: wider would learn them by heart sooner"
    )
    choices.choose("model.depth", 2, "answers are short")
    choices.choose("language.heads", heads_for(width), head_reason(width))
    choices.choose("model.dropout", 0.1, "few questions are seen often")
    choices.choose(
        "training.epochs", 12 if questions < MANY_QUESTIONS else 5, f"{told}: more is learnt by heart"
    )
    choices.choose("training.patience", 0, "the rate falls to zero at the end, which is where nets are best")
    plan_nothing_pretrained(choices)
    choices.choose("training.batch_size", 16 if few else 32, "small batches make enough steps")
    choices.choose(
        "training.optimizer.name", "muon", "the hidden matrices learn about twice as fast as by AdamW"
    )
    plan_optimizer(choices, 2e-3, 0.1, "usual for nets of this size")
    choices.choose("training.ema", 0.0, "the falling rate averages enough")
    choices.choose("training.clip_norm", 1.0, "one odd batch cannot throw the weights far")
    plan_schedule(choices)
    plan_numbers(choices, machine, pictures=False)
    choices.choose("training.compile", False, "compiling was not measured for chatbots")
    metric = choices.choose(
        "evaluation.metric", "top1", "the share of questions whose right answer is found first"
    )
    if metric != "top1":
        raise RecipeError(
            "evaluation.metric: the net that finds answers is chosen by top1",
            got=metric,
            expected=task_metrics("chat")[0],
        )
