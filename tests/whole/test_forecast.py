"""Forecasts from a file to a finished run: ridge, nets, blocks, several series, known futures, prices; and resumed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flambeau.deploy.bundle import load_bundle, weights_digest
from flambeau.errors import DataError, RecipeError, RunError
from flambeau.pipeline import resume, train
from flambeau.recipe import Recipe
from flambeau.recipe.text import with_settings
from flambeau.records import RunFolder
from flambeau.transforms.series import SeriesPreparation

QUICK = {"evaluation.resamples": 100, "threads": 1}


def write(folder: Path, columns: dict[str, Any]) -> str:
    file = folder / "series.csv"
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return str(file)


def waves(count: int = 300, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    days = np.datetime64("2022-01-01") + np.arange(count)
    level = 20 + 5 * np.sin(2 * np.pi * np.arange(count) / 7) + generator.normal(0, 0.5, count)
    return {
        "date": days.tolist(),
        "y": np.round(level, 4).tolist(),
        "x": np.round(generator.random(count), 4).tolist(),
    }


def run_on(folder: Path, columns: dict[str, Any], **settings: Any) -> tuple[RunFolder, dict[str, Any]]:
    values = {"task": "forecast", "data.target": "y", **QUICK, **settings}
    source = write(folder, columns)
    run = train(source, with_settings(Recipe(), values), out=folder / "run")
    return run, run.read_json("scores.json")


def test_ridge_finds_the_week_and_says_what_it_beats(tmp_path: Path) -> None:
    run, scores = run_on(tmp_path, waves(), **{"forecast.horizon": 5})
    assert scores["standing"] == "better" and scores["metric"] == "mae"
    assert scores["test"]["mae"]["value"] < 0.8
    assert set(scores["baselines"]) == {"last value", "same row last season", "drift"}
    assert 0.6 < scores["test"]["coverage"]["value"] < 0.95
    assert len(scores["forecast"]["by_step"]["mae"]) == 5
    bundle = load_bundle(run.model)
    assert bundle.schema.series is not None and bundle.schema.series.horizon == 5
    split = run.read_json("split.json")
    assert (
        max(split["train"]) + 5 < min(split["valid"]) + 1 <= max(split["valid"]) + 5 < min(split["test"]) + 1
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["nlinear", "dlinear", "tcn", "lstm", "patchtst"])
def test_nets_train(tmp_path: Path, model: str) -> None:
    _, scores = run_on(
        tmp_path, waves(160), **{"model.name": model, "training.epochs": 2, "forecast.horizon": 2}
    )
    assert np.isfinite(scores["test"]["mae"]["value"]) and "pinball" in scores["test"]


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["huber", "directional"])
def test_losses_train(tmp_path: Path, loss: str) -> None:
    settings = {"model.name": "nlinear", "training.epochs": 1, "training.loss.name": loss}
    _, scores = run_on(tmp_path, waves(160), **settings)
    assert ("pinball" in scores["test"]) == (loss == "huber")


@pytest.mark.slow
def test_a_rolling_back_test_and_a_model_of_all_rows(tmp_path: Path) -> None:
    run, scores = run_on(tmp_path, waves(), **{"split.folds": 3})
    assert scores["method"] == "rolling back-test of 3 blocks" and scores["rows"]["test"] > 140
    kept = run.read_json("trainings.json")["rows"]
    assert kept[-1] == 298


@pytest.mark.slow
def test_several_series_and_a_known_future(tmp_path: Path) -> None:
    one, other = waves(160, 1), waves(160, 2)
    columns = {name: one[name] + other[name] for name in ("date", "y")}
    columns["shop"] = ["a"] * 160 + ["b"] * 160
    columns["sale"] = (np.random.default_rng(3).random(320) < 0.3).astype(int).tolist()
    columns["y"] = [y + 6 * sale for y, sale in zip(columns["y"], columns["sale"], strict=True)]
    run, scores = run_on(tmp_path, columns, **{"forecast.known": ["sale"], "forecast.horizon": 2})
    facts = load_bundle(run.model).schema.series
    assert facts is not None and facts.names == ("a", "b") and facts.known == ("sale",)
    assert scores["test"]["mae"]["value"] < 1.0


def test_prices_show_no_edge_on_a_walk(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    days = [day for day in np.arange("2021-01-01", "2022-09-01", dtype="datetime64[D]") if np.is_busday(day)]
    close = np.round(100 * np.exp(np.cumsum(generator.normal(0, 0.01, len(days)))), 4)
    columns = {
        "Date": days, "Open": close, "High": close * 1.01, "Low": close * 0.99, "Close": close,
        "Volume": generator.integers(1000, 9000, len(days)),
    }  # fmt: skip
    run, scores = run_on(tmp_path, columns, **{"data.target": "Close"})
    assert scores["forecast"]["back_test"]["edge"] is False and "No edge" in scores["verdict"]
    recipe = run.recipe.read_text(encoding="utf-8")
    assert "differences: log_difference" in recipe and "embargo: 4" in recipe


def test_a_price_of_zero_is_no_end_of_a_run(tmp_path: Path) -> None:
    close = 100 + np.cumsum(np.random.default_rng(0).normal(0, 1, 160))
    close[150] = 0
    days = (np.datetime64("2022-01-01") + np.arange(160)).tolist()
    columns = {"Date": days, "Open": close, "High": close, "Low": close, "Close": close}
    settings = {"data.target": "Close", "forecast.lookback": 4, "forecast.penalty": 1e6}
    run, scores = run_on(tmp_path, columns, **settings)
    assert "no rise or fall was forecast" in scores["verdict"] and "direction" not in scores["test"]
    worst = run.read_json("worst.json")[0]
    spread = scores["forecast"]["scale"]["spread"][0]
    assert worst["error"] == pytest.approx(abs(worst["target"] - worst["predicted"]) / spread)


def test_rows_without_times_have_no_waves(tmp_path: Path) -> None:
    columns = {"y": (10 + 3 * np.sin(2 * np.pi * np.arange(120) / 12)).round(4).tolist()}
    settings = {"forecast.season": 12, "forecast.horizon": 4}
    run, scores = run_on(tmp_path, columns, **settings)
    preparation = load_bundle(run.model).preparation
    assert isinstance(preparation, SeriesPreparation) and not preparation.waves
    assert "same row last season" in scores["baselines"]


@pytest.mark.slow
def test_a_run_that_is_repeated_ends_in_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    settings = {"model.name": "tcn", "training.epochs": 1, "forecast.horizon": 2}
    first, _ = run_on(tmp_path / "a", waves(160), **settings)
    again, _ = run_on(tmp_path / "b", waves(160), **settings)
    assert weights_digest(load_bundle(first.model).module) == weights_digest(load_bundle(again.model).module)


@pytest.mark.parametrize("model", ["ridge", pytest.param("lstm", marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path, model: str) -> None:
    settings = {"model.name": model, "forecast.horizon": 2}
    if model != "ridge":
        settings |= {"training.epochs": 3}
    run, _ = run_on(tmp_path, waves(160), **settings)
    digest = weights_digest(load_bundle(run.model).module)

    def stop(record: dict[str, Any]) -> None:
        if (
            record["kind"] in ("epoch", "stage")
            and record.get("name") != "read"
            and (folder / "recipe.yaml").exists()
        ):
            raise KeyboardInterrupt

    folder = tmp_path / "stopped"
    values = {"task": "forecast", "data.target": "y", **QUICK, **settings}
    with pytest.raises(KeyboardInterrupt):
        train(str(tmp_path / "series.csv"), with_settings(Recipe(), values), out=folder, listener=stop)
    assert not RunFolder(folder).finished
    finished = resume(RunFolder(folder))
    assert weights_digest(load_bundle(finished.model).module) == digest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"forecast.horizon": 400}, "no series is long enough"),
        ({"training.loss.name": "l1"}, "ridge regression is solved for squared errors"),
        ({"split.rows": [500, 100, 100]}, "cannot be divided by time"),
        ({"forecast.differences": "log_difference", "data.target": "z"}, "have no logarithm"),
        ({"model.name": "tcn", "training.epochs": 0}, "0 epochs are for ridge"),
        (
            {"model.name": "nlinear", "training.loss.name": "sharpe", "training.micro_batch": 4},
            "training.micro_batch cuts batches",
        ),
        ({"evaluation.metric": "coverage"}, "no score to choose a forecast by"),
        ({"split.group": "x"}, "time series are split by time"),
        ({"training.bags": 3}, "not independent"),
        ({"forecast.known": ["y"]}, "cannot be known of the future"),
        ({"forecast.time": "none", "forecast.waves": 2}, "these rows have no times"),
        ({"data.target": "far"}, "cannot be scaled as the training rows are"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    columns = waves(160)
    columns["far"] = [float(row % 3) if row < 130 else 1e39 * (row % 5) for row in range(160)]
    columns["z"] = (np.array(columns["y"]) - 20).tolist()
    with pytest.raises((DataError, RecipeError), match=message):
        run_on(tmp_path, columns, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings", "metric", "most"),
    [
        ("airline-passengers", {"split.rows": [96, 24, 24]}, "mae", 14.0),
        ("daily-min-temperatures", {"split.rows": [2557, 730, 365]}, "mae", 1.74),
        (
            "ETTh1",
            {"data.target": "all", "forecast.horizon": 96, "split.rows": [8640, 2880, 2880]},
            "scaled_mse",
            0.366,
        ),
    ],
)
def test_real_series(
    shared_data: Path, tmp_path: Path, name: str, settings: dict[str, Any], metric: str, most: float
) -> None:
    values = {"task": "forecast", **QUICK, **settings}
    source = str(shared_data / "timeseries" / f"{name}.csv")
    scores = train(source, with_settings(Recipe(), values), out=tmp_path / "run").read_json("scores.json")
    print(json.dumps(scores["test"]))
    assert scores["test"][metric]["value"] <= most
    assert scores["standing"] == "better"


@pytest.mark.slow
def test_a_net_goes_on_from_an_earlier_run_and_ridge_does_not(tmp_path: Path) -> None:
    everything = waves(300)
    earlier = {name: values[:200] for name, values in everything.items()}
    runs = {}
    for model, epochs in (("nlinear", 1), ("ridge", 0)):
        (tmp_path / model).mkdir()
        settings = {"model.name": model, "training.epochs": epochs, "forecast.horizon": 3}
        runs[model], _ = run_on(tmp_path / model, earlier, **settings)
    source = write(tmp_path, everything)
    values = {"task": "forecast", "data.target": "y", **QUICK, "training.epochs": 1}
    run = train(source, with_settings(Recipe(), values), out=tmp_path / "on", from_run=runs["nlinear"].path)
    split, seen = run.read_json("split.json"), runs["nlinear"].read_json("split.json")
    assert min(split["test"]) >= max(seen["valid"]) + 3
    with pytest.raises(RunError, match="nothing to go on from"):
        train(source, with_settings(Recipe(), values), out=tmp_path / "no", from_run=runs["ridge"].path)
