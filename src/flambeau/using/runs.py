"""Look at data, resolve a recipe, evaluate and verify a finished run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.own.own_data import trust_own_data
from flambeau.data.read import read_test
from flambeau.deploy.bundle import load_bundle, weights_digest
from flambeau.deploy.making.generators import refuse_generator
from flambeau.errors import DataError, RunError
from flambeau.evaluation.metrics import main_metric
from flambeau.evaluation.uncertainty import bootstrap_intervals
from flambeau.pipeline import train
from flambeau.planning.machine import describe_machine, resolve_device
from flambeau.planning.named import plan_named
from flambeau.planning.numbers import check_finders, check_passes, leave_to_finders
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.text import load_recipe
from flambeau.records import RunFolder
from flambeau.records.environment import environment
from flambeau.schema import Finding, Schema
from flambeau.stages.dividing import divide
from flambeau.stages.flows import FLOWS, flow_of
from flambeau.stages.journal import Journal, Listener
from flambeau.stages.keeping import check_same_data
from flambeau.stages.material import gather_material, read_samples
from flambeau.stages.mixed.feed import choose_log_target
from flambeau.stages.setting import check_files
from flambeau.stages.starting.start import kept_start, read_seen, short_digests
from flambeau.stages.texts.feed import choose_text_length
from flambeau.stages.texts.using import fingerprint_of_text
from flambeau.using.forecasts import evaluate_forecasts
from flambeau.using.readable import predict_readable
from flambeau.using.several import train_together


def _silent(record: dict[str, Any]) -> None:
    """A listener that does not listen."""


@dataclass(frozen=True)
class CheckReport:
    """What a look at the data found."""

    schema: Schema
    count: int
    findings: tuple[Finding, ...]


def check(source: str, recipe: Recipe, listener: Listener = _silent) -> CheckReport:
    """Read and check data without training. Raises DataError where nothing could be trained on them."""
    journal = Journal(listener)
    choices = Choices(recipe)
    choices.recipe.source = source
    plan_named(choices)
    flow = flow_of(choices.recipe, source)
    if flow is not None:
        return CheckReport(*flow.resolve(choices, journal))
    trust_own_data(source)
    samples = read_samples(choices.recipe, journal)
    machine = describe_machine(resolve_device(recipe.device))
    material = gather_material(samples, choices, machine, journal, compare=False)
    return CheckReport(material.samples.schema, len(material.samples), material.findings)


def resolve(source: str, recipe: Recipe, listener: Listener = _silent) -> Choices:
    """Every choice that training would make, without training."""
    check_finders(recipe)
    check_passes(recipe)
    journal = Journal(listener)
    choices = Choices(recipe, journal.choice)
    choices.recipe.source = source
    plan_named(choices)
    flow = flow_of(choices.recipe, source)
    if flow is not None:
        flow.resolve(choices, journal)
        return choices
    trust_own_data(source)
    # a recipe cannot hand on the consent to run code
    choices.recipe.model.trust_pickle = False
    samples = read_samples(choices.recipe, journal)
    material = gather_material(samples, choices, describe_machine(resolve_device(recipe.device)), journal)
    if material.samples.schema.source == "table":
        split = divide(material, choices.recipe)[0]
        choose_text_length(choices, material.samples, split)
        choose_log_target(choices, material.samples, split)
    leave_to_finders(choices)
    return choices


def evaluate(run: RunFolder, source: str | None = None, listener: Listener = _silent) -> dict[str, Any]:
    """Scores with intervals: of the run's own test, or of other labelled data in `source`.

    Raises RunError for a run that is not finished, DataError for data that do not fit the model.
    """
    scores: dict[str, Any] = run.read_json("scores.json")
    if source is None:
        return scores
    bundle = load_bundle(run.model)
    recipe = load_recipe(run.recipe)
    journal = Journal(listener)
    journal.stage("read", f"reading {source}")
    flow = FLOWS.get(bundle.schema.task)
    if flow is not None:
        return flow.evaluate(bundle, source, recipe, journal)
    refuse_generator(bundle.schema, "evaluate on other data", run.path)
    if bundle.schema.series is not None:
        return evaluate_forecasts(run, bundle, source, recipe, journal)
    trust_own_data(source)
    samples = read_test(source, bundle.schema, recipe)
    known = int(np.isin(short_digests(samples), read_seen(run.model)).sum())
    if known:
        share = f"{known:,} of {len(samples):,} samples were trained on"
        message = f"{share}: the score tells how well they were learnt, not how new ones will be answered"
        journal.finding(Finding("warning", "trained-on", message))
    journal.stage("test", f"testing on {len(samples):,} samples")
    rows, predictions = predict_readable(bundle, samples, recipe, journal)
    task = bundle.schema.task
    intervals = bootstrap_intervals(
        task, samples.targets[rows], predictions, resamples=recipe.evaluation.resamples, seed=recipe.seed
    )
    return {
        "task": task,
        "rows": {"train": 0, "valid": 0, "test": len(rows)},
        "test": intervals,
        "baselines": {},
        "method": f"all of {Path(source).name}",
        "metric": main_metric(task),
        "verdict": "",
        "classes": list(bundle.schema.classes),
    }


def verify(
    run: RunFolder, source: str | None = None, *, retrain: bool = False, listener: Listener = _silent
) -> list[dict[str, Any]]:
    """Check that a run is what it was: its files, its data, its environment and, if asked, its weights.

    Returns:
        {"what", "ok", "detail"} for each check; differences of the environment do not count as faults.
    """
    if not run.finished:
        raise RunError("this run is not finished", where=run.path, command=f"flambeau resume {run.path}")
    checks = [_verify_files(run), _verify_data(run, source, listener), _verify_environment(run)]
    if retrain:
        checks.append(_verify_by_training(run, source, listener))
    return checks


def _verify_files(run: RunFolder) -> dict[str, Any]:
    faults = run.verify_digests()
    detail = "; ".join(f"{name}: {fault}" for name, fault in faults.items()) or "every file has its digest"
    return {"what": "files", "ok": not faults, "detail": detail}


def _verify_data(run: RunFolder, source: str | None, listener: Listener) -> dict[str, Any]:
    recipe = load_recipe(run.recipe)
    recipe.source = source or recipe.source
    try:
        journal = Journal(listener)
        if flow_of(recipe, str(recipe.source)) is not None:
            return _verify_text(run, recipe, journal)
        samples = read_samples(recipe, journal)
        choices = Choices(recipe)
        material = gather_material(samples, choices, describe_machine(resolve_device(recipe.device)), journal)
        check_same_data(run, material.samples)
    except (DataError, RunError) as error:
        return {
            "what": "data",
            "ok": False,
            "detail": f"{error.what}: {error.got}" if error.got else error.what,
        }
    return {"what": "data", "ok": True, "detail": f"{len(material.samples):,} samples, all as they were"}


def _verify_text(run: RunFolder, recipe: Recipe, journal: Journal) -> dict[str, Any]:
    before = run.read_json("data.json")["fingerprint"]
    now, count = fingerprint_of_text(recipe, journal)
    detail = (
        f"{count:,} characters or questions, all as they were"
        if now == before
        else "other content than before"
    )
    return {"what": "data", "ok": now == before, "detail": detail}


def _verify_environment(run: RunFolder) -> dict[str, Any]:
    before, now = run.read_json("environment.json"), environment()
    ignored = ("device", "threads", "command")
    changed = [
        f"{k} {before.get(k)} → {v}" for k, v in now.items() if k not in ignored and before.get(k) != v
    ]
    return {
        "what": "environment",
        "ok": True,
        "detail": "; ".join(changed) or "the same versions and machine",
    }


def _verify_by_training(run: RunFolder, source: str | None, listener: Listener) -> dict[str, Any]:
    recipe = load_recipe(run.recipe)
    with tempfile.TemporaryDirectory() as scratch:
        check_files(run, recipe)
        place, start, named = Path(scratch) / "again", kept_start(run), source or str(recipe.source)
        if recipe.devices > 1:
            again = RunFolder(train_together(named, recipe, out=place, from_run=start, listener=listener))
        else:
            again = train(named, recipe, out=place, from_run=start, listener=listener, trust=False)
        digests = [weights_digest(load_bundle(folder.model).module) for folder in (run, again)]
    same = digests[0] == digests[1]
    detail = f"the same weights, bit for bit (digest {digests[0]})"
    if not same:
        detail = f"other weights: digest {digests[0]} before, {digests[1]} now"
    return {"what": "training again", "ok": same, "detail": detail}
