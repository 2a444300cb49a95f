"""Scores of forecasts on other data: every window of a table whose rows to come are there, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.join import fingerprint
from flambeau.data.known.named import place_of
from flambeau.data.samples import series_numbers
from flambeau.data.series.series import read_series_inputs
from flambeau.data.series.windows import usable_origins
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.forecasts import BATCH, answer_windows, series_facts, windows_at
from flambeau.errors import DataError
from flambeau.evaluation.forecast_intervals import forecast_intervals
from flambeau.evaluation.forecasts import ForecastScale, fit_scale, window_scores
from flambeau.evaluation.metrics import main_metric, task_metrics
from flambeau.recipe import Recipe
from flambeau.records import RunFolder
from flambeau.schema import Finding
from flambeau.stages.journal import Journal


def evaluate_forecasts(
    run: RunFolder, bundle: Bundle, source: str, recipe: Recipe, journal: Journal
) -> dict[str, Any]:
    """Scores with intervals over all windows of a table.

    Raises DataError for a table that lacks columns, or has no window with all of its rows to come.
    """
    facts, preparation = series_facts(bundle)
    samples = read_series_inputs([place_of(source, recipe.data.root)], bundle.schema, recipe)
    for finding in samples.findings:
        journal.finding(finding)
    series = samples.series
    assert series is not None
    if run.data.is_file() and fingerprint(samples) == run.read_json("data.json")["fingerprint"]:
        message = "these are the very rows of the run, most of which were trained on: the score tells how well they fit"
        journal.finding(Finding("warning", "trained-on", message))
    rows = usable_origins(
        series.starts, series.observed, lookback=facts.lookback, horizon=facts.horizon, begins=series.begins
    )
    if not len(rows):
        raise DataError(
            "there is no window to score",
            where=source,
            got=f"{len(series):,} rows",
            expected=f"at least {facts.lookback + facts.horizon:,} in a series, with all targets",
        )
    journal.stage("test", f"testing on {len(rows):,} windows")
    blocks = [rows[start : start + BATCH].tolist() for start in range(0, len(rows), BATCH)]
    predictions = np.concatenate(
        [answer_windows(bundle, windows_at(samples, preparation, block)) for block in blocks]
    )
    told = (bundle.scores.get("forecast") or {}).get("scale")
    targets = series.values[:, : len(facts.targets)]
    # errors are measured by the training rows, as those of the run's own test
    scale = (
        ForecastScale(tuple(told["spread"]), tuple(told["naive"]))
        if isinstance(told, dict)
        else fit_scale(targets, facts.season, series_numbers(series, np.arange(len(series))))
    )
    windows = window_scores(samples.targets[rows], predictions, scale, facts.quantiles, targets[rows])
    intervals = forecast_intervals(
        windows,
        horizon=facts.horizon, times=series.times[rows],
        resamples=recipe.evaluation.resamples, seed=recipe.seed,
    )  # fmt: skip
    return {
        "task": "forecast",
        "rows": {"train": 0, "valid": 0, "test": len(rows)},
        "test": {name: intervals[name] for name in task_metrics("forecast") if name in intervals},
        "baselines": {},
        "method": f"all windows of {Path(source).name}",
        "metric": main_metric("forecast"),
        "verdict": "",
        "classes": [],
    }
