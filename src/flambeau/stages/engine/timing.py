"""Measured speed of training steps, on models that are made for it and thrown away: precision by timing when asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from flambeau.recipe import Choices
from flambeau.stages.journal import Journal
from flambeau.stages.parts import Parts
from flambeau.stages.setting import set_up_torch
from flambeau.training.loop import EpochBatches, StepRecord, Technique, train
from flambeau.training.losses import Loss
from flambeau.training.precision import make_scaler
from flambeau.training.session import Session

TIMED_STEPS = 4
SECONDS_A_BATCH_SIZE = 0.5
ROUNDS_OF_TUNING = 3
# After the first round, a way that was so many times slower than the fastest is not timed again.
HOPELESS = 3.0
MOST_SECONDS_A_WAY = 10.0


class Timed(Protocol):
    """Parts of a training of any kind whose steps can be timed."""

    @property
    def model(self) -> nn.Module: ...
    @property
    def batches(self) -> EpochBatches: ...
    @property
    def optimizer(self) -> Optimizer: ...
    @property
    def loss(self) -> Loss: ...
    @property
    def technique(self) -> Technique: ...
    @property
    def session(self) -> Session: ...


@dataclass(frozen=True)
class Numbers:
    """One way to compute a step."""

    precision: str
    layout: str
    matmul: str

    def words(self) -> list[str]:
        """For a table."""
        return [self.precision, self.layout, self.matmul]


def step_seconds(
    parts: Timed, steps: int = TIMED_STEPS, least: float = 0.0, most: float = math.inf
) -> list[float]:
    """Wall time of each of so many training steps; the model is spent.

    The first step, which pays for compiling kernels and allocating memory, is not among them where there are others.

    Args:
        parts: of a training.
        steps: how many beside the first.
        least: seconds until which there are more steps.
        most: seconds, all steps together, after which no further one is begun.
    """
    technique = replace(parts.technique, epochs=1_000_000)
    scaler = make_scaler(technique.precision, technique.device)
    times: list[float] = []
    moment = time.perf_counter()
    for record in train(parts.model, parts.batches, parts.optimizer, parts.loss, technique, scaler=scaler):
        if isinstance(record, StepRecord):
            record.loss.item()  # waits for a device
            times.append(time.perf_counter() - moment)
            if (len(times) > steps and sum(times[1:]) >= least) or sum(times) >= most:
                break
        moment = time.perf_counter()
    return times[1:] or times


def seconds_per_step(parts: Timed) -> float:
    """The median time of a training step; the model is spent."""
    times = sorted(step_seconds(parts))
    return times[len(times) // 2]


def samples_a_second(parts: Parts) -> float:
    """Training samples a second, from the median step; the model is spent."""
    times = sorted(step_seconds(parts, least=SECONDS_A_BATCH_SIZE))
    return len(parts.batches.rows) / len(parts.batches) / times[len(times) // 2]


def seconds_per_epoch(parts: Parts, processes: int = 1) -> float:
    """The time of an epoch with its validation; the model is spent.

    Args:
        parts: of the training.
        processes: that share the samples of each step; what they tell each other is not timed.
    """
    return with_validation(
        seconds_per_step(replace(parts, batches=replace(parts.batches, ranks=processes))), parts
    )


def with_validation(step: float, parts: Timed) -> float:
    """The time of an epoch whose steps take so many seconds each, and whose validation is tried here."""
    started = time.perf_counter()
    if parts.session.validate is not None:
        parts.session.validate(parts.model)
    return step * len(parts.batches) + time.perf_counter() - started


def ways_to_compute(
    choices: Choices, device: torch.device, *, pictures: bool, wrong: Collection[str] = ()
) -> list[Numbers]:
    """Every precision, layout and route that the person left open, without values that would be wrong here.

    Args:
        choices: resolved.
        device: of the training.
        pictures: whether layouts differ.
        wrong: of `wrong_numbers`.
    """
    options = choices.recipe.training

    def open_values(key: str, given: str | None, several: tuple[str, ...]) -> tuple[str, ...]:
        if given is not None and f"training.{key}" not in choices.reasons:
            return (given,)
        return tuple(value for value in several if value not in wrong)

    precisions = open_values("precision", options.precision, ("fp32", "bf16", "fp16"))
    layouts = ("contiguous", "channels_last") if pictures else ("contiguous",)
    routes = ("highest", "high") if device.type == "cuda" else ("highest", "medium")
    return [
        Numbers(*one)
        for one in product(
            precisions,
            open_values("memory_format", options.memory_format, layouts),
            open_values("matmul", options.matmul, routes),
        )
        # beside autocast hardly a product is left in fp32
        if one[0] == "fp32" or one[2] == open_values("matmul", options.matmul, routes)[0]
    ]


@contextmanager
def computing(way: Numbers, choices: Choices) -> Iterator[None]:
    """The recipe and torch's routes set to one way, then as before."""
    options = choices.recipe.training
    before = options.precision, options.memory_format, options.matmul
    options.precision, options.memory_format, options.matmul = way.precision, way.layout, way.matmul  # type: ignore[assignment]
    set_up_torch(choices.recipe)
    try:
        yield
    finally:
        options.precision, options.memory_format, options.matmul = before
        set_up_torch(choices.recipe)


def tune_precision(
    make: Callable[[], Parts],
    choices: Choices,
    journal: Journal,
    *,
    pictures: bool,
    wrong: Mapping[str, str] | None = None,
) -> None:
    """Time precision, layout and route of products on this machine, in turns, and fix the fastest.

    Args:
        make: gives fresh parts of a training, fed as the recipe says.
        choices: changed in place; what the person gave stays.
        journal: is told the table.
        pictures: whether layouts differ.
        wrong: values that are left out however fast they are, and why.
    """
    device = torch.device(choices.recipe.device or "cpu")
    wrong = wrong or {}
    ways = ways_to_compute(choices, device, pictures=pictures, wrong=wrong)
    every = {word for way in ways_to_compute(choices, device, pictures=pictures) for word in way.words()}
    for value in sorted(every & set(wrong)):
        journal.note(f"{value} is not timed: {wrong[value]}")
    journal.stage("timing", f"timing {len(ways)} ways to compute a training step on this machine")
    least = time_in_turns(ways, make, choices, journal)
    ordered = sorted(ways, key=lambda way: least[way])
    usual = least.get(Numbers("fp32", "contiguous", "highest"))
    rows = [["precision", "layout", "matmul", "ms a step", *(["times as fast as fp32"] if usual else [])]]
    for way in ordered:
        ratio = [f"{usual / least[way]:.2f}"] if usual else []
        rows.append([*way.words(), f"{1000 * least[way]:.2f}", *ratio])
    journal({"kind": "table", "title": "a training step", "rows": rows})
    reason = "the fastest when timed on this machine"
    for number, key in enumerate(("precision", "memory_format", "matmul")):
        if len({way.words()[number] for way in ways}) > 1:
            choices.fix(f"training.{key}", ordered[0].words()[number], reason)
    set_up_torch(choices.recipe)


def time_in_turns(
    ways: Sequence[Numbers], make: Callable[[], Parts], choices: Choices, journal: Journal
) -> dict[Numbers, float]:
    """Seconds of the quickest step of each way; those that are hopeless after the first round are not timed again."""
    least = dict.fromkeys(ways, math.inf)
    seconds: dict[Numbers, float] = {}
    left = list(ways)
    for number in range(ROUNDS_OF_TUNING):
        for way in left:
            started = time.perf_counter()
            with computing(way, choices):
                least[way] = min(least[way], *step_seconds(make(), most=MOST_SECONDS_A_WAY))
            seconds[way] = time.perf_counter() - started
        if number == 0:
            left = [way for way in ways if least[way] < HOPELESS * min(least.values())]
            more = math.ceil(sum(seconds[way] for way in left) * (ROUNDS_OF_TUNING - 1))
            journal.note(f"{len(left)} of them are worth timing again, which takes about {more} s")
    return least
