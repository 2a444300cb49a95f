"""What the report of forecasts shows: windows, errors by step, each target, quantiles, and the back-test of prices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from flambeau.evaluation.wording import band_words, tell_band
from flambeau.insight.facts import Evaluation, RunFacts
from flambeau.insight.plots_of_forecasts import DrawnWindow, plot_by_step, plot_tested_time, plot_window
from flambeau.insight.style import plain
from flambeau.insight.wording import format_interval, format_metric, format_number
from flambeau.schema import SeriesFacts
from flambeau.transforms.series import moments_in_words, times_to_come

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_PAST = 200
_MOST_POINTS = 1500
_MOST_TARGETS = 40


def forecast_figures(facts: RunFacts) -> Iterator[tuple[str, Figure]]:
    """(name, figure): the best, the median and the worst window of the first target, all of the tested time, errors."""
    found = _parts(facts)
    if found is None:
        return
    series, evaluation = found
    name, count = plain(series.targets[0]), len(evaluation.targets)
    errors = np.abs(evaluation.predictions[:, :, 0, 0] - evaluation.targets[:, :, 0]).mean(axis=1)
    order = np.argsort(errors, kind="stable")
    chosen = {"best": order[0], "median": order[count // 2], "worst": order[-1]}
    if series.horizon == 1:
        # two plots side by side; the tested time below shows the rest
        del chosen["median"]
    known = _known_values(evaluation)
    band = _band_words(series)
    for word, place in chosen.items():
        window = _window(series, evaluation, known, int(place))
        yield f"window_{word}", plot_window(window, f"{name}: the {word} of {count:,} windows", band)
    yield "tested_time", _tested_time(series, evaluation)
    told = (facts.scores or {}).get("forecast") or {}
    by_step = told.get("by_step") or {}
    if series.horizon > 1 and by_step:
        key = "mae" if len(series.targets) == 1 else "scaled_mae"
        title = "Mean absolute error" if key == "mae" else "Standardised MAE"
        others = {
            label: values[key]
            for label, values in (told.get("baselines_by_step") or {}).items()
            if key in values
        }
        yield "by_step", plot_by_step(f"{title}, by step ahead", by_step[key], others, step_in_words(series))


def forecast_context(facts: RunFacts) -> dict[str, Any] | None:
    """Tables of the section on forecasts; None for other runs."""
    found = _parts(facts)
    if found is None:
        return None
    series, evaluation = found
    told = (facts.scores or {}).get("forecast") or {}
    return {
        "series": series,
        "windows": len(evaluation.targets),
        "apart": step_in_words(series),
        "targets": _target_rows(series, evaluation),
        "more_targets": max(0, len(series.targets) - _MOST_TARGETS),
        "quantiles": _quantile_rows(series, evaluation),
        "band": tell_band((facts.scores or {}).get("test", {}).get("coverage"), series.quantiles),
        "back_test": _back_test(told.get("back_test")),
    }


def step_in_words(series: SeriesFacts) -> str:
    """How far rows are apart, with an article where one is needed: "an hour", "15 minutes"."""
    words = series.frequency
    if words[:1].isdigit() or words == "irregular":
        return words
    return ("an " if words[:1] in "aeio" or words.startswith("hour") else "a ") + words


def _parts(facts: RunFacts) -> tuple[SeriesFacts, Evaluation] | None:
    if facts.schema is None or facts.schema.series is None or facts.evaluation is None:
        return None
    if facts.evaluation.predictions.ndim != 4 or not len(facts.evaluation.targets):
        return None
    return facts.schema.series, facts.evaluation


def _known_values(evaluation: Evaluation) -> dict[int, float]:
    """Row of the data → value of the first target, as far as the tested windows hold it."""
    first = evaluation.targets[:, 0, 0]
    return dict(zip((evaluation.indices + 1).tolist(), first.tolist(), strict=True))


def _window(series: SeriesFacts, evaluation: Evaluation, known: dict[int, float], place: int) -> DrawnWindow:
    origin = int(evaluation.indices[place])
    most = min(_MOST_PAST, max(2 * series.horizon, 24))
    past = np.array([known.get(row, np.nan) for row in range(origin - most + 1, origin + 1)])
    there = np.flatnonzero(np.isfinite(past))
    past = past[there[0] :] if len(there) else past[:0]
    predicted = evaluation.predictions[place, :, 0]
    has_band = len(series.quantiles) > 1
    nothing = np.empty(0)
    return DrawnWindow(
        past,
        evaluation.targets[place, :, 0],
        predicted[:, 0],
        predicted[:, 1] if has_band else nothing,
        predicted[:, -1] if has_band else nothing,
        _window_labels(series, evaluation, place, len(past)),
    )


def _window_labels(series: SeriesFacts, evaluation: Evaluation, place: int, past: int) -> tuple[str, ...]:
    """Times of the rows of a window; those before it are counted back in the same steps."""
    if evaluation.times is None or series.unit == "row":
        return ()
    last = int(evaluation.times[place])
    ahead = times_to_come(last, series.unit, series.step, series.horizon)
    origins = {int(row): int(time) for row, time in zip(evaluation.indices, evaluation.times, strict=True)}
    origin = int(evaluation.indices[place])
    before = [origins.get(row) for row in range(origin - past + 1, origin + 1)]
    if past and before[0] is None:
        before[0] = origins.get(origin - past + 2, last)
    known = [last if time is None else time for time in before]
    return moments_in_words(np.array([*known, *ahead.tolist()], dtype=np.int64), "m")


def _band_words(series: SeriesFacts) -> str:
    if len(series.quantiles) < 2:
        return ""
    return band_words(series.quantiles[0], series.quantiles[-1])


def _tested_time(series: SeriesFacts, evaluation: Evaluation) -> Figure:
    """The first target as it was forecast one step ahead; at even steps where there are very many windows."""
    order = np.argsort(evaluation.indices, kind="stable")
    order = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), _MOST_POINTS)).astype(int))]
    predicted = evaluation.predictions[order, 0, 0]
    labels: tuple[str, ...] = ()
    if evaluation.times is not None and series.unit != "row":
        labels = moments_in_words(evaluation.times[order], "m")
    bands = (predicted[:, 1], predicted[:, -1]) if len(series.quantiles) > 1 else None
    title = f"{plain(series.targets[0])}, each row as it was forecast one step ahead"
    return plot_tested_time(title, evaluation.targets[order, 0, 0], predicted[:, 0], bands, labels)


def _target_rows(series: SeriesFacts, evaluation: Evaluation) -> list[dict[str, str]]:
    """One row a target: its errors in own units, and the last value's on the windows where that is known.

    Where these are not all windows, the name of the last value's error says of how many it is.
    """
    rows = []
    last = _last_values(evaluation)
    for place, name in enumerate(series.targets[:_MOST_TARGETS]):
        errors = evaluation.predictions[:, :, place, 0] - evaluation.targets[:, :, place]
        mae = float(np.abs(errors).mean())
        row = {
            "name": name,
            "mae": format_number(mae, 4),
            "rmse": format_number(float(np.sqrt(np.square(errors).mean())), 4),
            "bias": format_number(float(errors.mean()), 3),
            "naive": "–",
        }
        there = np.isfinite(last[:, place])
        if there.any():
            naive = np.abs(last[there, place, None] - evaluation.targets[there][:, :, place]).mean()
            of = "" if there.all() else f" ({there.sum():,} of {len(there):,} windows)"
            row["naive"] = format_number(float(naive), 4) + of
        rows.append(row)
    return rows


def _last_values(evaluation: Evaluation) -> np.ndarray:
    """(n, targets) the last known values of each window as far as other windows hold them, else NaN."""
    places = {int(row) + 1: place for place, row in enumerate(evaluation.indices)}
    found = np.full((len(evaluation.indices), evaluation.targets.shape[2]), np.nan)
    for place, origin in enumerate(evaluation.indices.tolist()):
        if origin in places:
            found[place] = evaluation.targets[places[origin], 0]
    return found


def _quantile_rows(series: SeriesFacts, evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """(quantile, share of what came that lies below it, what that says)."""
    rows = []
    for place, quantile in enumerate(series.quantiles, start=1):
        share = float((evaluation.targets < evaluation.predictions[..., place]).mean())
        gap = share - quantile
        words = "about right" if abs(gap) < 0.03 else ("set too high" if gap > 0 else "set too low")
        rows.append((f"{100 * quantile:g} %", f"{100 * share:.1f} %", words))
    return rows


def _back_test(told: Any) -> dict[str, Any] | None:
    """The back-test of prices as it is shown: rows of (what, mean, interval), and the sentence that it comes to."""
    if not isinstance(told, dict):
        return None
    names = {
        "strategy": "by the forecasts, fees paid",
        "holding": "holding all the time",
        "difference": f"by the forecasts, above holding {told.get('rival', 'always')}",
    }
    rows = [
        (words, _share(told[key]["value"]), f"{_share(told[key]['low'])} to {_share(told[key]['high'])}")
        for key, words in names.items()
        if key in told
    ]
    # where no direction was forecast, none was right or wrong
    if "hits" in told and told.get("said", 1.0):
        hits = told["hits"]
        rows.append(
            (
                "rise or fall foreseen",
                format_metric("accuracy", hits["value"]),
                format_interval("accuracy", hits),
            )
        )
    return {
        "rows": rows,
        "sentence": str(told.get("sentence", "")),
        "edge": bool(told.get("edge")),
        "trades": int(told.get("trades", 0)),
        "fee": _share(told.get("fee", 0.0)),
        "rises": format_metric("accuracy", told.get("rises")),
    }


def _share(value: float) -> str:
    return f"{100 * value:.3f} %".replace("-", "−")
