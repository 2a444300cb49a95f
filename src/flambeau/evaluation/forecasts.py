"""Scores of forecasts: errors in own and in standardised units, of quantiles, of directions; and naive forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flambeau.evaluation.validation import Validation

SMALLEST_UNIT = 1e-12
# A move below this share of a target's spread is the rounding of float32, and says no direction.
SMALLEST_MOVE = 1e-5


@dataclass(frozen=True)
class ForecastScale:
    """What errors are measured by, of each target over the training rows.

    Args:
        spread: standard deviations.
        naive: mean absolute differences of rows a season apart, or of neighbours (Hyndman and Koehler 2006).
    """

    spread: tuple[float, ...]
    naive: tuple[float, ...]


def fit_scale(values: np.ndarray, season: int, stretches: np.ndarray | None = None) -> ForecastScale:
    """The scale of training rows; constant targets keep their unit.

    Args:
        values: (rows, targets) in own units.
        season: rows after which things repeat; 0 for none.
        stretches: (rows,) numbers of the stretches of rows without a hole, each of one series: changes are those inside
            a stretch. None for a single one.
    """
    spread = values.std(axis=0)
    if stretches is None:
        stretches = np.zeros(len(values), dtype=np.int64)
    changes = spread
    for step in (season, 1) if season > 1 else (1,):
        inside = stretches[step:] == stretches[: len(stretches) - step]
        if inside.any():
            changes = np.abs(values[step:] - values[: len(values) - step])[inside].mean(axis=0)
            break
    units = [np.where(unit > SMALLEST_UNIT, unit, 1.0).tolist() for unit in (spread, changes)]
    return ForecastScale(tuple(units[0]), tuple(units[1]))


def window_scores(
    targets: np.ndarray,
    predictions: np.ndarray,
    scale: ForecastScale,
    quantiles: Sequence[float] = (),
    last: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The score of every window, whose means are the scores of a part.

    Args:
        targets: (n, horizon, targets) in own units.
        predictions: (n, horizon, targets, 1 + quantiles) in own units; or (n, horizon, targets, 1), without quantiles.
        scale: of the training rows.
        quantiles: in rising order.
        last: (n, targets) last known values, for the direction of change.

    Returns:
        name → (n,) float64: "mae", "mse", "scaled_mse", "scaled_mae", "mase"; of quantiles "pinball", and "coverage"
        and "width" of the outermost two; "direction", which is NaN where a target has not changed.

    Raises:
        ValueError: shapes that do not belong together, or forecasts that are not finite.
    """
    if predictions.ndim != 4 or predictions.shape[:3] != targets.shape or not len(targets):
        raise ValueError(
            f"forecasts do not fit their targets: got {predictions.shape} and {targets.shape}, expected "
            "(n, horizon, targets, 1 + quantiles) and (n, horizon, targets)"
        )
    if not np.isfinite(predictions).all():
        raise ValueError(
            f"forecasts must be finite: got {int((~np.isfinite(predictions)).sum())} that are not"
        )
    points = predictions[..., 0]
    errors = points - targets
    scaled, sizes = errors / np.array(scale.spread), np.abs(errors)
    scores = {
        "mae": sizes.mean(axis=(1, 2)),
        "mse": np.square(errors).mean(axis=(1, 2)),
        "scaled_mse": np.square(scaled).mean(axis=(1, 2)),
        "scaled_mae": np.abs(scaled).mean(axis=(1, 2)),
        "mase": (sizes / np.array(scale.naive)).mean(axis=(1, 2)),
    }
    if len(quantiles) and predictions.shape[3] == 1 + len(quantiles):
        scores |= _quantile_scores(targets, predictions[..., 1:], quantiles)
    if last is not None:
        scores["direction"] = _directions(targets, points, last, SMALLEST_MOVE * np.array(scale.spread))
    return scores


def _quantile_scores(
    targets: np.ndarray, forecasts: np.ndarray, quantiles: Sequence[float]
) -> dict[str, np.ndarray]:
    levels = np.array(quantiles)
    above = targets[..., None] - forecasts
    found = {"pinball": np.maximum(levels * above, (levels - 1) * above).mean(axis=(1, 2, 3))}
    if len(levels) > 1:
        inside = (above[..., 0] >= 0) & (above[..., -1] <= 0)
        found["coverage"] = inside.mean(axis=(1, 2))
        found["width"] = (forecasts[..., -1] - forecasts[..., 0]).mean(axis=(1, 2))
    return found


def _directions(targets: np.ndarray, points: np.ndarray, last: np.ndarray, least: np.ndarray) -> np.ndarray:
    """(n,) share of moves from the last known value whose side was forecast; NaN where none came, or none was said.

    `least`: (targets,) smaller moves are none that a forecast says.
    """
    moved, move = np.sign(targets - last[:, None]), points - last[:, None]
    said = np.where(np.abs(move) > least, np.sign(move), 0.0)
    right = (said == moved) & (moved != 0)
    counts = ((moved != 0) & (said != 0)).sum(axis=(1, 2))
    return np.divide(right.sum(axis=(1, 2)), counts, out=np.full(len(targets), np.nan), where=counts > 0)


def mean_scores(windows: dict[str, np.ndarray]) -> dict[str, float]:
    """The means over windows, and "rmse" in own units; names without any defined window are left out."""
    means = {name: float(np.nanmean(values)) for name, values in windows.items() if np.isfinite(values).any()}
    return _with_root(means)


def _with_root(means: dict[str, float]) -> dict[str, float]:
    return {**means, "rmse": means["mse"] ** 0.5} if "mse" in means else means


def errors_by_step(
    targets: np.ndarray, predictions: np.ndarray, scale: ForecastScale
) -> dict[str, list[float]]:
    """Scores of each row of the horizon, nearest first: "mae" in own units, "scaled_mse" and "scaled_mae"."""
    errors = predictions[..., 0] - targets
    scaled = errors / np.array(scale.spread)
    return {
        "mae": np.abs(errors).mean(axis=(0, 2)).tolist(),
        "scaled_mse": np.square(scaled).mean(axis=(0, 2)).tolist(),
        "scaled_mae": np.abs(scaled).mean(axis=(0, 2)).tolist(),
    }


def naive_forecasts(
    values: np.ndarray,
    origins: np.ndarray,
    *,
    horizon: int,
    season: int,
    lookback: int,
    starts: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """What a forecast must beat.

    Args:
        values: (rows, targets) in own units.
        origins: (n,) last known rows.
        horizon: rows to forecast.
        season: rows after which things repeat; 0 for none.
        lookback: rows of the same series up to each origin that there are at least.
        starts: (series + 1,) first rows of the series; None for one.

    Returns:
        name → (n, horizon, targets, 1): "last value"; "same row last season", where a season of the series lies before
        each origin, whatever the lookback; and "drift", the line through the first and the last row of the window.
    """
    last = values[origins]
    steps = np.arange(1, horizon + 1)
    found = {"last value": np.repeat(last[:, None], horizon, axis=1)}
    firsts = np.zeros(1, dtype=np.int64) if starts is None else starts
    before = origins - firsts[np.searchsorted(firsts, origins, side="right") - 1] + 1
    if season > 1 and (before >= season).all():
        back = season * (-(-steps // season))
        found["same row last season"] = values[origins[:, None] + (steps - back)[None]]
    if lookback > 2:
        slope = (last - values[origins - lookback + 1]) / (lookback - 1)
        found["drift"] = last[:, None] + slope[:, None] * steps[None, :, None]
    return {name: forecast[..., None] for name, forecast in found.items()}


def validate_forecasts(
    metric: str,
    targets: np.ndarray,
    predictions: np.ndarray,
    scale: ForecastScale,
    quantiles: Sequence[float] = (),
    last: np.ndarray | None = None,
) -> Validation:
    """The mean squared error of forecasts in standardised units, and the score that chooses the best epoch.

    Args:
        metric: name of the score.
        targets, predictions, scale, quantiles, last: as for `window_scores`.
    """
    if not np.isfinite(predictions).all():  # the model has diverged
        return Validation(float("nan"), float("inf"))
    windows = window_scores(targets, predictions, scale, quantiles, last)
    losses = windows["scaled_mse"]
    scores = mean_scores(windows)
    return Validation(
        float(losses.mean()), scores.get(metric, float("inf")), float(losses.std() / len(losses) ** 0.5)
    )
