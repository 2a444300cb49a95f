"""Schedules: the share of the run that is done → the share of the largest learning rate. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]

FIRST_SHARE = 1 / 25
LAST_SHARE = 1 / 10_000


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def one_cycle(done: float, *, warmup: float) -> float:
    """Rise from 1/25 to 1 in the share `warmup` of the run, then fall to 1/10,000, both along a cosine.

    Source: Smith and Topin 2019, "Super-convergence", in the two-phase form of torch.optim.lr_scheduler.OneCycleLR.
    """
    if done < warmup:
        return _cosine_between(FIRST_SHARE, 1.0, done / warmup)
    return _cosine_between(1.0, LAST_SHARE, (done - warmup) / (1 - warmup))


def cosine(done: float, *, warmup: float) -> float:
    """Rise linearly from 0 in the share `warmup`, then fall to 0 along a cosine (Loshchilov and Hutter 2017)."""
    if done < warmup:
        return done / warmup
    return _cosine_between(1.0, 0.0, (done - warmup) / (1 - warmup))


def constant(done: float, *, warmup: float) -> float:
    """Rise linearly from 0 in the share `warmup`, then stay."""
    return done / warmup if done < warmup else 1.0
