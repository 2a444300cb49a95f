"""Findings about the columns of a table: those that say nothing, name the row, or give the target away."""

from __future__ import annotations

import numpy as np
import pyarrow

from flambeau.data.samples import Samples
from flambeau.data.tables.sums import check_sums
from flambeau.schema import Finding

_MOST_ROWS = 50_000
_FEWEST_ROWS = 30
_MOSTLY_MISSING = 0.95
_IDENTIFIER_SHARE = 0.95
_LEAK_CORRELATION = 0.999
_LEAK_AUC = 0.995
_LEAK_ERRORS = 0.01
_ROWS_A_VALUE = 10
_BINS = 256
_NAMED = 8


def check_columns(samples: Samples) -> list[Finding]:
    """Columns that are empty, constant, mostly missing, identifier-like or leak the target, alone or together.

    Columns that the reader has set aside already are not looked at. Of many rows, evenly spaced ones are.
    """
    if samples.columns is None or len(samples) < _FEWEST_ROWS:
        return []
    rows = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), _MOST_ROWS)).astype(np.int64))
    found: dict[str, list[str]] = {}
    alone: tuple[str, ...] = ()
    others = {column.name for column in samples.schema.columns if column.kind in ("image", "text")}
    for name, values in samples.columns.items():
        # texts differ from row to row, as they should; what they give away, `check_texts` looks for
        if name in others:
            continue
        code, remark = _judge(values, rows, samples)
        if code:
            found.setdefault(code, []).append(f"{name} ({remark})" if remark else name)
            alone += (name,) if code == "leaking-columns" else ()
    told = [
        Finding("warning", code, message.format(columns=_named(found[code])), tuple(found[code]))
        for code, message in _MESSAGES.items()
        if code in found
    ]
    return [*told, *check_sums(samples, alone)]


_MESSAGES = {
    "leaking-columns": "columns that alone tell the target almost perfectly: {columns}; if they are only "
    "known once the target is, the score means nothing: train without them (--set data.drop=[COLUMN])",
    "identifier-columns": "columns that look like a name or a number of the row: {columns}; a model can only "
    "learn them by heart (--set data.drop=[COLUMN])",
    "empty-columns": "columns without any value: {columns}; nothing can be learnt from them",
    "constant-columns": "columns with a single value: {columns}; nothing can be learnt from them",
    "mostly-missing-columns": "columns with hardly any value: {columns}; they help only if being present "
    "means something",
}


def _named(columns: list[str]) -> str:
    more = len(columns) - _NAMED
    return ", ".join(columns[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _judge(values: np.ndarray, rows: np.ndarray, samples: Samples) -> tuple[str, str]:
    """The code of what is wrong with a column, and a remark; empty where nothing is."""
    codes, missing = _coded(values)
    present = codes[~missing]
    if not len(present):
        return "empty-columns", ""
    distinct = len(np.unique(present))
    if distinct == 1 and not missing.any():
        return "constant-columns", ""
    remark = _leak(values[rows], samples.targets[rows], samples.schema.task)
    if remark:
        return "leaking-columns", remark
    if missing.mean() > _MOSTLY_MISSING:
        return "mostly-missing-columns", f"{missing.mean():.1%} missing"
    is_text = values.dtype == object
    if is_text and distinct >= _IDENTIFIER_SHARE * len(present) and len(present) >= _FEWEST_ROWS:
        return "identifier-columns", f"{distinct:,} values in {len(present):,} rows"
    if not is_text and _counts_up(present, distinct):
        return "identifier-columns", "counts up by one"
    return "", ""


def _coded(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A column as float64 numbers (codes for texts, seconds for dates), and where it is missing."""
    if values.dtype == object:
        encoded = pyarrow.array(values, type=pyarrow.string(), from_pandas=True).dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.float64)
        return codes, codes < 0
    if np.issubdtype(values.dtype, np.datetime64):
        missing = np.isnat(values)
        return np.where(missing, 0, values.astype("datetime64[s]").astype(np.int64)).astype(
            np.float64
        ), missing
    numbers = values.astype(np.float64)
    return numbers, np.isnan(numbers)


def _counts_up(present: np.ndarray, distinct: int) -> bool:
    if distinct != len(present) or len(present) < _FEWEST_ROWS:
        return False
    return bool((np.diff(np.sort(present)) == 1).all())


def _leak(values: np.ndarray, targets: np.ndarray, task: str) -> str:
    """How a column alone tells the target; empty where it does not."""
    codes, missing = _coded(values)
    is_text = values.dtype == object
    if task == "multilabel":
        remarks = [_leak_of_classes(codes, missing, is_text, column > 0.5) for column in targets.T]
        return next((remark for remark in remarks if remark), "")
    if task == "classification":
        return _leak_of_classes(codes, missing, is_text, targets)
    return _leak_of_number(codes, missing, is_text, targets)


def _leak_of_number(codes: np.ndarray, missing: np.ndarray, is_text: bool, targets: np.ndarray) -> str:
    known, wanted = codes[~missing], targets[~missing]
    if len(known) < _FEWEST_ROWS or np.ptp(wanted) == 0 or np.ptp(known) == 0:
        return ""
    if is_text:
        values, places, counts = np.unique(known, return_inverse=True, return_counts=True)
        if len(values) * _ROWS_A_VALUE > len(known):
            return ""
        means = np.bincount(places.reshape(-1), weights=wanted) / counts
        explained = (
            1 - np.square(wanted - means[places.reshape(-1)]).sum() / np.square(wanted - wanted.mean()).sum()
        )
        return f"its values explain {explained:.2%} of the variance" if explained >= _LEAK_CORRELATION else ""
    pairs = ((known, wanted, "correlation"), (_ranks(known), _ranks(wanted), "rank correlation"))
    for one, other, name in pairs:
        correlation = abs(float(np.corrcoef(one, other)[0, 1]))
        if correlation >= _LEAK_CORRELATION:
            return f"{name} {correlation:.4f}"
    return ""


def _leak_of_classes(codes: np.ndarray, missing: np.ndarray, is_text: bool, targets: np.ndarray) -> str:
    """Whether a column's values (or quantile bins of a number, missing ones apart) tell the class."""
    classes, wanted = np.unique(targets, return_inverse=True)
    wanted = wanted.reshape(-1)
    if len(classes) < 2:
        return ""
    known = codes[~missing]
    distinct = np.unique(known)
    if len(distinct) * _ROWS_A_VALUE > len(codes):
        if is_text:
            return ""
        bins = max(2, min(_BINS, len(known) // 20))
        distinct = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))
    places = np.where(missing, len(distinct) + 1, np.searchsorted(distinct, codes))
    table = np.zeros((len(distinct) + 2, len(classes)), dtype=np.int64)
    np.add.at(table, (places, wanted), 1)
    told = table.max(axis=1).sum()
    majority = np.bincount(wanted).max()
    if len(wanted) - told <= _LEAK_ERRORS * (len(wanted) - majority):
        return f"tells {told / len(wanted):.1%} of the classes"
    if len(classes) == 2 and not is_text and min(np.bincount(wanted[~missing], minlength=2)) >= 5:
        area = _area_under_curve(known, wanted[~missing] == 1)
        if area >= _LEAK_AUC:
            return f"area under the ROC curve {area:.4f}"
    return ""


def _area_under_curve(values: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve of a column as a score, in the better of both directions (Mann-Whitney U)."""
    positives = int(positive.sum())
    pairs = positives * (len(values) - positives)
    area = float((_ranks(values)[positive].sum() - positives * (positives + 1) / 2) / pairs)
    return max(area, 1 - area)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values get the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[places.reshape(-1)]
