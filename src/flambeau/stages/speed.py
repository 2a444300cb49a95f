"""Measured speed: an estimate before training, epochs that fit into minutes, and precision by timing when asked."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from itertools import islice

from flambeau.recipe import Choices
from flambeau.stages.fitting import Parts, make_optimizer
from flambeau.stages.journal import Journal
from flambeau.training.loop import StepRecord, Technique, train
from flambeau.training.precision import lay_out

TIMED_STEPS = 4
SHARE_FOR_TRAINING = 0.9
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


def set_length(parts: Parts, choices: Choices, journal: Journal, *, trainings: int) -> None:
    """Fix the epochs that fit into `training.minutes`, and tell how long the training will take.

    Args:
        parts: of one of the trainings; the others are alike.
        trainings: how many there are, over folds and bags.
    """
    options = choices.recipe.training
    seconds = seconds_per_epoch(parts, choices)
    if options.minutes is not None:
        left = options.minutes * 60 * SHARE_FOR_TRAINING - journal.seconds
        fitting = max(1, min(MOST_EPOCHS, int(left / (seconds * trainings))))
        if options.epochs is None or "training.epochs" in choices.reasons:
            reason = f"{options.minutes:g} minutes, at {seconds:.2f} s an epoch and {trainings} trainings"
            choices.fix("training.epochs", fitting, reason)
        choices.fix("training.minutes", None, "measured once; the epochs are fixed now")
    epochs = choices.recipe.training.epochs or 1
    total = seconds * epochs * trainings
    several = f"{trainings} trainings of " if trainings > 1 else ""
    journal.note(f"training takes about {tell_seconds(total)}: {several}{epochs} epochs of {seconds:.2g} s")


def tune_precision(parts: Parts, choices: Choices, journal: Journal) -> None:
    """Time precision and layout on this machine and fix the fastest in the recipe."""
    layouts = (
        ["contiguous"] if choices.recipe.training.memory_format is None else ["contiguous", "channels_last"]
    )
    times = {
        (precision, layout): seconds_per_step(
            parts, choices, replace(parts.technique, precision=precision), layout
        )
        for precision in ("fp32", "bf16")
        for layout in layouts
    }
    listed = ", ".join(
        f"{precision} {layout} {1000 * value:.1f} ms" for (precision, layout), value in times.items()
    )
    journal.note(f"a step takes: {listed}")
    precision, layout = min(times, key=lambda key: times[key])
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
