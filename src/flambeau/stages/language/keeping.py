"""What a run of a language model writes: first the plan, so that it can be resumed, and at the end the result."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import nn

from flambeau.deploy.bundle import Bundle
from flambeau.evaluation.ngrams import block_means, nats_to_scores, token_intervals
from flambeau.insight.texts import WRITTEN_TEXTS
from flambeau.models.spec import ModelSpec
from flambeau.recipe import Choices, Recipe
from flambeau.records import RunFolder
from flambeau.stages.facts import describe_making
from flambeau.stages.journal import Journal
from flambeau.stages.keeping import describe_text, finish_run, keep_trainings, write_plan
from flambeau.stages.language.training import SCHEMA, LanguageFeed, TextMaterial, total
from flambeau.transforms.table import TargetScaler

SPLIT_METHOD = "by place"
SPLIT_REASON = (
    "what is tested comes after all that was learnt from; short blocks at equal distances before it choose the epoch; "
    "no window crosses a border"
)


def keep_language_plan(
    run: RunFolder, material: TextMaterial, feed: LanguageFeed, choices: Choices, command: str
) -> None:
    """Write the data's description, the split, the environment and, last, the recipe."""
    data = describe_text(SCHEMA, choices.recipe.source, material.fingerprint, material.facts.characters)
    characters = {
        "train": total(material.train),
        "valid": total(material.valid),
        "test": len(material.test),
    }
    split: dict[str, Any] = {
        "method": SPLIT_METHOD,
        "reason": SPLIT_REASON,
        "train": [],
        "valid": [],
        "test": [],
        "folds": [],
        "counts": feed.counts,
        "characters": characters,
        "places": material.places,
    }
    write_plan(run, data, split, choices, command)


def language_scores(
    feed: LanguageFeed, nats: np.ndarray, baselines: dict[str, np.ndarray], rate: float, recipe: Recipe
) -> dict[str, Any]:
    """The content of scores.json, but for the seconds.

    Args:
        feed: of the run.
        nats: (tokens,) of the test part.
        baselines: name → nats of the same tokens.
        rate: tokens a character.
        recipe: resolved.
    """
    resamples, seed = recipe.evaluation.resamples, recipe.seed
    sentence, standing = compare_nats(nats, baselines, resamples, seed)
    return {
        "task": "language",
        "rows": feed.counts,
        "seconds": 0.0,
        "test": token_intervals(nats, nats_a_character=rate, resamples=resamples, seed=seed),
        "baselines": {name: nats_to_scores(values, rate) for name, values in baselines.items()},
        "method": "test part",
        "metric": "nats_per_token",
        "verdict": sentence,
        "standing": standing,
        "calibration": None,
        "classes": [],
        "advice": "",
        "kept": "the model that was tested",
    }


def compare_nats(
    nats: np.ndarray, baselines: dict[str, np.ndarray], resamples: int, seed: int
) -> tuple[str, str | None]:
    """Whether the model expects the text better than the best baseline, in a sentence and a word."""
    own = float(nats.mean())
    told = f"{own:.4g} nats per token (perplexity {math.exp(min(700.0, own)):.4g})"
    if not baselines:
        return f"{told}; no baseline was counted.", None
    best = min(baselines, key=lambda name: float(baselines[name].mean()))
    comparison = f"{told} against {float(baselines[best].mean()):.4g} of the best baseline ({best})"
    low, high = np.quantile(block_means(baselines[best] - nats, resamples, seed), [0.025, 0.975])
    if low > 0:
        return f"The model beats every baseline: {comparison}.", "better"
    if high < 0:
        lead = "The model is worse than counting, by more than luck could explain"
        meaning = f"As it stands, {best} expects the text better than the model that is kept"
        return f"{lead}: {comparison}. {meaning}. Train longer.", "worse"
    return f"The model does not clearly beat counting: {comparison}.", "unclear"


def keep_language_result(
    run: RunFolder,
    feed: LanguageFeed,
    made: tuple[ModelSpec, nn.Module],
    told: tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]],
    journal: Journal,
) -> None:
    """Write scores, samples, the bundle, the report, and the digests of all of it.

    Args:
        run, feed, journal: of the run.
        made: the model's description, and itself.
        told: scores, samples, and what a repeat must know of the training.
    """
    spec, module = made
    scores, samples, training = told
    run.write_json(WRITTEN_TEXTS, samples)
    keep_trainings(run, np.empty(0, np.int64), [{"number": 0, "valid": [], **training}])
    facts = describe_making(run)
    bundle = Bundle(SCHEMA, spec, feed.preparation, module, TargetScaler(0.0, 1.0), facts=facts)
    finish_run(run, bundle, scores, journal)
