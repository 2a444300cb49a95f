"""Before a training: everything that a trial must tell, in its order, and how long the training will take."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from flambeau.data.split import Split
from flambeau.data.tables.spelling import number_of
from flambeau.planning.machine import describe_machine
from flambeau.planning.numbers import Work, fit_numbers_to_work, warning_of_numbers, wrong_numbers
from flambeau.planning.rules import plan_schedule
from flambeau.recipe import Choices, Recipe
from flambeau.stages.engine.compiling import choose_compiling
from flambeau.stages.engine.finders import find_batch, find_rate
from flambeau.stages.engine.memory_limit import keep_memory_limit, while_it_fits
from flambeau.stages.engine.timing import seconds_per_epoch, tune_precision
from flambeau.stages.engine.trial import TRIAL
from flambeau.stages.engine.work import measure_work
from flambeau.stages.journal import Journal
from flambeau.stages.parts import Parts
from flambeau.stages.setting import set_up_torch
from flambeau.stages.trainings import Trainings

SHARE_FOR_TRAINING = 0.95
SECONDS_AROUND_TRAINING = 8  # imports before the clock starts; test, baselines and report after it
MOST_EPOCHS = 1000


class Trial:
    """Parts of the run's first training, as the recipe says at the moment of asking.

    Args:
        trainings: of the run.
        split: the first one; the others are alike.
    """

    def __init__(self, trainings: Trainings, split: Split) -> None:
        self._trainings = trainings
        self._split = split
        self._parts: Parts | None = None
        self._recipe: Recipe | None = None

    def fresh(self) -> Parts:
        """New parts, to be spent."""
        self._parts = None  # so that there are never two models in memory
        feed = self._trainings.feed(self._split.train)
        return self._trainings.parts(feed, self._split.train, self._split.valid, number=0, name=TRIAL)

    def parts(self) -> Parts:
        """Parts to look at, and to leave as they are: made anew only where the recipe has changed since."""
        if self._parts is None or self._recipe != self._trainings.recipe:
            self._parts = self.fresh()
            self._recipe = self._trainings.recipe.model_copy(deep=True)
        return self._parts

    def with_trained_head(self) -> Parts:
        """New parts as they are when the whole model begins to train."""
        return with_trained_head(self.fresh(), self._trainings)

    def work(self) -> Work:
        """Of the samples that go through the model at once."""
        parts, options = self.parts(), self._trainings.recipe.training
        inputs = next(iter(parts.batches.epoch(0))).inputs
        return measure_work(parts.model, tuple(part[: options.micro_batch or len(part)] for part in inputs))


def choose_length(trainings: Trainings, split: Split, count: int, *, tune: bool) -> None:
    """Fix what only a trial can tell, on copies of one of the run's trainings, and tell how long it will take.

    In this order, because each depends on those before: precision and routes, memory, batch, rate, compiling, epochs.
    Where memory runs out, a trial begins again with half the samples at once.

    Args:
        trainings: of the run.
        split: the first one; the others are alike.
        count: how many trainings there are, over folds and bags.
        tune: time precision, layout and routes instead of following the rule.
    """
    choices, journal = trainings.choices, trainings.journal
    options = choices.recipe.training
    machine = describe_machine(trainings.device)
    pictures = trainings.material.pixels is not None
    trial = Trial(trainings, split)

    def compiling() -> None:
        choose_compiling(trial.parts(), choices, machine, trial.work(), trainings=count)

    warning = warning_of_numbers(options.precision, machine["device"])
    if warning:
        journal.note(warning)
    compiling_is_open = options.compile is None
    if options.compile:
        while_it_fits(compiling, choices)
    work = while_it_fits(trial.work, choices)
    fit_numbers_to_work(choices, machine, work)
    if tune:
        wrong = wrong_numbers(choices.recipe, machine["device"], work)
        tuning = partial(tune_precision, trial.fresh, choices, journal, pictures=pictures, wrong=wrong)
        while_it_fits(tuning, choices)
    set_up_torch(choices.recipe)
    while_it_fits(partial(keep_memory_limit, trial.parts, choices), choices)
    if options.batch_finder:
        find_batch(trial.fresh, choices, journal, len(split.train))
        while_it_fits(partial(keep_memory_limit, trial.parts, choices), choices)
    if options.lr_finder:
        folds = choices.recipe.split.folds or 1
        finding = partial(find_rate, trial.with_trained_head, choices, journal, folds=folds)
        while_it_fits(finding, choices)
    if compiling_is_open:
        while_it_fits(compiling, choices)
    processes = trainings.ranks.count
    seconds = while_it_fits(lambda: seconds_per_epoch(trial.fresh(), processes), choices)
    set_epochs(seconds, choices, journal, count)


def with_trained_head(parts: Parts, trainings: Trainings) -> Parts:
    """The parts as they are when the whole model begins to train: a new pretrained head was trained before."""
    if trainings.material.weights is not None and parts.whole is None and parts.spec.name != "fusion":
        silent = replace(parts.session, writes=False, listen=lambda record: None)
        parts.session = silent
        trainings.train_head(parts)
    return parts


def set_epochs(seconds: float, choices: Choices, journal: Journal, count: int) -> None:
    """Fix the epochs that fit into `training.minutes`, and tell how long the training will take.

    Raises RecipeError where falls of the rate that a person gave do not fit these epochs.
    """
    options = choices.recipe.training
    if options.minutes is not None:
        left = options.minutes * 60 * SHARE_FOR_TRAINING - SECONDS_AROUND_TRAINING - journal.seconds
        fitting = max(1, min(MOST_EPOCHS, int(left / (seconds * count))))
        several = f" and {count} trainings" if count > 1 else ""
        reason = f"{options.minutes:g} minutes, at {tell_seconds(seconds)} an epoch{several}"
        choices.fix("training.epochs", fitting, reason)
        choices.recipe.training.minutes = None
        plan_schedule(choices)
    epochs = choices.recipe.training.epochs or 1
    several = f"{count} trainings of " if count > 1 else ""
    total = tell_seconds(seconds * epochs * count)
    journal.stage(
        "estimate",
        f"training takes about {total}: {several}{number_of(epochs, 'epoch')} of {tell_seconds(seconds)}",
    )


def tell_seconds(seconds: float) -> str:
    """A length of time in words; below ten seconds with two digits."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 90:
        return f"{round(seconds)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
