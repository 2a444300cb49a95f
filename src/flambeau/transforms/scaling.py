"""One column of numbers or dates to the scaled numbers that a model takes.

A scale is fitted once, on training values, and is plain data: it does not know of the rows that it is used on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

ROWS_PER_QUANTILE = 10
FEWEST_QUANTILES = 10
MOST_QUANTILES = 1000
LARGEST_NORMAL = 5.2
LARGEST_SCALED = 1e6
LARGEST_VALUE = 1e300
DATE_PARTS = ("days", "year", "month", "weekday", "season_sine", "season_cosine")
SCALINGS = ("quantile", "robust", "standard")


@dataclass(frozen=True)
class NumberFeature:
    """One number that the model sees, and how it is made from a column.

    Args:
        column: the column that it comes from.
        part: "value", "missing" (1 where the column is missing), or one of `DATE_PARTS`.
        scaling: "quantile", "robust" or "standard"; "none" for a value that is passed on as it is.
        fill: the training median, which stands for a missing value.
        centre, spread: what is subtracted, then divided by; a spread of 0 marks a constant.
        quantiles: evenly spaced quantiles of the training values, for "quantile" only.
    """

    column: str
    part: str
    scaling: str
    fill: float = 0.0
    centre: float = 0.0
    spread: float = 1.0
    quantiles: tuple[float, ...] = ()

    def scale(self, values: np.ndarray) -> np.ndarray:
        """(rows,) raw float64 with NaN → (rows,) float64 without."""
        filled = bound_values(np.where(np.isfinite(values), values, self.fill))
        if self.scaling == "none":
            return filled
        if self.spread == 0:
            return np.zeros_like(filled)
        if self.scaling == "quantile":
            return to_normal_quantiles(filled, np.asarray(self.quantiles))
        with np.errstate(over="ignore"):
            scaled = (filled - self.centre) / self.spread
        scaled = np.clip(scaled, -LARGEST_SCALED, LARGEST_SCALED)
        return clip_smoothly(scaled) if self.scaling == "robust" else scaled


def fit_number_column(name: str, kind: str, values: np.ndarray, scaling: str) -> list[NumberFeature]:
    """The features of one column: its value or date parts, and whether it is missing where training rows lack it.

    Args:
        name: the column.
        kind: "number", "boolean" (always standardised) or "date".
        values: (rows,) of training; infinities count as missing.
        scaling: one of `SCALINGS`.
    """
    parts = DATE_PARTS if kind == "date" else ("value",)
    method = "standard" if kind == "boolean" else scaling
    features = [_fit_scale(name, part, method, number_part(values, part)) for part in parts]
    if number_part(values, "missing").any():
        features.append(NumberFeature(name, "missing", "none"))
    return features


def number_part(values: np.ndarray, part: str) -> np.ndarray:
    """One number a row: the value itself, whether it is missing, or a part of a date. (rows,) → (rows,) float64."""
    if values.dtype.kind != "M":
        return values.astype(np.float64) if part == "value" else (~np.isfinite(values)).astype(np.float64)
    missing = np.isnat(values)
    if part == "missing":
        return missing.astype(np.float64)
    days = values.astype("datetime64[D]")
    years = days.astype("datetime64[Y]")
    year_share = (days - years.astype("datetime64[D]")).astype(np.float64) / 365.25
    parts = {
        "days": values.astype("datetime64[s]").astype(np.int64) / 86_400,
        "year": years.astype(np.int64) + 1970,
        "month": (days.astype("datetime64[M]") - years.astype("datetime64[M]")).astype(np.int64) + 1,
        "weekday": (days.astype(np.int64) + 3) % 7,
        "season_sine": np.sin(2 * np.pi * year_share),
        "season_cosine": np.cos(2 * np.pi * year_share),
    }
    return np.where(missing, np.nan, parts[part].astype(np.float64))


def bound_values(values: np.ndarray) -> np.ndarray:
    """Finite values of any shape within ±`LARGEST_VALUE`, and 0 for those too small to divide by."""
    smallest = 1 / LARGEST_VALUE
    return np.where(np.abs(values) < smallest, 0.0, np.clip(values, -LARGEST_VALUE, LARGEST_VALUE))


def to_normal_quantiles(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Map values through their training distribution to a standard normal one, as sklearn's QuantileTransformer.

    A value between two quantiles is interpolated; a value that spans several quantiles (a tie) gets the middle of
    its span: the mean of the interpolations from below and from above. The result is within ±`LARGEST_NORMAL`.

    Args:
        values: (rows,) finite.
        quantiles: (knots,) ascending, evenly spaced in probability from 0 to 1.
    """
    levels = np.linspace(0, 1, len(quantiles))
    below = np.interp(values, quantiles, levels)
    above = -np.interp(-values, -quantiles[::-1], -levels[::-1])
    normal = torch.special.ndtri(torch.from_numpy((below + above) / 2)).numpy()
    return np.clip(normal, -LARGEST_NORMAL, LARGEST_NORMAL)


def clip_smoothly(values: np.ndarray) -> np.ndarray:
    """x / sqrt(1 + (x / 3)²): nearly x around 0, never beyond ±3 (RealMLP, Holzmüller et al. 2024)."""
    return values / np.hypot(1.0, values / 3.0)


def _fit_scale(name: str, part: str, scaling: str, values: np.ndarray) -> NumberFeature:
    known = bound_values(values[np.isfinite(values)])
    if known.size == 0:
        return NumberFeature(name, part, scaling, spread=0.0)
    low, first, median, third, high = (float(q) for q in np.quantile(known, [0, 0.25, 0.5, 0.75, 1]))
    if low == high:
        return NumberFeature(name, part, scaling, fill=median, centre=median, spread=0.0)
    if scaling == "quantile":
        knots = int(np.clip(known.size // ROWS_PER_QUANTILE, FEWEST_QUANTILES, MOST_QUANTILES))
        quantiles = np.maximum.accumulate(np.quantile(known, np.linspace(0, 1, knots)))
        return NumberFeature(name, part, scaling, fill=median, quantiles=tuple(quantiles.tolist()))
    if scaling == "robust":
        spread = third - first if third > first else high / 2 - low / 2
        return NumberFeature(name, part, scaling, fill=median, centre=median, spread=spread)
    largest = max(abs(low), abs(high))
    shrunk = known / largest  # so that the squares of huge values do not overflow
    centre, spread = float(shrunk.mean()) * largest, float(shrunk.std()) * largest
    return NumberFeature(name, part, scaling, fill=median, centre=centre, spread=spread)
