"""The whole flow on one page: read → check → split → prepare → train → evaluate → bundle → report."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from flambeau.data.ahead import go_ahead
from flambeau.data.check import check_counts
from flambeau.data.split import Split
from flambeau.errors import RunError
from flambeau.planning.machine import describe_machine, resolve_device
from flambeau.planning.mixed import kinds_of_columns
from flambeau.planning.named import plan_named
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.text import load_recipe
from flambeau.records import RunFolder, find_run
from flambeau.stages.concluding import conclude, temperature_of
from flambeau.stages.dividing import check_split, divide
from flambeau.stages.engine.head import whole_model
from flambeau.stages.engine.ranks import (
    check_alike,
    choose_sharing,
    journal_kind,
    needs_trial,
    settle_devices,
    share_machine,
    take_first,
    tell_other_count,
)
from flambeau.stages.engine.sharing import unshared
from flambeau.stages.engine.speed import choose_length
from flambeau.stages.explaining import explained
from flambeau.stages.flows import flow_of, refuse_start
from flambeau.stages.generate.flow import carry_out_generation
from flambeau.stages.journal import Listener, go_on
from flambeau.stages.judged import Judged, join_judged
from flambeau.stages.keeping import (
    FINAL_NUMBER,
    check_same_data,
    keep_plan,
    splits_from_json,
)
from flambeau.stages.material import (
    gather_material,
    read_samples,
    require_trainable,
)
from flambeau.stages.members import Fitted, Member
from flambeau.stages.mixed.alone import answer_alone, trainings_of_parts
from flambeau.stages.mixed.feed import choose_log_target
from flambeau.stages.series.feed import all_rows
from flambeau.stages.setting import (
    check_files,
    count_trainings,
    set_up_torch,
    trust_own_model,
    with_full_paths,
)
from flambeau.stages.starting.pickled import convert_pickle
from flambeau.stages.starting.start import keep_start, kept_start, only_untouched, prepare_start, read_start
from flambeau.stages.texts.feed import choose_text_length
from flambeau.stages.texts.unknown import threshold_of_folds
from flambeau.stages.trackers import check_trackers, followed
from flambeau.stages.trainings import Trainings
from flambeau.training.distributed import ALONE, Ranks
from flambeau.training.session import run_session

NUMBERS_A_SPLIT = 100
# Tasks whose trainings and scores go another way from the split on.
OWN_FLOWS = {"generate": carry_out_generation}


def train(
    source: str,
    recipe: Recipe,
    *,
    out: Path | None = None,
    from_run: Path | None = None,
    listener: Listener = lambda record: None,
    command: str = "",
    tune: bool = False,
    trust: bool = True,
    ranks: Ranks = ALONE,
) -> RunFolder:
    """From a source to a finished run.

    Args:
        source: a folder, a file, or the name of a built-in data set.
        recipe: what the person decided; the rest is chosen and told.
        out: the run's folder; runs/NAME-1 and so on for None.
        from_run: a run, or the folder of a bundle, whose weights are the start.
        listener: receives every record.
        command: what the person typed, for the report.
        tune: time precision and layout instead of following the rule.
        trust: whether a person named the recipe's own model file, so that it may be run.
        ranks: the processes that train together, each of which calls this.

    Raises:
        FlambeauError: with what, where, got, expected and the next command.
        KeyboardInterrupt: the person stopped it; what was done is saved.
    """
    flow = flow_of(recipe, source)
    if flow is not None:
        refuse_start(from_run)
        return flow.train(source, recipe, out=out, listener=listener, command=command)
    journal = journal_kind(ranks)(listener)
    with ranks.in_turn():
        choices = Choices(convert_pickle(with_full_paths(recipe, source), journal), journal.choice)
        plan_named(choices)
        settle_devices(choices, ranks)
        machine = share_machine(describe_machine(resolve_device(choices.recipe.device)), ranks)
        trust_own_model(choices.recipe, trust=trust)
        check_trackers(choices.recipe)
        start = None if from_run is None else read_start(bundle_folder(from_run))
        samples = read_samples(choices.recipe, journal)
        check_counts(samples)
        if start is not None:
            prepare_start(start, samples, choices, journal)
        material = gather_material(samples, choices, machine, journal)
    require_trainable(material)
    splits = divide(material, choices.recipe)
    if start is not None:
        splits = only_untouched(splits, material.samples, start)
    choose_text_length(choices, material.samples, splits[0])
    choose_log_target(choices, material.samples, splits[0])
    check_split(material, splits, journal)
    check_alike(material, splits, choices.recipe, ranks)
    set_up_torch(choices.recipe)
    trainings = Trainings(material, choices, journal, Path(), start, ranks)
    count = count_trainings(splits, choices.recipe, len(kinds_of_columns(material.samples.schema)))
    if material.samples.schema.task not in OWN_FLOWS:
        ranks.of_first(lambda: choose_sharing(trainings, splits[0]))
        take_first(choices, ranks)
        if needs_trial(choices.recipe, tune=tune):
            ranks.of_first(lambda: choose_length(trainings, splits[0], count, tune=tune))
        take_first(choices, ranks)
    run = ranks.of_first(lambda: RunFolder.create(out, Path(source).stem))
    if ranks.first:
        journal.attach(run)
        if start is not None:
            keep_start(run, start)
        keep_plan(run, material.samples, splits, choices, command)
    trainings.folder = run.checkpoints
    with followed(run, journal, choices.recipe) if ranks.first else nullcontext():
        return carry_out(run, trainings, splits)


def resume(run: RunFolder, *, listener: Listener = lambda record: None, ranks: Ranks = ALONE) -> RunFolder:
    """Go on with a run that was stopped or killed; it ends in the weights it would have had.

    Raises RunError for a finished run, one that has not come to its plan, or one whose data or files have changed.
    """
    if run.finished:
        raise RunError("this run is finished", where=run.path, command=f"flambeau report {run.path}")
    if not run.recipe.is_file():
        raise RunError(
            "this run was stopped before it had a plan", where=run.path, command="flambeau train …"
        )
    recipe = load_recipe(run.recipe)
    flow = flow_of(recipe, str(recipe.source))
    if flow is not None:
        return flow.resume(run, listener=listener)
    journal = go_on(run, listener, tell_other_count(recipe, ranks), journal_kind(ranks))
    check_files(run, recipe)
    choices = Choices(recipe, journal.choice)
    with ranks.in_turn():
        machine = share_machine(describe_machine(resolve_device(recipe.device)), ranks)
        material = gather_material(read_samples(recipe, journal), choices, machine, journal)
    check_same_data(run, material.samples)
    splits = splits_from_json(run.read_json("split.json"))
    check_alike(material, splits, recipe, ranks)
    set_up_torch(recipe)
    folder = kept_start(run)
    start = None if folder is None else read_start(folder)
    trainings = Trainings(material, choices, journal, run.checkpoints, start, ranks)
    with followed(run, journal, recipe) if ranks.first else nullcontext():
        return carry_out(run, trainings, splits)


def carry_out(run: RunFolder, trainings: Trainings, splits: list[Split]) -> RunFolder:
    """Train and test on every split, train what is kept, and write the result."""
    material, recipe, journal = trainings.material, trainings.recipe, trainings.journal
    ranks = trainings.ranks
    if material.samples.schema.task in OWN_FLOWS:
        return OWN_FLOWS[material.samples.schema.task](run, trainings, splits)
    judged: list[Judged] = []
    best_epochs: list[int] = []
    parts = trainings_of_parts(trainings)
    for number, split in enumerate(splits):
        name = f"fold {number + 1} of {len(splits)}" if len(splits) > 1 else ""
        fitted = fit(trainings, split.train, split.valid, number=number * NUMBERS_A_SPLIT, name=name)
        journal.stage("test", f"testing {name or 'on the untouched test part'}")
        judged.append(ranks.of_first(partial(trainings.judge, fitted, split)))
        for kind, part in parts.items():
            title = f"{name}, {kind} alone".removeprefix(", ")
            alone = fit(part, split.train, split.valid, number=number * NUMBERS_A_SPLIT, name=title)
            judged[-1].alone[kind] = ranks.of_first(partial(answer_alone, part, alone, split))
        best_epochs.append(fitted.best_epoch)
    tested = join_judged(judged)
    fitted_rows = np.union1d(splits[0].train, splits[0].valid)
    if len(splits) > 1 or recipe.split.refit:
        temperature, threshold = fitted.temperature, fitted.threshold
        if len(splits) > 1:
            temperature = temperature_of(material, tested)
            threshold = threshold_of_folds(tested)
        journal.stage("final", "training the model that is kept on all samples")
        fitted_rows = all_rows(material.samples)
        if recipe.training.patience:
            trainings.epochs = round(median(best_epochs))
        fitted = fit(trainings, fitted_rows, fitted_rows[:0], number=FINAL_NUMBER, name="all samples")
        fitted.temperature, fitted.threshold = temperature, threshold
    if ranks.first:
        longer = bool(recipe.training.epochs) and min(best_epochs) >= (recipe.training.epochs or 0)
        conclude(run, trainings, splits, tested, fitted, fitted_rows, longer=longer)
    ranks.wait()
    return run


def fit(
    trainings: Trainings, train_rows: np.ndarray, valid_rows: np.ndarray, *, number: int, name: str
) -> Fitted:
    """Train the model of one split, or as many as it has bags."""
    members = []
    for parts in trainings.parts_of(train_rows, valid_rows, number=number, name=name):
        with trainings.stop.catching(), explained(parts):
            state = run_session(
                parts.model,
                go_ahead(parts.batches, trainings.recipe.threads or 1),
                parts.optimizer,
                parts.loss,
                parts.technique,
                parts.session,
                average=parts.average,
            )
        module = unshared(state.evaluated, parts, trainings.recipe, trainings.ranks)
        module = whole_model(module, parts)
        members.append(Member(module, parts, state.best.epoch, state.changes))
    return trainings.join(members)


def bundle_folder(from_run: Path) -> Path:
    """The folder of a run's bundle; the folder itself where it is a bundle."""
    return from_run if (from_run / "versions.json").is_file() else find_run(from_run).model
