"""Answers of a finished run. Starts quickly: imports neither an optimizer, torchvision nor scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flambeau.data.read_inputs import read_inputs
from flambeau.data.samples import Samples
from flambeau.data.tables.rows import rows_as_columns
from flambeau.deploy.answer import answer_to_json
from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.forecasts import forecast_samples, forecast_to_json
from flambeau.deploy.making.generators import refuse_generator
from flambeau.deploy.mixed import MAX_PIXELS
from flambeau.evaluation.wording import tell_band
from flambeau.recipe import load_recipe
from flambeau.records import RunFolder
from flambeau.schema import Finding


def predict(
    run: RunFolder,
    paths: Sequence[str],
    batch: int = 64,
    on_finding: Callable[[Finding], None] = lambda finding: None,
) -> Iterator[dict[str, Any]]:
    """Answers for pictures or rows, one dictionary each, in their order.

    `on_finding` is told of values that count as missing, and of whatever else reading noticed.

    Yields:
        {"input", "label" or "value", "probabilities"}; {"input", "error"} for an input that cannot be read; of time
        series {"input", "last", "times", "values", "quantiles", "strange"}, see `forecast_to_json`.

    Raises:
        RunError: no finished model in that folder.
        DataError: no such input, or columns that the model needs are missing.
    """
    bundle = load_bundle(run.model)
    refuse_generator(bundle.schema, "predict", run.path)
    recipe = load_recipe(run.model / "recipe.yaml")
    inputs = read_inputs(paths, bundle.schema, recipe)
    for finding in inputs.findings:
        on_finding(finding)
    if bundle.schema.series is not None:
        for forecast in forecast_samples(bundle, inputs, paths[0]):
            yield forecast_to_json(bundle.schema.series, forecast)
        band = tell_band(bundle.scores.get("test", {}).get("coverage"), bundle.schema.series.quantiles)
        if band:
            on_finding(Finding("info", "band", band))
        return
    yield from answer_to_json(bundle, inputs, batch, max_pixels=recipe.data.max_pixels)


def predict_rows(
    bundle: Bundle, rows: Sequence[Mapping[str, Any]], batch: int = 64, *, max_pixels: int = MAX_PIXELS
) -> list[dict[str, Any]]:
    """Answers for rows of a table, as `predict` gives them; they are called "row 1", "row 2" and so on.

    Raises:
        DataError: no row has a value for a column that the model needs.
    """
    refuse_generator(bundle.schema, "predict", "RUN")
    columns = rows_as_columns(rows, bundle.schema)
    ids = tuple(f"row {number}" for number in range(1, len(rows) + 1))
    samples = Samples(bundle.schema, ids, targets=np.full(len(rows), np.nan), columns=columns)
    return list(answer_to_json(bundle, samples, batch, max_pixels=max_pixels))
