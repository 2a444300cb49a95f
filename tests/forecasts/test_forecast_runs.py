"""Whole runs of forecasts: trained, resumed, ejected, exported, served, reported; every model in one of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import flambeau as fb
from flambeau.data.known.named import place_of
from flambeau.deploy.bundle import load_bundle, weights_digest
from flambeau.deploy.eject import eject
from flambeau.deploy.eject.check import check_script
from flambeau.deploy.serve.app import App
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import Models, load_model
from flambeau.errors import DataError, UsageError
from flambeau.pipeline import resume
from flambeau.records import RunFolder
from flambeau.training import clock

NET: dict[str, Any] = {"forecast.lookback": 20, "training.batch_size": 64, "epochs": 2}
CASES: dict[str, dict[str, Any]] = {
    "ridge": {"source": "series", "horizon": 3},
    "prices": {"source": "prices", "horizon": 2, "forecast.quantiles": []},
    "lstm": {
        "source": "series",
        "horizon": 3,
        "model.name": "lstm",
        "model.width": 8,
        "training.ema": 0.9,
        **NET,
    },
    "patchtst": {
        "source": "series",
        "target": "all",
        "horizon": 3,
        "model.name": "patchtst",
        "model.width": 8,
        **NET,
    },
    "direction": {"source": "prices", "model.name": "dlinear", "training.loss.name": "directional", **NET},
}
every_case = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(f"forecast-{name}")) for name in CASES]
)


class _StoppedError(Exception):
    """What a listener of these tests raises in the middle of a training, as a kill would end it."""


@pytest.fixture(scope="module")
def runs() -> dict[str, fb.Run]:
    """Runs by name, trained when a test first asks for one."""
    return {}


def source_of(name: str) -> str:
    return place_of(f"synthetic:{CASES[name]['source']}:240")


def options_of(name: str) -> dict[str, Any]:
    options = {"task": "forecast", "target": {"series": "load", "prices": "Close"}[CASES[name]["source"]]}
    return {**options, **{key: value for key, value in CASES[name].items() if key != "source"}}


def run_of(name: str, runs: dict[str, fb.Run], tmp_path_factory: pytest.TempPathFactory) -> fb.Run:
    if name not in runs:
        out = tmp_path_factory.mktemp("forecasts") / name
        runs[name] = fb.train(source_of(name), out=out, **options_of(name))
    return runs[name]


@pytest.mark.slow
@every_case
def test_ejected_script_ends_in_the_same_weights(
    name: str, runs: dict[str, fb.Run], tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = run_of(name, runs, tmp_path_factory)
    script = eject(run.folder)
    assert "import flambeau" not in script and "from flambeau" not in script
    result = check_script(run.folder, script, timeout_seconds=120)
    assert result.equal, (result.differing[:5], result.largest, result.output[-500:])


@pytest.mark.slow
@every_case
def test_exported_file_agrees_and_the_server_answers_as_predict_does(
    name: str, runs: dict[str, fb.Run], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    run = run_of(name, runs, tmp_path_factory)
    report = run.export(tmp_path / "model.pt2", to="pt2")
    assert report["agreement"] <= 1e-5 and report["origin"] == "the test part"
    (expected,) = run.predict(source_of(name))
    with Path(source_of(name)).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert run.predict(rows)[0]["values"] == expected["values"]
    app = App(Models([load_model(str(run.folder.path), Limits())]), Limits(), api_key="", decoders=1)
    with TestClient(app) as client:
        answer = client.post("/predict", json={"rows": rows}).json()
        assert answer["times"] == expected["times"] and answer["last"] == expected["last"]
        for target, values in expected["values"].items():
            assert answer["values"][target] == pytest.approx(values, rel=1e-5)
        short = client.post("/predict", json={"rows": rows[:3]})
        assert short.status_code == 422 and "too few rows" in short.json()["what"]
        assert client.post("/predict?explain=1", json={"rows": rows}).status_code == 422
        described = client.get("/models").json()["models"][0]
        assert described["takes"] == "series" and described["horizon"] == len(expected["times"])
        assert client.get("/openapi.json").status_code == 200


@pytest.mark.slow
@pytest.mark.xdist_group("forecast-lstm")
def test_a_stopped_run_ends_in_the_same_weights(
    runs: dict[str, fb.Run],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = run_of("lstm", runs, tmp_path_factory)
    monkeypatch.setattr(clock, "SECONDS_BETWEEN_EPOCH_CHECKPOINTS", 0.0)

    def stop_after_the_first(record: dict[str, Any]) -> None:
        if record["kind"] == "epoch":
            raise _StoppedError

    options = {**options_of("lstm"), "training.checkpoint_seconds": 0}
    with pytest.raises(_StoppedError):
        fb.train(source_of("lstm"), out=tmp_path / "run", on_record=stop_after_the_first, **options)
    again = resume(RunFolder(tmp_path / "run"))
    assert weights_digest(load_bundle(again.model).module) == weights_digest(whole.module)


@pytest.mark.slow
@pytest.mark.xdist_group("forecast-ridge")
def test_files_of_forecasts_and_the_report(
    runs: dict[str, fb.Run], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    from flambeau.deploy.batch.job import BatchOptions, predict_to_file

    run = run_of("ridge", runs, tmp_path_factory)
    summary = predict_to_file(run.folder, [source_of("ridge")], tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert summary.rows == 3 and lines[0].startswith('"input","time","step","load","load q0.1"')
    with pytest.raises(UsageError):
        predict_to_file(run.folder, [source_of("ridge")], tmp_path / "out.csv", BatchOptions(keep=("load",)))
    with pytest.raises(DataError, match="one table of series"):
        run.predict([source_of("ridge"), source_of("prices")])
    told = run.report.read_text(encoding="utf-8")
    for words in ("the worst of", "by step ahead", "Can its quantiles be believed?", "steps ahead"):
        assert words in told
    assert (run.folder.path / "plots" / "window_median.png").is_file()
    card = (run.folder.model / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "rows that it looks back on" in card and "flambeau predict THIS_FOLDER PAST_ROWS.csv" in card


@pytest.mark.slow
@pytest.mark.xdist_group("forecast-prices")
def test_prices_are_back_tested(runs: dict[str, fb.Run], tmp_path_factory: pytest.TempPathFactory) -> None:
    run = run_of("prices", runs, tmp_path_factory)
    assert "Would it have earned anything?" in run.report.read_text(encoding="utf-8")
    told = run.scores["forecast"]["back_test"]
    assert not told["edge"] and np.isfinite(told["difference"]["value"])
