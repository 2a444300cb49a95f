"""Windows of time series: views of one tensor, gathered by the row that is the last one known.

A sample is a row of the data. Its window is the rows up to it, and its target the rows after it, so that one tensor
(rows, channels) holds everything and nothing is copied but the batch that is asked for.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from flambeau.data.batches import Gather, Inputs


def usable_origins(
    starts: np.ndarray,
    observed: np.ndarray,
    *,
    lookback: int,
    horizon: int,
    begins: np.ndarray | None = None,
) -> np.ndarray:
    """The rows whose window and target lie in one series, and whose target was observed.

    Args:
        starts: (series + 1,) int64: the first row of each series, and last the number of rows.
        observed: (rows,) bool: whether all targets of a row were in the data.
        lookback: rows of a window.
        horizon: rows of a target.
        begins: (series,) first rows that windows may begin with; None for those of the series.

    Returns:
        (n,) int64 rows in rising order: each is the last known row of its window.
    """
    missing = np.concatenate([[0], np.cumsum(~observed)])
    found = []
    firsts = starts[:-1] if begins is None else begins
    for first, end in zip(firsts.tolist(), starts[1:].tolist(), strict=True):
        origins = np.arange(first + lookback - 1, end - horizon, dtype=np.int64)
        if len(origins):
            found.append(origins[missing[origins + 1] == missing[origins + 1 + horizon]])
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def rows_in_windows(count: int, origins: np.ndarray, *, lookback: int, horizon: int) -> np.ndarray:
    """Which rows lie in a window or in its target.

    Args:
        count: rows of all series.
        origins: (n,) last known rows of the windows.
        lookback, horizon: of a window.

    Returns:
        (count,) bool.
    """
    begins = np.bincount(np.maximum(0, origins - lookback + 1), minlength=count + 1)
    ends = np.bincount(np.minimum(count, origins + horizon + 1), minlength=count + 1)
    return np.cumsum(begins - ends)[:count] > 0


def stretches_of(covered: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Which stretch, without a hole and inside one series, each covered row is of.

    Args:
        covered: (rows,) bool.
        starts: (series + 1,) first rows of the series.

    Returns:
        (covered rows,) int64.
    """
    rows = np.flatnonzero(covered)
    return np.cumsum((np.diff(rows, prepend=rows[:1]) != 1) | np.isin(rows, starts))


def target_windows(values: np.ndarray, horizon: int) -> np.ndarray:
    """The rows after each row, as a view.

    Args:
        values: (rows, targets).
        horizon: rows of a target.

    Returns:
        (rows, horizon, targets), read only; NaN beyond the end. The values are copied once, never once a window.
    """
    padding = np.full((horizon, values.shape[1]), np.nan, dtype=values.dtype)
    padded = np.concatenate([values, padding])
    return sliding_window_view(padded, horizon, axis=0)[1:].transpose(0, 2, 1)


def target_tensor(scaled: Tensor, horizon: int) -> Tensor:
    """(rows, targets) → (rows, horizon, targets): the rows after each row, as a view; NaN beyond the end."""
    padding = torch.full((horizon, scaled.shape[1]), torch.nan, dtype=scaled.dtype, device=scaled.device)
    return torch.cat([scaled, padding]).unfold(0, horizon, 1)[1:].transpose(1, 2)


def gather_past(scaled: Tensor, future: Tensor, *, lookback: int, horizon: int) -> Gather:
    """A gather of what a model takes, by the last known row.

    Args:
        scaled: (rows, channels) of all series, one behind the other.
        future: (rows, future) what is known of rows before they come; (rows, 0) for nothing.
        lookback, horizon: of a window.

    Returns:
        rows → past (batch, lookback, channels), and (batch, horizon, future) where anything is known of the future.
    """
    past = scaled.unfold(0, lookback, 1).transpose(1, 2)
    ahead = future.unfold(0, horizon, 1).transpose(1, 2) if future.shape[1] else None

    def gather(rows: Tensor) -> Inputs:
        places = rows.to(scaled.device)
        window = past.index_select(0, places - (lookback - 1))
        return (window,) if ahead is None else (window, ahead.index_select(0, places + 1))

    return gather
