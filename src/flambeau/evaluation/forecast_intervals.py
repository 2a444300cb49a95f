"""Honest intervals of forecasts.

Neighbouring windows share most of their rows, so windows are resampled in blocks of time: intervals that took each for
a new observation would be far too narrow (Künsch 1989; circular blocks: Politis and Romano 1992).
"""

from __future__ import annotations

import numpy as np

from flambeau.evaluation.forecasts import mean_scores

BLOCKS_AT_ONCE = 2_000_000


def block_length(horizon: int, count: int) -> int:
    """Windows a block: those whose targets overlap, at least the cube root of all; at most a quarter of them."""
    return max(1, min(max(horizon, round(count ** (1 / 3))), count // 4))


def block_means(
    values: np.ndarray, *, block: int, resamples: int, seed: int, times: np.ndarray | None = None
) -> np.ndarray:
    """Means of circular block resamples.

    Args:
        values: (n, columns) of windows in the order of time; NaN counts for nothing.
        block: neighbouring times drawn together.
        resamples: how many.
        seed: of the draws.
        times: (n,) of the windows, where several series have windows at the same time: these are drawn together, as
            what moves them moves them all. None where each window has its own.

    Returns:
        (resamples, columns); NaN where a resample has no defined value.
    """
    there = np.isfinite(values)
    parts = [np.where(there, values, 0.0), there.astype(np.float64)]
    if times is not None:
        parts = [_sums_by_time(part, times) for part in parts]
    count = len(parts[0])
    sums, counts = (
        np.concatenate([np.zeros((1, part.shape[1])), np.cumsum(np.concatenate([part, part]), axis=0)])
        for part in parts
    )
    blocks = -(-count // block)
    generator = np.random.default_rng(seed)
    found = []
    at_once = max(1, BLOCKS_AT_ONCE // (blocks * values.shape[1]))
    for start in range(0, resamples, at_once):
        begins = generator.integers(0, count, size=(min(at_once, resamples - start), blocks))
        total = (sums[begins + block] - sums[begins]).sum(axis=1)
        number = (counts[begins + block] - counts[begins]).sum(axis=1)
        found.append(np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0))
    return np.concatenate(found)


def _sums_by_time(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    different, places = np.unique(times, return_inverse=True)
    sums = np.zeros((len(different), values.shape[1]))
    np.add.at(sums, places, values)
    return sums


def count_times(windows: int, times: np.ndarray | None) -> int:
    """How many different times windows have."""
    return windows if times is None else len(np.unique(times))


def forecast_intervals(
    windows: dict[str, np.ndarray],
    *,
    horizon: int,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    times: np.ndarray | None = None,
) -> dict[str, dict[str, float]]:
    """Every score with the interval of its block resamples.

    Args:
        windows: from `window_scores`, in the order of time.
        horizon: rows of a target, which decides the length of a block.
        resamples, confidence, seed: as for `bootstrap_intervals`.
        times: of the windows, as for `block_means`.

    Returns:
        name → {"value", "low", "high"}.
    """
    names = [name for name, values in windows.items() if np.isfinite(values).any()]
    together = np.stack([windows[name] for name in names], axis=1)
    block = block_length(horizon, count_times(len(together), times))
    drawn = block_means(together, block=block, resamples=resamples, seed=seed, times=times)
    values = mean_scores(windows)
    found = {name: _interval(drawn[:, place], values[name], confidence) for place, name in enumerate(names)}
    if "mse" in names:
        found["rmse"] = _interval(np.sqrt(drawn[:, names.index("mse")]), values["rmse"], confidence)
    return found


def paired_forecasts(
    first: np.ndarray,
    second: np.ndarray,
    *,
    horizon: int,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    times: np.ndarray | None = None,
) -> dict[str, float]:
    """How much the mean of the first model's windows (n,) exceeds the second's, with an interval of the same blocks."""
    differences = first - second
    block = block_length(horizon, count_times(len(differences), times))
    drawn = block_means(differences[:, None], block=block, resamples=resamples, seed=seed, times=times)[:, 0]
    return _interval(drawn, float(np.nanmean(differences)), confidence)


def _interval(drawn: np.ndarray, value: float, confidence: float) -> dict[str, float]:
    defined = drawn[np.isfinite(drawn)]
    if not len(defined):
        return {"value": value, "low": value, "high": value}
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return {"value": value, "low": float(low), "high": float(high)}
