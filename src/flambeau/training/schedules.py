"""Schedules: the share of the run that is done → the share of the largest learning rate.

All but `ReduceOnPlateau` are pure functions. Epochs are told as shares of the run, so that a schedule knows nothing
of its length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Schedule = Callable[[float], float]

FIRST_SHARE = 1 / 25
LAST_SHARE = 1 / 10_000
# Shares of epochs are rounded; a step of the longest run is a larger share than this.
ROUNDING = 1e-10


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def warm_up(done: float, *, warmup: float) -> float:
    """Rise linearly from 0 to 1 in the share `warmup` of the run (Goyal et al. 2017), then stay."""
    return done / warmup if done < warmup else 1.0


def one_cycle(done: float, *, warmup: float) -> float:
    """Rise from 1/25 to 1 in the share `warmup` of the run, then fall to 1/10,000, both along a cosine.

    Source: Smith and Topin 2019, "Super-convergence", in the two-phase form of torch.optim.lr_scheduler.OneCycleLR.
    """
    if done < warmup:
        return _cosine_between(FIRST_SHARE, 1.0, done / warmup)
    return _cosine_between(1.0, LAST_SHARE, (done - warmup) / (1 - warmup))


def cosine(done: float, *, warmup: float, end: float = 0.0) -> float:
    """Rise linearly from 0 in the share `warmup`, then fall to `end` along a cosine (Loshchilov and Hutter 2017)."""
    if done < warmup:
        return done / warmup
    return _cosine_between(1.0, end, (done - warmup) / (1 - warmup))


def linear(done: float, *, warmup: float, end: float = 0.0) -> float:
    """Rise linearly from 0 in the share `warmup`, then fall to `end` along a straight line."""
    if done < warmup:
        return done / warmup
    return 1.0 + (end - 1.0) * (done - warmup) / (1 - warmup)


def constant(done: float, *, warmup: float) -> float:
    """Rise linearly from 0 in the share `warmup`, then stay."""
    return warm_up(done, warmup=warmup)


def step_falls(done: float, *, warmup: float, step_size: float, gamma: float) -> float:
    """Fall by the factor `gamma` each time another `step_size` of the run is done, after a warm-up.

    As torch.optim.lr_scheduler.StepLR, with `step_size` a share of the run.
    """
    return warm_up(done, warmup=warmup) * gamma ** math.floor((done + ROUNDING) / step_size)


def multi_step(done: float, *, warmup: float, milestones: Sequence[float], gamma: float) -> float:
    """Fall by the factor `gamma` at each milestone, a share of the run, after a warm-up.

    As torch.optim.lr_scheduler.MultiStepLR.
    """
    passed = sum(milestone <= done + ROUNDING for milestone in milestones)
    return warm_up(done, warmup=warmup) * gamma**passed


def own_schedule(done: float, *, function: Callable[[float], float]) -> float:
    """A person's own function of the share that is done; it brings its own warm-up.

    Raises:
        ValueError: it gave something that is not a number of at least 0.
    """
    factor = float(function(done))
    if not 0 <= factor < math.inf:
        raise ValueError(
            f"the schedule's own function gave {factor} for {done:g} of the run, expected a share of the rate, "
            "0 or above"
        )
    return factor


@dataclass
class ReduceOnPlateau:
    """Fall by the factor `gamma` after more than `patience` epochs in a row without a better score, after a warm-up.

    As torch.optim.lr_scheduler.ReduceLROnPlateau with a threshold of 0. It is the one schedule with a memory: `note`
    is called after each validation, and `state` goes into the checkpoint.

    Args:
        warmup: share of the run in which the rate rises linearly.
        gamma: factor of each fall.
        patience: epochs without a better score that are borne.
        factor: product of the falls so far.
        best: best score so far; None before the first.
        bad_epochs: epochs since then, or since the last fall.
    """

    warmup: float
    gamma: float
    patience: int
    factor: float = 1.0
    best: float | None = None
    bad_epochs: int = 0

    def __call__(self, done: float) -> float:
        return warm_up(done, warmup=self.warmup) * self.factor

    def note(self, score: float, higher_is_better: bool) -> None:
        """Take in the validation score of an epoch; one that is not a number counts as no better."""
        better = self.best is None or (score > self.best if higher_is_better else score < self.best)
        if better and not math.isnan(score):
            self.best, self.bad_epochs = score, 0
            return
        self.bad_epochs += 1
        if self.bad_epochs > self.patience:
            self.factor, self.bad_epochs = self.factor * self.gamma, 0

    def state(self) -> dict[str, Any]:
        """What it remembers, in plain values."""
        return {"factor": self.factor, "best": self.best, "bad_epochs": self.bad_epochs}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`; an empty one is that of the beginning."""
        self.factor = float(state.get("factor", 1.0))
        self.best = state.get("best")
        self.bad_epochs = int(state.get("bad_epochs", 0))
