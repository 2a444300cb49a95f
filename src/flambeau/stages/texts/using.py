"""What can be done with texts and chatbots beside training: check, resolve, evaluate, compare data with before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from flambeau.data.corpus.source import open_corpus
from flambeau.data.dialogue.files import read_dialogues
from flambeau.data.dialogue.joining import Dialogues, places_of_texts, plain_question
from flambeau.data.known.named import place_of
from flambeau.data.tables.spelling import number_of
from flambeau.deploy.bundle import Bundle
from flambeau.errors import DataError
from flambeau.evaluation.chat import hits_interval
from flambeau.evaluation.language import token_nats
from flambeau.evaluation.ngrams import token_intervals
from flambeau.models.chat import ChatModel
from flambeau.planning.chat import plan_chat, plan_chat_parts
from flambeau.planning.language import plan_language, plan_language_parts
from flambeau.planning.machine import describe_machine, resolve_device
from flambeau.recipe import Choices, Recipe
from flambeau.schema import Finding, Schema
from flambeau.stages.chat.asking import ask_all
from flambeau.stages.chat.training import SCHEMA as CHAT_SCHEMA
from flambeau.stages.chat.training import read_chat
from flambeau.stages.journal import Journal
from flambeau.stages.language.training import SCHEMA as LANGUAGE_SCHEMA
from flambeau.stages.language.training import read_text
from flambeau.stages.other_flows import idle_findings, settle_task
from flambeau.transforms.corpus import CorpusPreparation
from flambeau.transforms.dialogue import ChatPreparation, wide_pieces

# characters; of two tokens at least one is told from the other
FEWEST_TO_SCORE = 10

Found = tuple[Schema, int, tuple[Finding, ...]]


def resolve_language(choices: Choices, journal: Journal) -> Found:
    """Read and check a text, and fill in every choice that training would make but those that a trial makes."""
    settle_task(choices, "language")
    with choices.told_later():
        plan_language_parts(choices)
        material = read_text(choices.recipe, journal)
    found = (*material.findings, *idle_findings(choices, "language"))
    for finding in found:
        journal.finding(finding)
    plan_language(choices, material.facts, describe_machine(resolve_device(choices.recipe.device)))
    return LANGUAGE_SCHEMA, material.facts.characters, found


def resolve_chat(choices: Choices, journal: Journal) -> Found:
    """Read and check questions and answers, and fill in every choice that training would make."""
    settle_task(choices, "chat")
    with choices.told_later():
        plan_chat_parts(choices)
        material = read_chat(choices.recipe, journal)
    found = (*material.dialogues.findings, *idle_findings(choices, "chat"))
    for finding in found:
        journal.finding(finding)
    count = len(material.dialogues.questions)
    plan_chat(choices, questions=count, machine=describe_machine(resolve_device(choices.recipe.device)))
    return CHAT_SCHEMA, count, found


def evaluate_language(bundle: Bundle, source: str, recipe: Recipe, journal: Journal) -> dict[str, Any]:
    """Scores of a language model on all of another text."""
    preparation = bundle.preparation
    assert isinstance(preparation, CorpusPreparation)
    recipe = recipe.model_copy(deep=True)
    recipe.source, recipe.data.target = source, None
    text, findings = open_corpus(recipe, fewest=FEWEST_TO_SCORE)
    for finding in findings:
        journal.finding(finding)
    tokens = torch.from_numpy(preparation.encode(text))
    if preparation.tokens == "characters" and (unknown := int((tokens == 0).sum())):
        message = f"{unknown:,} of {len(tokens):,} characters are unknown to the model"
        journal.finding(Finding("warning", "unknown-characters", message))
    journal.stage("test", f"testing on {len(tokens):,} tokens")
    context = preparation.context
    nats = token_nats(bundle.module, tokens, context=context, stride=max(1, context // 2))
    rate = (len(tokens) - 1) / max(1, len(text) - 1)
    options = recipe.evaluation
    scores = token_intervals(nats, nats_a_character=rate, resamples=options.resamples, seed=recipe.seed)
    return _scores("language", scores, len(nats), source)


def evaluate_chat(bundle: Bundle, source: str, recipe: Recipe, journal: Journal) -> dict[str, Any]:
    """How often a chatbot finds the right answer to other questions, of those whose answer it knows.

    Raises DataError where it knows none of the answers.
    """
    preparation, module = bundle.preparation, bundle.module
    assert isinstance(preparation, ChatPreparation) and isinstance(module, ChatModel)
    dialogues = read_dialogues(place_of(source), recipe.chat.max_pairs)
    right, unknown = known_answers(dialogues, preparation)
    if not right:
        raise DataError(
            "the bot knows none of these answers, so none of them can be right",
            where=source,
            expected="questions whose answers, or tags, are among those that it was taught",
        )
    if unknown:
        told, owner = ("question is", "its answer") if unknown == 1 else ("questions are", "their answers")
        message = f"{unknown:,} {told} left out: the bot was never taught {owner}"
        journal.finding(Finding("warning", "unknown-answers", message))
    journal.stage("test", f"testing on {number_of(len(right), 'question')}")
    pieces = torch.from_numpy(wide_pieces(preparation.pieces, list(right)))
    asked = ask_all(module, pieces, [tuple(sorted(found)) for found in right.values()], preparation)
    options = recipe.evaluation
    scores = {name: hits_interval(hits, options.resamples, recipe.seed) for name, hits in asked.hits.items()}
    return _scores("chat", scores, len(right), source)


def known_answers(dialogues: Dialogues, preparation: ChatPreparation) -> tuple[dict[str, set[int]], int]:
    """For each question the places of a bot's answers that are right, by the rule of its test, or have its tag.

    Also how many questions have none.
    """
    places = places_of_texts(preparation.answers)
    tags = {tag: place for place, tag in enumerate(preparation.tags) if tag}
    right: dict[str, set[int]] = {}
    unknown = 0
    for question, answer in zip(dialogues.questions, dialogues.right, strict=True):
        known = set().union(*(places.get(text, set()) for text in dialogues.answers[answer]))
        if dialogues.tags[answer] in tags:
            known.add(tags[dialogues.tags[answer]])
        unknown += not known
        if known:
            right.setdefault(plain_question(question), set()).update(known)
    return right, unknown


def fingerprint_of_text(recipe: Recipe, journal: Journal) -> tuple[str, int]:
    """The fingerprint and the size of the text, or of the questions, that a recipe names."""
    if recipe.task == "chat":
        chat = read_chat(recipe, journal)
        return chat.fingerprint, len(chat.dialogues.questions)
    text = read_text(recipe, journal)
    return text.fingerprint, text.facts.characters


def _scores(task: str, scores: dict[str, dict[str, float]], count: int, source: str) -> dict[str, Any]:
    return {
        "task": task,
        "rows": {"train": 0, "valid": 0, "test": count},
        "test": scores,
        "baselines": {},
        "method": f"all of {Path(source).name}",
        "metric": next(iter(scores)),
        "verdict": "",
        "classes": [],
    }
