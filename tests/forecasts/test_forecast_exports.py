"""Exported forecasts take past values in own units and agree with the model; their example works without flambeau."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forecast_bundles import MODELS, WEEK, forecast_bundle, past_rows

from flambeau.data.series.series import series_of_rows
from flambeau.deploy.bundle import Bundle, save_bundle
from flambeau.deploy.export.agreement import TOLERANCE, compare
from flambeau.deploy.export.describe import describe_output
from flambeau.deploy.export.export import OPENERS, WRITERS
from flambeau.deploy.export.graph import build_graph
from flambeau.deploy.export.pt2_file import example_inputs
from flambeau.deploy.export.rows import made_up_rows
from flambeau.deploy.export.series_inputs import series_raw_inputs
from flambeau.deploy.export.write import export_run
from flambeau.deploy.forecasts import forecast_samples
from flambeau.records import RunFolder

FULL: dict[str, Any] = {
    "targets": 1,
    "known": 1,
    "quantiles": (0.1, 0.5, 0.9),
    "waves": ((86_400, 2), (WEEK, 1)),
}


def agreement(bundle: Bundle, to: str, path: Path) -> float:
    inputs = series_raw_inputs(bundle)
    told = {"flambeau": "0", "task": "forecast", "labels": [], "output": describe_output("forecast", set())}
    WRITERS[to](build_graph(bundle), inputs, example_inputs(inputs, 0), path, told)
    compared = compare(bundle, OPENERS[to](path, inputs), made_up_rows(bundle, "a test"), 1)
    assert compared.exported.shape == compared.eager.shape and compared.same_answers is None
    return compared.error


@pytest.mark.parametrize("to", ["onnx", "pt2", "torchscript"])
def test_every_input_is_taken_raw(to: str, tmp_path: Path) -> None:
    assert agreement(forecast_bundle(**FULL), to, tmp_path / "model") <= TOLERANCE


FORMATS = ("onnx", "pt2", "torchscript")
# recurrent nets are taken apart differently by each exporter; the others by one of them each
MODELS_AND_FORMATS = [(model, FORMATS[place % 3]) for place, model in enumerate(MODELS)]
MODELS_AND_FORMATS += [
    ("lstm_forecast", to) for to in FORMATS if ("lstm_forecast", to) not in MODELS_AND_FORMATS
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "to"), MODELS_AND_FORMATS)
def test_every_model_exports(model: str, to: str, tmp_path: Path) -> None:
    assert agreement(forecast_bundle(model), to, tmp_path / "model") <= TOLERANCE
    assert agreement(forecast_bundle(model, **FULL), to, tmp_path / "model") <= TOLERANCE


def test_the_example_forecasts_from_a_file(tmp_path: Path) -> None:
    bundle = forecast_bundle(**FULL)
    save_bundle(tmp_path / "model", bundle, "")
    report = export_run(RunFolder.of_bundle(tmp_path / "model"), "onnx", out=tmp_path / "m.onnx")
    assert report["agreement"] <= TOLERANCE
    rows = past_rows(30, ahead=5)
    names = ["date", "load", "price", "holiday"]
    lines = [",".join("" if row[name] is None else str(row[name]) for name in names) for row in rows]
    (tmp_path / "past.csv").write_text("\n".join([",".join(names), *lines]), encoding="utf-8")
    command = [sys.executable, str(report["example"]), str(tmp_path / "past.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    (expected,) = forecast_samples(bundle, series_of_rows(rows, bundle.schema))
    assert list(printed[0]) == ["load", "load q0.1", "load q0.5", "load q0.9"]
    found = np.array([list(line.values()) for line in printed])
    np.testing.assert_allclose(found, expected.values[:, 0], rtol=1e-5)
    short = subprocess.run([*command[:2]], capture_output=True, text=True, check=False)
    assert "usage" in short.stderr
