"""Forecasts into one file: a row for each series and each time to come. All rows of a series are one input."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow

from flambeau.data.read_inputs import read_inputs
from flambeau.deploy.batch.join import Tally, join_parts
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.forecasts import Forecast, forecast_samples
from flambeau.errors import UsageError
from flambeau.recipe import Recipe
from flambeau.schema import SeriesFacts

FIXED = ("input", "time", "step")
LAST = ("strange", "error")


def write_forecasts(
    bundle: Bundle,
    recipe: Recipe,
    paths: Sequence[str],
    target: Path,
    keep: Sequence[str],
    listener: Callable[[dict[str, Any]], None],
) -> tuple[Tally, float]:
    """Forecast from the last rows of each series, and write Parquet, CSV or JSON lines.

    Columns: `input` (the series), `time`, `step` (1 for the next row), each target and its quantiles ("OT q0.1"),
    `strange`.

    Returns:
        What was written, and the seconds that it took.

    Raises:
        UsageError: columns are to be kept, which rows to come do not have.
        DataError: no such file, too few rows, or columns that the model needs are missing.
        RunError: the disk is full.
    """
    if keep:
        raise UsageError(
            "rows to come have no columns to keep",
            got="--keep " + ",".join(keep),
            expected="the same without it",
        )
    began = time.monotonic()
    samples = read_inputs(paths, bundle.schema, recipe)
    for finding in samples.findings:
        listener({"kind": "finding", **finding.to_json()})
    facts = bundle.schema.series
    assert facts is not None
    tables = (forecast_table(facts, one) for one in forecast_samples(bundle, samples, paths[0]))
    first = next(tables)
    tally = join_parts(((table, {}) for table in itertools.chain([first], tables)), target, first.schema)
    return tally, time.monotonic() - began


def forecast_table(facts: SeriesFacts, forecast: Forecast) -> pyarrow.Table:
    """One forecast as rows of a table."""
    count = len(forecast.times)
    columns: dict[str, Any] = {
        "input": pyarrow.array([forecast.name] * count, pyarrow.large_string()),
        "time": pyarrow.array(forecast.times, pyarrow.large_string()),
        "step": pyarrow.array(range(1, count + 1), pyarrow.int64()),
    }
    for place, names in enumerate(column_names(facts)):
        for number, column in enumerate(names):
            values = forecast.values[:, place, number]
            columns[column] = pyarrow.array(values, pyarrow.float64())
    strange = "; ".join(forecast.strange) or None
    columns["strange"] = pyarrow.array([strange] * count, pyarrow.large_string())
    columns["error"] = pyarrow.nulls(count, pyarrow.large_string())
    return pyarrow.table(columns)


def column_names(facts: SeriesFacts) -> list[list[str]]:
    """What the columns of each target are called: the target, then "OT q0.1" for its quantiles; no two are alike."""
    fixed = {*FIXED, *LAST}
    taken = fixed | set(facts.targets)
    found = []
    for target in facts.targets:
        name = _free(f"{target} forecast", taken) if target in fixed else target
        found.append([name, *(_free(f"{name} q{quantile:g}", taken) for quantile in facts.quantiles)])
    return found


def _free(name: str, taken: set[str]) -> str:
    """The name, numbered where there is such a column already; it is taken from now on."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name} {number}", number + 1
    taken.add(free)
    return free
