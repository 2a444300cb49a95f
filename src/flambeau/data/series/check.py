"""What is wrong with time series before anything is trained: leaks from the future, overlaps, constant targets."""

from __future__ import annotations

import numpy as np

from flambeau.data.samples import Samples
from flambeau.data.series.missing import every_window, uses_filled, whole_windows
from flambeau.data.split import Split
from flambeau.data.tables.spelling import number_of
from flambeau.schema import Finding

LAGS = 3
STEPS_AHEAD = 8
MOST_CHECKED_ROWS = 20_000
# What columns must explain of a change to come, and how little the target itself, for it to be no honest forecast.
TOO_GOOD, EXPLAINED_BY_ITSELF = 0.98, 0.9
SAME_TIME = 0.9999
FEWEST_ROWS = 20


def check_series(samples: Samples) -> list[Finding]:
    """All findings about the values of time series, errors first.

    Args:
        samples: with their windows.
    """
    series, facts = samples.series, samples.schema.series
    assert series is not None and facts is not None
    findings = []
    lengths = np.diff(series.starts)
    if lengths.max(initial=0) < FEWEST_ROWS:
        few = number_of(int(lengths.max(initial=0)), "row is", "rows are")
        message = f"{few} too few to train, choose and test a forecast"
        findings.append(Finding("error", "too-few-rows", message))
    targets = series.values[:, : len(facts.targets)]
    constant = [
        name for name, width in zip(facts.targets, np.ptp(targets, axis=0), strict=True) if width == 0
    ]
    if len(constant) == len(facts.targets):
        message = f"all values of the target are equal: there is nothing to forecast in '{constant[0]}'"
        findings.append(Finding("error", "constant-target", message, tuple(constant)))
    elif constant:
        still = number_of(len(constant), "target never changes", "targets never change")
        message = f"{still}: the forecast is that value"
        findings.append(Finding("warning", "constant-target", message, tuple(constant)))
    if findings and findings[0].level == "error":
        return findings
    short = int((lengths < facts.horizon + max(1, facts.lookback)).sum())
    if short and len(lengths) > 1:
        message = f"{number_of(short, 'series')} of {len(lengths):,} too short for one window: nothing is learnt here"
        findings.append(Finding("warning", "short-series", message))
    return [*findings, *_leaks(samples), *_same_time(samples)]


def check_filled(samples: Samples) -> list[Finding]:
    """What becomes of windows whose target was missing in part: they are left out, or there would be too few.

    Args:
        samples: with the windows that are used, so that those are counted.
    """
    series, facts = samples.series, samples.schema.series
    assert series is not None and facts is not None
    lookback = max(1, facts.lookback)
    count = len(every_window(series, lookback=lookback, horizon=facts.horizon))
    whole = len(whole_windows(series, lookback=lookback, horizon=facts.horizon))
    if whole == count:
        return []
    of_all = f"{count:,}" if facts.lookback else f"{count:,} that look back on one row"
    if not uses_filled(series, facts.horizon):
        message = (
            f"{number_of(count - whole, 'window')} of {of_all} left out: a value of their own target is missing, and "
            "nothing is trained or tested on a value that was filled in"
        )
        return [Finding("info", "windows-left-out", message)]
    message = (
        f"{number_of(count - whole, 'window')} of {of_all} trained and tested on targets that are filled in with the "
        "values before, as the others would be too few: errors there are errors against a guess, which the last value "
        "meets by itself. A smaller --horizon, or fewer targets, leaves more whole windows"
    )
    return [Finding("warning", "filled-targets", message)]


def _longest(samples: Samples) -> np.ndarray:
    """(rows, channels) of the longest series, at most its last rows, so that the check stays quick."""
    assert samples.series is not None
    starts = samples.series.starts
    longest = int(np.diff(starts).argmax())
    values = samples.series.values[starts[longest] : starts[longest + 1]]
    return values[-MOST_CHECKED_ROWS:]


def _leaks(samples: Samples) -> list[Finding]:
    """Columns known up to now that tell the changes to come: shifted copies, centred means, sums of later values.

    The next change of the target is regressed on its own last rows, and again with the last rows of a column beside
    them. What the target does not tell of its own future no honest column tells almost entirely.
    """
    facts = samples.schema.series
    assert facts is not None
    values = _longest(samples)
    targets, past = len(facts.targets), len(facts.past)
    if not past or len(values) < 10 * (LAGS + STEPS_AHEAD):
        return []
    found: dict[str, str] = {}
    columns = [(name, [targets + place]) for place, name in enumerate(facts.past)]
    together = ("all of them together", list(range(targets, targets + past)))
    for place, target in enumerate(facts.targets):
        for step in range(1, min(facts.horizon, STEPS_AHEAD) + 1):
            change = values[LAGS - 1 + step :, place] - values[LAGS - 2 + step : -1, place]
            own = _lagged(values[:, [place]], step)
            alone = _explained(own, change)
            if alone > EXPLAINED_BY_ITSELF:
                continue
            for name, which in [*columns, together] if past > 1 else columns:
                if name in found or (name == together[0] and found):
                    continue
                beside = np.concatenate([own, _lagged(values[:, which], step)], axis=1)
                if len(change) > 5 * beside.shape[1] and _explained(beside, change) > TOO_GOOD:
                    found[name] = target
    if not found:
        return []
    names = ", ".join(f"'{name}'" if name != together[0] else name for name in found)
    message = (
        f"columns tell the target's future: {names} foretells the next changes of '{next(iter(found.values()))}' "
        "almost exactly, as a copy that is shifted, a centred mean or a sum with later values does. If it cannot be "
        "known when a forecast is made, leave it out: --set data.drop=[NAME]"
    )
    return [Finding("warning", "future-in-columns", message, tuple(found))]


def _lagged(values: np.ndarray, step: int) -> np.ndarray:
    """(rows, channels · lags): the rows that are known `step` rows before each change that is told."""
    count = len(values) - LAGS + 1 - step
    return np.concatenate([values[LAGS - 1 - lag : LAGS - 1 - lag + count] for lag in range(LAGS)], axis=1)


def _explained(inputs: np.ndarray, outputs: np.ndarray) -> float:
    """The share of the variance of (rows,) outputs that a linear function of (rows, inputs) explains."""
    # shares know no unit, and squares of huge numbers no end
    outputs = outputs / max(1.0, float(np.abs(outputs).max(initial=0.0)))
    inputs = inputs / np.maximum(1.0, np.abs(inputs).max(axis=0, initial=0.0))
    centred = outputs - outputs.mean()
    total = float(np.square(centred).sum())
    if total <= 1e-18 * max(1.0, float(np.square(outputs).sum())):
        return 1.0
    spread = inputs.std(axis=0)
    scaled = (inputs - inputs.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    weights = np.linalg.lstsq(scaled, centred, rcond=1e-10)[0]
    return 1 - float(np.square(centred - scaled @ weights).sum()) / total


def _same_time(samples: Samples) -> list[Finding]:
    """Columns whose future is said to be known, and from which the target of the same row follows."""
    facts = samples.schema.series
    assert facts is not None
    if not facts.known:
        return []
    values = _longest(samples)
    known = values[:, values.shape[1] - len(facts.known) :]
    findings = []
    for place, target in enumerate(facts.targets):
        if len(values) > 5 * known.shape[1] and _explained(known, values[:, place]) > SAME_TIME:
            message = (
                f"'{target}' follows from the columns whose future is said to be known ({', '.join(facts.known)}): "
                "they add up to it or equal it, so they cannot be known before it is. Take them out of forecast.known"
            )
            findings.append(Finding("warning", "leak-through-covariate", message, facts.known))
    return findings


def check_windows(samples: Samples, splits: list[Split]) -> list[Finding]:
    """Windows that are trained on or chosen with and whose target reaches into the test part.

    Args:
        samples: with their windows.
        splits: as they were made, or came.
    """
    series, facts = samples.series, samples.schema.series
    assert series is not None and facts is not None
    overlapping = 0
    for split in splits:
        tested = np.zeros(len(series) + 1, dtype=np.int64)
        np.add.at(tested, split.test + 1, 1)
        np.add.at(tested, np.minimum(len(series), split.test + 1 + facts.horizon), -1)
        reached = np.concatenate([[0], np.cumsum(np.cumsum(tested[:-1]) > 0)])
        known = np.concatenate([split.train, split.valid])
        ends = np.minimum(len(series), known + 1 + facts.horizon)
        overlapping += int((reached[ends] > reached[known + 1]).sum())
    if not overlapping:
        return []
    message = (
        f"{number_of(overlapping, 'window')} trained on or chosen with hold values that are tested: the score flatters "
        f"the model; leave at least {facts.horizon:,} rows between the parts"
    )
    return [Finding("warning", "leak-between-splits", message)]
