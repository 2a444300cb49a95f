"""The flow of a language model: read → divide → choose → train → test → write samples → bundle → report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from flambeau.evaluation.language import token_nats
from flambeau.evaluation.ngrams import baseline_nats
from flambeau.models.language import LanguageLSTM, LanguageTransformer
from flambeau.models.writing import write_tokens
from flambeau.planning.language import plan_language, plan_language_parts
from flambeau.planning.machine import Machine, describe_machine, resolve_device
from flambeau.planning.numbers import fit_numbers_to_work
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.text import load_recipe
from flambeau.records import RunFolder
from flambeau.stages.engine.speed import set_epochs
from flambeau.stages.engine.stopping import StopSwitch
from flambeau.stages.engine.technique import Stage
from flambeau.stages.engine.timing import seconds_per_step, with_validation
from flambeau.stages.engine.trial import TRIAL
from flambeau.stages.engine.work import measure_work
from flambeau.stages.explaining import explained
from flambeau.stages.journal import Journal, Listener, go_on
from flambeau.stages.language.keeping import keep_language_plan, keep_language_result, language_scores
from flambeau.stages.language.training import (
    LanguageFeed,
    LanguageParts,
    TextMaterial,
    assemble_language,
    feed_text,
    read_text,
    sample_prompts,
    unknown_findings,
)
from flambeau.stages.members import asks_again
from flambeau.stages.other_flows import begin_texts, check_same_texts, idle_findings
from flambeau.stages.setting import set_up_torch
from flambeau.stages.trackers import followed
from flambeau.training.session import run_session


def train_language(
    source: str, recipe: Recipe, *, out: Path | None, listener: Listener, command: str
) -> RunFolder:
    """From a text to a finished run.

    Raises:
        FlambeauError: with what, where, got, expected and the next command.
        KeyboardInterrupt: the person stopped it; what was done is saved.
    """
    journal, choices = begin_texts(source, recipe, "language", listener)
    machine = describe_machine(resolve_device(choices.recipe.device))
    with choices.told_later():
        plan_language_parts(choices)
        material = read_text(choices.recipe, journal)
    for finding in (*material.findings, *idle_findings(choices, "language")):
        journal.finding(finding)
    plan_language(choices, material.facts, machine)
    set_up_torch(choices.recipe)
    journal.stage("prepare", "making the text into tokens")
    feed = feed_text(material, choices.recipe, torch.device(choices.recipe.device or "cpu"))
    for finding in unknown_findings(feed):
        journal.finding(finding)
    choose_language_length(feed, choices, machine, journal)
    run = RunFolder.create(out, Path(source).stem)
    journal.attach(run)
    keep_language_plan(run, material, feed, choices, command)
    with followed(run, journal, choices.recipe):
        return carry_out_language(run, material, feed, choices.recipe, journal)


def resume_language(run: RunFolder, *, listener: Listener) -> RunFolder:
    """Go on with a run that was stopped or killed; it ends in the weights that it would have had.

    Raises RunError where the text has changed.
    """
    recipe = load_recipe(run.recipe)
    journal = go_on(run, listener)
    material = read_text(recipe, journal)
    now = f"{material.facts.characters:,} characters"
    check_same_texts(run, material.fingerprint, "the text has", now, "language")
    set_up_torch(recipe)
    feed = feed_text(material, recipe, torch.device(recipe.device or "cpu"))
    with followed(run, journal, recipe):
        return carry_out_language(run, material, feed, recipe, journal)


def choose_language_length(feed: LanguageFeed, choices: Choices, machine: Machine, journal: Journal) -> None:
    """Fix what only a trial can tell: numbers by the model's work, and the epochs that fit into the time."""

    def trial() -> LanguageParts:
        return assemble_language(feed, choices.recipe, Stage(0, TRIAL, Path(), journal))

    parts = trial()
    size = choices.recipe.training.micro_batch or choices.recipe.training.batch_size or 1
    inputs = next(iter(parts.batches.epoch(0))).inputs
    fit_numbers_to_work(choices, machine, measure_work(parts.model, tuple(one[:size] for one in inputs)))
    choices.choose("training.compile", False, "compiling was not measured for language models")
    choices.choose("training.recompute", False, "no limit of memory asks for it")
    set_up_torch(choices.recipe)
    parts = trial()
    set_epochs(with_validation(seconds_per_step(parts), parts), choices, journal, 1)


def carry_out_language(
    run: RunFolder, material: TextMaterial, feed: LanguageFeed, recipe: Recipe, journal: Journal
) -> RunFolder:
    """Train, test, write samples, and keep the result."""
    stop = StopSwitch()
    parts = assemble_language(feed, recipe, Stage(0, "", run.checkpoints / "training-00000", journal, stop))
    with stop.catching(), explained(parts):
        state = run_session(
            parts.model, parts.batches, parts.optimizer, parts.loss, parts.technique, parts.session
        )
    module = state.evaluated.eval()
    journal.stage("test", "testing on the untouched end of the text")
    context = feed.preparation.context
    nats = token_nats(module, feed.test, context=context, stride=max(1, context // 2))
    baselines = {}
    if recipe.evaluation.baselines:
        divided = (feed.train, feed.valid, (feed.test,))
        train_ids, valid_ids, test_ids = (torch.cat(part).cpu().numpy() for part in divided)
        baselines = baseline_nats(train_ids, valid_ids, test_ids, feed.preparation.cardinality)
    rate = (len(feed.test) - 1) / max(1, len(material.test) - 1)
    scores = language_scores(feed, nats, baselines, rate, recipe)
    samples = write_samples(module, feed, material, recipe, journal)
    scores["seconds"] = round(journal.seconds, 2)
    told = {
        "best_epoch": state.best.epoch,
        "changes": state.changes,
        "epochs": parts.technique.epochs,
        "asks_again": asks_again(parts.technique),
    }
    keep_language_result(run, feed, (parts.spec, module), (scores, samples, told), journal)
    return run


def write_samples(
    module: nn.Module, feed: LanguageFeed, material: TextMaterial, recipe: Recipe, journal: Journal
) -> list[dict[str, Any]]:
    """What the model writes behind the beginnings of some lines of the validation part."""
    options = recipe.language
    if not options.samples:
        return []
    assert isinstance(module, LanguageTransformer | LanguageLSTM)
    journal.stage("sample", f"writing {options.samples} samples of {options.sample_length} tokens")
    samples = []
    for number, prompt in enumerate(sample_prompts("".join(material.valid), options.samples)):
        ids = torch.from_numpy(feed.preparation.encode(prompt)).long()[None]
        if not ids.shape[1]:
            continue
        new = write_tokens(
            module,
            ids,
            options.sample_length,
            temperature=options.temperature,
            top_k=options.top_k,
            seed=recipe.seed + number,
        )
        text = feed.preparation.decode(new[0].tolist())
        samples.append({"prompt": prompt, "text": text, "temperature": options.temperature})
    return samples
