"""The flow of a language model: read → divide → choose → train → test → write samples → bundle → report."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from flambeau.errors import RunError
from flambeau.evaluation.language import token_nats
from flambeau.evaluation.ngrams import baseline_nats
from flambeau.models.language import LanguageLSTM, LanguageTransformer, write_tokens
from flambeau.planning.language import plan_language, plan_language_parts
from flambeau.planning.machine import Machine, describe_machine, resolve_device
from flambeau.planning.named import plan_named
from flambeau.planning.numbers import fit_numbers_to_work
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.text import load_recipe
from flambeau.records import RunFolder
from flambeau.stages.engine.speed import set_epochs
from flambeau.stages.engine.stopping import StopSwitch
from flambeau.stages.engine.technique import Stage
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
from flambeau.stages.other_flows import idle_findings, refuse_for_texts
from flambeau.stages.setting import set_up_torch, with_full_paths
from flambeau.stages.trackers import check_trackers, followed
from flambeau.training.loop import StepRecord, train
from flambeau.training.precision import make_scaler
from flambeau.training.session import run_session

TIMED_STEPS = 4


def train_language(
    source: str, recipe: Recipe, *, out: Path | None, listener: Listener, command: str
) -> RunFolder:
    """From a text to a finished run.

    Raises:
        FlambeauError: with what, where, got, expected and the next command.
        KeyboardInterrupt: the person stopped it; what was done is saved.
    """
    journal = Journal(listener)
    choices = Choices(with_full_paths(recipe, source), journal.choice)
    plan_named(choices)
    choices.choose("task", "language", "the data are one plain text")
    refuse_for_texts(choices, "language")
    check_trackers(choices.recipe)
    plan_language_parts(choices)
    machine = describe_machine(resolve_device(choices.recipe.device))
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
    check_same_text(run, material)
    set_up_torch(recipe)
    feed = feed_text(material, recipe, torch.device(recipe.device or "cpu"))
    with followed(run, journal, recipe):
        return carry_out_language(run, material, feed, recipe, journal)


def check_same_text(run: RunFolder, material: TextMaterial) -> None:
    """Raises RunError where the text is not the one that the run was started with."""
    before = run.read_json("data.json")
    if before["fingerprint"] != material.fingerprint:
        raise RunError(
            "the text has changed since this run was started, so it cannot go on to the same result",
            where=before["source"],
            got=f"{material.facts.characters:,} characters now, {before['count']:,} before",
            expected="the text as it was, or a new run",
            command=f"flambeau train {before['source']} --task language",
        )


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
    set_epochs(seconds_of_epoch(trial()), choices, journal, 1)


def seconds_of_epoch(parts: LanguageParts) -> float:
    """The time of an epoch with its validation; the model is spent."""
    scaler = make_scaler(parts.technique.precision, parts.technique.device)
    technique = replace(parts.technique, epochs=1_000_000)
    times = []
    moment = time.perf_counter()
    steps = (
        record
        for record in train(parts.model, parts.batches, parts.optimizer, parts.loss, technique, scaler=scaler)
        if isinstance(record, StepRecord)
    )
    for record in islice(steps, TIMED_STEPS + 1):
        record.loss.item()  # waits for a device
        times.append(time.perf_counter() - moment)
        moment = time.perf_counter()
    if parts.session.validate is not None:
        parts.session.validate(parts.model)
    usual = sorted(times[1:])[len(times[1:]) // 2]
    return usual * len(parts.batches) + time.perf_counter() - moment


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
        parts_ids = (torch.cat(part).cpu().numpy() for part in (feed.train, feed.valid, (feed.test,)))
        baselines = baseline_nats(*parts_ids, feed.preparation.cardinality)
    rate = (len(feed.test) - 1) / max(1, len(material.test) - 1)
    scores = language_scores(feed, nats, baselines, rate, recipe)
    samples = write_samples(module, feed, material, recipe, journal)
    scores["seconds"] = round(journal.seconds, 2)
    told = {"best_epoch": state.best.epoch, "changes": state.changes, "epochs": parts.technique.epochs}
    keep_language_result(run, material, feed, (parts.spec, module), (scores, samples, told), journal)
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
