"""Measured speed: an estimate before training, epochs that fit into minutes, and precision by timing when asked."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from itertools import islice

from flambeau.data.split import Split
from flambeau.errors import ModelError
from flambeau.recipe import Choices
from flambeau.stages.fitting import Parts
from flambeau.stages.journal import Journal
from flambeau.stages.technique import make_optimizer
from flambeau.stages.trainings import Trainings
from flambeau.training.loop import StepRecord, Technique, train
from flambeau.training.memory import is_out_of_memory
from flambeau.training.precision import lay_out

TIMED_STEPS = 4
SHARE_FOR_TRAINING = 0.95
SECONDS_AROUND_TRAINING = 8  # imports before the clock starts; test, baselines and report after it
MOST_EPOCHS = 1000


def seconds_per_step(
    parts: Parts, choices: Choices, technique: Technique, layout: str | None = None
) -> float:
    """The median time of a training step, on a copy of the model, so that the training itself stays as it is."""
    model = copy.deepcopy(parts.model)
    if layout is not None:
        lay_out(model, layout)
    optimizer = make_optimizer(model, choices.recipe, [], technique.device)
    records = train(model, parts.batches, optimizer, parts.loss, replace(technique, epochs=TIMED_STEPS + 1))
    times = []
    moment = time.perf_counter()
    for record in islice(records, TIMED_STEPS + 1):
        if isinstance(record, StepRecord):
            record.loss.item()  # waits for a device
            times.append(time.perf_counter() - moment)
        moment = time.perf_counter()
    # the first step pays for compiling kernels and allocating memory
    timed = sorted(times[1:] or times)
    return timed[len(timed) // 2]


def seconds_per_epoch(parts: Parts, choices: Choices) -> float:
    """The time of an epoch with its validation."""
    step = seconds_per_step(parts, choices, parts.technique)
    started = time.perf_counter()
    if parts.session.validate is not None:
        parts.session.validate(parts.model)
    return step * len(parts.batches) + time.perf_counter() - started


def choose_length(trainings: Trainings, split: Split, count: int, *, tune: bool) -> None:
    """Fix what only a trial can tell, on one of the run's trainings: precision, micro-batch, epochs; tell the time.

    Args:
        trainings: of the run.
        split: the first one; the others are alike.
        count: how many trainings there are, over folds and bags.
        tune: time precision and layout.
    """
    feed = trainings.feed(split.train)

    def trial() -> Parts:
        return trainings.parts(feed, split.train, split.valid, number=0, name="trial")

    if tune:
        tune_precision(trial(), trainings.choices, trainings.journal)
    while True:
        try:
            seconds = seconds_per_epoch(trial(), trainings.choices)
            break
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        halve_micro_batch(trainings.choices)
    set_epochs(seconds, trainings.choices, trainings.journal, count)


def halve_micro_batch(choices: Choices) -> None:
    """Half the samples at once. Raises ModelError where not even one fits."""
    options = choices.recipe.training
    size = (options.micro_batch or options.batch_size or 1) // 2
    if size < 1:
        raise ModelError(
            "the device's memory does not hold one sample at a time",
            expected="a smaller model or picture size",
            command="--set image.size=64",
        )
    choices.fix("training.micro_batch", size, "the batch does not fit into memory at once")


def set_epochs(seconds: float, choices: Choices, journal: Journal, count: int) -> None:
    """Fix the epochs that fit into `training.minutes`, and tell how long the training will take."""
    options = choices.recipe.training
    if options.minutes is not None:
        left = options.minutes * 60 * SHARE_FOR_TRAINING - SECONDS_AROUND_TRAINING - journal.seconds
        fitting = max(1, min(MOST_EPOCHS, int(left / (seconds * count))))
        several = f" and {count} trainings" if count > 1 else ""
        reason = f"{options.minutes:g} minutes, at {seconds:.2g} s an epoch{several}"
        choices.fix("training.epochs", fitting, reason)
        choices.recipe.training.minutes = None
    epochs = choices.recipe.training.epochs or 1
    several = f"{count} trainings of " if count > 1 else ""
    total = tell_seconds(seconds * epochs * count)
    journal.stage("estimate", f"training takes about {total}: {several}{epochs} epochs of {seconds:.2g} s")


def tune_precision(parts: Parts, choices: Choices, journal: Journal) -> None:
    """Time precision and layout on this machine and fix the fastest of those that the person left open."""
    given = choices.recipe.training
    precisions = ["fp32", "bf16"] if "training.precision" in choices.reasons else [given.precision or "fp32"]
    layouts = [given.memory_format or "contiguous"]
    if parts.feed.change is not None and "training.memory_format" in choices.reasons:
        layouts = ["contiguous", "channels_last"]
    times = {
        (precision, layout): seconds_per_step(
            parts, choices, replace(parts.technique, precision=precision), layout
        )
        for precision in precisions
        for layout in layouts
    }
    listed = ", ".join(
        f"{precision} {layout} {1000 * value:.1f} ms" for (precision, layout), value in times.items()
    )
    journal.note(f"a step takes: {listed}")
    precision, layout = min(times, key=lambda key: times[key])
    if len(precisions) > 1:
        choices.fix("training.precision", precision, "the fastest when timed on this machine")
    if len(layouts) > 1:
        choices.fix("training.memory_format", layout, "the fastest when timed on this machine")


def tell_seconds(seconds: float) -> str:
    """A length of time in words."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
