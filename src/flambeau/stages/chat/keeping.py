"""How a chatbot is scored, and what its run writes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from flambeau.data.tables.spelling import number_of
from flambeau.deploy.bundle import Bundle
from flambeau.evaluation.answers import answer_nats
from flambeau.evaluation.chat import evenly_chosen, hits_interval, mean_interval
from flambeau.insight.texts import WRITTEN_TEXTS
from flambeau.models.chat import ChatModel
from flambeau.models.spec import ModelSpec
from flambeau.recipe import Choices, Recipe
from flambeau.records import RunFolder
from flambeau.stages.chat.asking import Asked, ask_all, baseline_hits
from flambeau.stages.chat.parts import fed_pairs
from flambeau.stages.chat.training import SCHEMA, ChatFeed, ChatMaterial
from flambeau.stages.facts import describe_making
from flambeau.stages.journal import Journal
from flambeau.stages.keeping import describe_text, finish_run, keep_trainings, split_to_json, write_plan
from flambeau.transforms.dialogue import ChatPreparation
from flambeau.transforms.table import TargetScaler

SHOWN_QUESTIONS = 12
FEWEST_TO_JUDGE = 10


def keep_chat_plan(run: RunFolder, material: ChatMaterial, choices: Choices, command: str) -> None:
    """Write the data's description, the split, the environment and, last, the recipe."""
    count = len(material.dialogues.questions)
    data = describe_text(SCHEMA, choices.recipe.source, material.fingerprint, count)
    write_plan(run, data, split_to_json([material.split]), choices, command)


def score_chat(
    model: ChatModel, feed: ChatFeed, material: ChatMaterial, preparation: ChatPreparation, recipe: Recipe
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The content of scores.json but for the seconds, and some tested questions with what is answered."""
    rows = material.split.test
    right = material.right(rows)
    resamples, seed = recipe.evaluation.resamples, recipe.seed
    asked = ask_all(model, feed.questions[torch.from_numpy(rows)], right, preparation)
    hits = asked.hits["top1"]
    scores = {name: hits_interval(values, resamples, seed) for name, values in asked.hits.items()}
    if model.writer is not None:
        nats = answer_nats(model.writer, *fed_pairs(feed, material.pairs(rows), recipe))
        scores |= _nats_scores(nats, resamples, seed)
    compared = evenly_chosen(np.arange(len(rows)))
    others = {} if not recipe.evaluation.baselines else baseline_hits(material, rows[compared])
    baselines = {
        name: {most: float(values.mean()) for most, values in found.items()} for name, found in others.items()
    }
    against = {name: found["top1"] for name, found in others.items()}
    sentence, standing = _verdict(hits, hits[compared], against, recipe)
    answered = asked.sure >= preparation.threshold
    sure = hits[answered]
    told = f"It answers {answered.mean():.0%} of the new questions"
    told += f", {sure.mean():.0%} of these rightly." if len(sure) else "."
    split = material.split
    return {
        "task": "chat",
        "rows": {"train": len(split.train), "valid": len(split.valid), "test": len(rows)},
        "seconds": 0.0,
        "test": scores,
        "baselines": baselines,
        "method": "test part",
        "metric": "top1",
        "verdict": f"{sentence} {told}",
        "standing": standing,
        "calibration": None,
        "classes": [],
        "advice": "",
        "kept": "the bot that was tested",
    }, _shown(material, asked, preparation)


def _nats_scores(nats: list[np.ndarray], resamples: int, seed: int) -> dict[str, dict[str, float]]:
    """Nats per token and perplexity of held-out answers, with intervals over whole answers."""
    sums, counts = np.array([row.sum() for row in nats]), np.array([len(row) for row in nats])
    drawn = np.random.default_rng(seed).integers(0, len(nats), size=(resamples, len(nats)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = (float(value) for value in np.quantile(means, [0.025, 0.975]))
    three = {"value": float(sums.sum() / counts.sum()), "low": low, "high": high}
    return {
        "nats_per_token": three,
        "perplexity": {name: math.exp(min(700.0, value)) for name, value in three.items()},
    }


def _verdict(
    hits: np.ndarray, compared: np.ndarray, others: dict[str, np.ndarray], recipe: Recipe
) -> tuple[str, str | None]:
    """The sentence, from the hits of all questions and of those that the baselines were asked, and the standing."""
    told = f"{hits.mean():.1%} of new questions find their right answer first"
    if not others:
        return f"{told}; no baseline was made.", None
    best = max(others, key=lambda name: float(others[name].mean()))
    comparison = f"{told}, against {others[best].mean():.1%} by the {best} (TF-IDF)"
    if len(compared) < len(hits):
        comparison += f" on {len(compared):,} of them, where the bot finds {compared.mean():.1%}"
    gap = mean_interval(compared - others[best], recipe.evaluation.resamples, recipe.seed)
    if len(hits) < FEWEST_TO_JUDGE:
        few = number_of(len(hits), "new question is", "new questions are")
        return f"{few} too few to say how good the bot is: {comparison}.", "unclear"
    if gap["low"] > 0:
        return f"The bot beats every baseline: {comparison}.", "better"
    if gap["high"] < 0:
        return f"The bot is worse than a baseline, by more than luck could explain: {comparison}.", "worse"
    return f"The bot does not clearly beat the best baseline: {comparison}.", "unclear"


def _shown(material: ChatMaterial, asked: Asked, preparation: ChatPreparation) -> list[dict[str, str]]:
    """Evenly spaced tested questions, what is answered, and what would have been right."""
    rows, shown = material.split.test, []
    right = material.right(rows)
    for place in np.unique(
        np.linspace(0, len(rows) - 1, min(SHOWN_QUESTIONS, len(rows))).astype(int)
    ).tolist():
        best, sure = int(asked.best[place]), float(asked.sure[place])
        answered = sure >= preparation.threshold
        said = preparation.answers[best][0] if answered else preparation.unknown
        missed = "" if best in right[place] else f"right would be: {preparation.answers[right[place][0]][0]}"
        shown.append(
            {
                "prompt": material.questions(rows[place : place + 1])[0],
                "text": said,
                "note": note_of(sure, missed, answered=answered),
            }
        )
    return shown


def note_of(sure: float, missed: str, *, answered: bool) -> str:
    """How a tested question went: how sure the bot was, whether it found the right answer, whether it said it.

    >>> note_of(0.634, "", answered=True), note_of(0.25, "", answered=False)
    ('63% sure, and right.', 'The answer that it found and kept back was right; it was 25% sure.')
    """
    if answered:
        return f"{sure:.0%} sure, and right." if not missed else f"{sure:.0%} sure, and wrong; {missed}"
    kept_back = "The answer that it found and kept back was"
    if not missed:
        return f"{kept_back} right; it was {sure:.0%} sure."
    return f"{kept_back} wrong, too ({sure:.0%} sure); {missed}"


def keep_chat_result(
    run: RunFolder,
    made: tuple[ModelSpec, ChatModel, ChatPreparation],
    scores: dict[str, Any],
    samples: list[dict[str, str]],
    trainings: list[dict[str, Any]],
    journal: Journal,
) -> None:
    """Write scores, answered questions, the bundle, the report, and the digests of all of it."""
    spec, model, preparation = made
    run.write_json(WRITTEN_TEXTS, samples)
    keep_trainings(run, np.empty(0, np.int64), trainings)
    bundle = Bundle(SCHEMA, spec, preparation, model, TargetScaler(0.0, 1.0), facts=describe_making(run))
    finish_run(run, bundle, scores, journal)
