"""Which windows train, which choose and which only test: by time, with the gap that the horizon demands.

A window belongs to the part in which all of its target lies, so no target of a test window is in a window that is
trained on, not even in part (purging, López de Prado 2018, Advances in Financial Machine Learning, ch. 7). Its rows up
to now may reach into an earlier part: they are known when the forecast is made.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flambeau.data.split import Split

PARTS = ("train", "valid", "test")
TESTED_OF_FOLDS = 0.5


def split_by_time(
    origins: np.ndarray,
    starts: np.ndarray,
    times: np.ndarray,
    *,
    horizon: int,
    fractions: tuple[float, float] = (0.70, 0.15),
    rows: Sequence[int] = (),
    embargo: int = 0,
) -> Split:
    """Split windows by time.

    Args:
        origins: (n,) rows whose windows can be used, each the last known one.
        starts: (series + 1,) first rows of the series, and last the number of rows.
        times: (rows,) int64; several series are cut at the same times.
        horizon: rows of a target.
        fractions: shares of the rows to train on and to choose with; the rest tests.
        rows: of each series, how many train, choose and test, instead of fractions; of two, the rest tests.
        embargo: further rows at the end of each part but the last that no target may lie in.

    Raises:
        ValueError: more rows than there are, or a part without a single window.
    """
    cuts = (
        _cuts_of_rows(starts, rows) if rows else _cuts_of_shares(starts, times, np.cumsum(fractions).tolist())
    )
    places = _places(origins, starts, cuts, horizon, embargo)
    gap = (
        f"{horizon - 1 + embargo:,} rows"
        if horizon + embargo > 2
        else "1 row"
        if horizon + embargo == 2
        else "no row"
    )
    words = " + ".join(f"{count:,}" for count in rows) + " rows" if rows else "shares of the rows"
    reason = f"the newest rows only test ({words}); {gap} between parts, so that no target is in two of them"
    return _checked(places, origins, starts, "by time", reason)


def folds_by_time(
    origins: np.ndarray,
    starts: np.ndarray,
    times: np.ndarray,
    folds: int,
    *,
    horizon: int,
    valid_fraction: float = 0.15,
    embargo: int = 0,
) -> list[Split]:
    """A rolling back-test: the newer half is tested in blocks, each by a model of what was before it (Tashman 2000).

    Args:
        origins, starts, times, horizon, embargo: as for `split_by_time`.
        folds: how many blocks.
        valid_fraction: share of the rows before a block that choose.

    Raises:
        ValueError: fewer than 2 folds, or a part without a single window.
    """
    if folds < 2:
        raise ValueError(f"folds: expected at least 2, got {folds}")
    splits = []
    for fold in range(folds):
        begin = 1 - TESTED_OF_FOLDS + TESTED_OF_FOLDS * fold / folds
        end = 1 - TESTED_OF_FOLDS + TESTED_OF_FOLDS * (fold + 1) / folds
        cuts = _cuts_of_shares(starts, times, [begin * (1 - valid_fraction), begin, end])
        places = _places(origins, starts, cuts, horizon, embargo)
        reason = f"block {fold + 1} of {folds}: tested by a model of the rows before it"
        splits.append(_checked(places, origins, starts, "rolling back-test", reason))
    return splits


def _cuts_of_rows(starts: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """(cuts, series) rows at which the parts end."""
    lengths = np.diff(starts)
    wanted = sum(rows)
    if wanted > lengths.max() or (len(rows) == 2 and wanted >= lengths.max()):
        raise ValueError(
            f"rows: {' + '.join(map(str, rows))} are more than the {int(lengths.max()):,} rows there are"
        )
    ends = np.cumsum(rows)
    if len(ends) == 1:
        raise ValueError(f"rows: expected 2 or 3 numbers (train, valid, test), got {list(rows)}")
    return np.stack([np.minimum(starts[:-1] + end, starts[1:]) for end in ends.tolist()])


def _cuts_of_shares(starts: np.ndarray, times: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """(cuts, series) rows at which the parts end: at the same times in all series."""
    if len(starts) == 2:
        count = int(starts[1])
        return np.array([[round(share * count)] for share in shares], dtype=np.int64)
    sorted_times = np.sort(times)
    cuts = []
    for share in shares:
        when = sorted_times[min(len(times) - 1, round(share * len(times)))]
        last = share >= 1 - 1e-9
        cuts.append([
            end if last else first + int(np.searchsorted(times[first:end], when))
            for first, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
        ])  # fmt: skip
    return np.array(cuts, dtype=np.int64)


def _places(
    origins: np.ndarray, starts: np.ndarray, cuts: np.ndarray, horizon: int, embargo: int
) -> np.ndarray:
    """(n,) 0 train, 1 valid, 2 test, or -1 for windows whose target lies in two parts or in none."""
    series = np.searchsorted(starts, origins, side="right") - 1
    first, last = origins + 1, origins + horizon
    ends = [cuts[number][series] for number in range(len(cuts))]
    begins = [starts[series], *ends]
    ends = [*ends, starts[series + 1]][:3]
    places = np.full(len(origins), -1, dtype=np.int64)
    for part, (begin, end) in enumerate(zip(begins, ends, strict=False)):
        left_out = embargo if part < 2 else 0
        places[(first >= begin) & (last < end - left_out)] = part
    return places


def _checked(places: np.ndarray, origins: np.ndarray, starts: np.ndarray, method: str, reason: str) -> Split:
    parts = [origins[places == part] for part in range(3)]
    for name, part in zip(PARTS, parts, strict=True):
        if not len(part):
            sizes = ", ".join(f"{one} {len(windows):,}" for one, windows in zip(PARTS, parts, strict=True))
            raise ValueError(
                f"the {name} part has no window: {int(starts[-1]):,} rows give {sizes} windows; "
                "fewer rows to forecast (--horizon) or to look back on (forecast.lookback) make more"
            )
    return Split(parts[0], parts[1], parts[2], method, reason)
