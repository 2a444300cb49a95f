"""How long an answer takes: several functions in turn, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

WARM_UP, FEWEST, MOST = 2, 5, 50
SECONDS = 3.0


def median_milliseconds(functions: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median wall time of each function in milliseconds, called one after the other in rounds.

    As many rounds as fit into about three seconds, between 5 and 50.
    """
    for function in functions.values():
        for _ in range(WARM_UP):
            function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    started = time.perf_counter()
    for round_ in range(MOST):
        if round_ >= FEWEST and time.perf_counter() - started > SECONDS:
            break
        for name, function in functions.items():
            before = time.perf_counter()
            function()
            times[name].append((time.perf_counter() - before) * 1e3)
    return {name: float(np.median(values)) for name, values in times.items()}
