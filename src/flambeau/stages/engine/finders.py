"""What only a trial can tell: the largest learning rate (`--lr auto`) and the fastest batch (`--batch-size auto`)."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from flambeau.errors import ModelError
from flambeau.recipe import Choices
from flambeau.stages.engine.timing import samples_a_second
from flambeau.stages.journal import Journal
from flambeau.stages.parts import Parts
from flambeau.training.loop import StepRecord, train
from flambeau.training.memory import is_out_of_memory
from flambeau.training.precision import make_scaler

# The range test: rates rise by the same factor from step to step.
LOWEST_RATE, HIGHEST_RATE = 1e-6, 10.0
STEPS_OF_TEST = 100
SMOOTHING = 0.9
DIVERGED = 4.0
# Smith 2018 (arXiv 1803.09820) takes the rate at which the loss has not yet begun to rise; a tenth of the one with
# the least smoothed loss is the usual reading of it, as in fastai's lr_find.
SHARE_OF_LOWEST = 0.1
FEWEST_STEPS = 10
TESTED_ELSEWHERE = (
    "; other folds test these samples, so the score may be a little too good (--folds 0 is strict)"
)

SMALLEST_BATCH, LARGEST_BATCH = 16, 8192
FEWEST_STEPS_AN_EPOCH = 10
SLOWER = 1.1


@dataclass(frozen=True)
class RateTest:
    """A range test: the rates, the losses of their steps, and these smoothed; and the rate that it tells."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    chosen: float


def rate_of_step(step: int) -> float:
    """The rate of a step of the test, from LOWEST_RATE to HIGHEST_RATE in equal factors."""
    share = step / (STEPS_OF_TEST - 1)
    return float(LOWEST_RATE * (HIGHEST_RATE / LOWEST_RATE) ** share)


def run_range_test(parts: Parts) -> RateTest:
    """The range test of Smith 2017 (arXiv 1506.01186) on the training rows: rates rise until the loss is four times its
    least. The model of `parts` is spent by it.

    Raises:
        ModelError: the loss is not finite from the first steps on, or never falls.
    """
    steps = len(parts.batches)
    peak = max(group["peak_lr"] for group in parts.optimizer.param_groups)
    epochs = math.ceil(STEPS_OF_TEST / steps)

    def schedule(done: float) -> float:
        return rate_of_step(round(done * epochs * steps)) / peak

    technique = replace(parts.technique, epochs=epochs, schedule=schedule, average_decay=0.0)
    scaler = make_scaler(technique.precision, technique.device)
    records = train(parts.model, parts.batches, parts.optimizer, parts.loss, technique, scaler=scaler)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    for record in islice((one for one in records if isinstance(one, StepRecord)), STEPS_OF_TEST):
        loss = record.loss.item()
        if not math.isfinite(loss):
            break
        rates.append(rate_of_step(len(rates)))
        losses.append(loss)
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING ** len(losses)))
        least = min(smoothed)
        if least > 0 and smoothed[-1] > DIVERGED * least:
            break
    return RateTest(tuple(rates), tuple(losses), tuple(smoothed), rate_told_by(rates, smoothed))


def rate_told_by(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """A tenth of the rate with the least smoothed loss, to two digits.

    Raises:
        ModelError: the test ended after a few steps, or the loss never fell.
    """
    if len(smoothed) < FEWEST_STEPS or min(smoothed) >= smoothed[0]:
        raise ModelError(
            "the range test tells no learning rate: the loss did not fall at any rate",
            got=f"{len(smoothed)} steps with a finite loss",
            expected="a model and a loss that learn something",
            command="--lr 1e-3",
        )
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__)
    return float(f"{rates[lowest] * SHARE_OF_LOWEST:.1e}")


def find_rate(trial: Callable[[], Parts], choices: Choices, journal: Journal, *, folds: int = 1) -> None:
    """Fix the learning rate that a range test tells, and keep its curve in the log.

    Args:
        trial: gives fresh parts of the first training.
        choices: changed in place.
        journal: is told the curve.
        folds: of the cross-validation. With several, each of the samples of the test is tested by another fold, which
            the reason tells.
    """
    if choices.recipe.training.optimizer.name == "lbfgs":
        journal.note("LBFGS searches the length of each step by itself: no range test of its rate")
        choices.fix("training.lr_finder", False, "LBFGS searches the length of each step by itself")
        return
    journal.stage(
        "rates", f"range test of the learning rate: up to {STEPS_OF_TEST} steps on training samples"
    )
    test = run_range_test(trial())
    reason = (
        f"range test: a tenth of {test.chosen / SHARE_OF_LOWEST:.2g}, where the smoothed loss of {len(test.rates)} "
        "steps is least"
    )
    if folds > 1:
        reason += TESTED_ELSEWHERE
    choices.fix("training.optimizer.lr", test.chosen, reason)
    choices.fix("training.lr_finder", False, "found: see training.optimizer.lr")
    rates, losses, smoothed = (
        [float(f"{x:.6g}") for x in row] for row in (test.rates, test.losses, test.smoothed)
    )
    journal(
        {"kind": "lr_test", "rates": rates, "losses": losses, "smoothed": smoothed, "chosen": test.chosen}
    )


def batch_sizes(rows: int) -> list[int]:
    """16, 32 and so on: as many as leave ten steps an epoch; always one."""
    most = max(SMALLEST_BATCH, min(LARGEST_BATCH, rows // FEWEST_STEPS_AN_EPOCH))
    return [16 << power for power in range(30) if 16 << power <= most]


def find_batch(trial: Callable[[], Parts], choices: Choices, journal: Journal, rows: int) -> None:
    """Fix the largest batch that fits into memory and is at most a tenth slower a sample than the fastest.

    The learning rate is left as it is; `--lr auto`, which comes after it, fits it to the batch.
    """
    if choices.recipe.training.optimizer.name == "lbfgs":
        journal.note("LBFGS needs all samples in each step: no search for the fastest batch")
        choices.fix("training.batch_finder", False, "LBFGS needs all samples in each step")
        return
    journal.stage("batches", "timing batches of several sizes on training samples")
    speeds: dict[int, float] = {}
    stopped = ""
    for size in batch_sizes(rows):
        choices.recipe.training.batch_size = size
        try:
            speeds[size] = samples_a_second(trial())
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            stopped = f"{size:,} samples do not fit into memory"
        gc.collect()
        if stopped or (len(speeds) > 2 and speeds[size] < max(speeds.values()) / SLOWER):
            break
    if not speeds:
        raise ModelError(
            f"not even {SMALLEST_BATCH} samples at once fit into memory", command="--batch-size 1"
        )
    best = max(speeds.values())
    chosen = max(size for size, speed in speeds.items() if speed * SLOWER >= best)
    rows_told = [["batch", "samples/s"], *([f"{size:,}", f"{speed:,.0f}"] for size, speed in speeds.items())]
    journal({"kind": "table", "title": "speed of batches", "rows": rows_told})
    fastest = max(speeds, key=lambda size: speeds[size])
    reason = f"{speeds[chosen]:,.0f} samples/s when timed here; {fastest:,} is fastest with {best:,.0f}"
    choices.fix("training.batch_size", chosen, f"{reason}; {stopped}" if stopped else reason)
    choices.fix("training.batch_finder", False, "found: see training.batch_size")
