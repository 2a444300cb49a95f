"""Bundles that forecast: kept and read again, checked against a stranger's values, answered from the last rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forecast_bundles import HORIZON, LOOKBACK, MODELS, forecast_bundle, past_rows

from flambeau.data.series.series import series_of_rows
from flambeau.deploy.batch.forecast_file import column_names
from flambeau.deploy.bundle import Bundle, load_bundle, save_bundle, write_versions
from flambeau.deploy.forecasts import forecast_samples, forecast_to_json, last_windows, times_in_words
from flambeau.errors import DataError, RunError
from flambeau.schema import SeriesFacts


@pytest.mark.parametrize("model", MODELS)
def test_a_bundle_comes_back_as_it_was(model: str, tmp_path: Path) -> None:
    bundle = forecast_bundle(model, waves=((86_400, 1),))
    save_bundle(tmp_path, bundle, "")
    again = load_bundle(tmp_path)
    assert again.schema == bundle.schema and again.preparation == bundle.preparation
    samples = series_of_rows(past_rows(), bundle.schema)
    (one,), (other,) = (list(forecast_samples(some, samples)) for some in (bundle, again))
    assert np.array_equal(one.values, other.values) and one.values.shape == (HORIZON, 2, 3)


def altered(folder: Path, name: str, change: Any) -> None:
    told = json.loads((folder / name).read_text())
    change(told)
    (folder / name).write_text(json.dumps(told))
    write_versions(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("preparation.json", lambda told: told["inputs"].update(lookback=10**9)),
        ("preparation.json", lambda told: told["inputs"]["channels"][0].update(std=0.0)),
        ("preparation.json", lambda told: told["inputs"].update(waves=[{"period": 0, "orders": 1}])),
        ("preparation.json", lambda told: told["inputs"].update(quantiles=[0.9, 0.1])),
        ("preparation.json", lambda told: told.update(kind="table")),
        ("preparation.json", lambda told: told.update(kind="dialogue")),
        ("schema.json", lambda told: told["series"].update(horizon=10**7)),
        ("schema.json", lambda told: told["series"].update(unit="fortnight")),
        ("schema.json", lambda told: told["series"].update(targets=["load", "load"])),
        ("schema.json", lambda told: told["series"].update(prices={"close": "nothing"})),
        ("schema.json", lambda told: told.update(series=None)),
        ("model.json", lambda told: told["arguments"].update(channels=7)),
        ("model.json", lambda told: told["arguments"].update(whiten=3)),
        ("model.json", lambda told: told["arguments"].update(horizon=10**6)),
    ],
)
def test_a_strangers_values_are_refused(name: str, change: Any, tmp_path: Path) -> None:
    save_bundle(tmp_path, forecast_bundle(), "")
    altered(tmp_path, name, change)
    with pytest.raises(RunError):
        load_bundle(tmp_path)


def test_times_go_on_and_quantiles_do_not_cross() -> None:
    bundle = forecast_bundle()
    (forecast,) = forecast_samples(bundle, series_of_rows(past_rows(), bundle.schema), "past.csv")
    assert forecast.name == "past.csv" and forecast.last == "2024-03-01 19:00:00"
    assert forecast.times == tuple(
        f"2024-03-0{1 + hour // 24} {hour % 24:02d}:00:00" for hour in range(20, 25)
    )
    assert (np.diff(forecast.values[..., 1:], axis=-1) >= 0).all() and (forecast.values[:, 0] > 0).all()
    assert bundle.schema.series is not None
    told = forecast_to_json(bundle.schema.series, forecast)
    assert set(told) == {"input", "last", "times", "values", "quantiles", "strange"}
    assert len(told["values"]["price"]) == HORIZON and set(told["quantiles"]["load"]) == {"0.1", "0.9"}


def test_only_the_last_rows_count_and_series_answer_alone() -> None:
    bundle = forecast_bundle(several=True)
    rows = past_rows(30, several=True)
    forecasts = list(forecast_samples(bundle, series_of_rows(rows, bundle.schema)))
    assert [one.name for one in forecasts] == ["north", "south"]
    last = [row for row in rows if row["shop"] == "south"][-LOOKBACK:]
    (alone,) = forecast_samples(bundle, series_of_rows(last, bundle.schema))
    np.testing.assert_allclose(alone.values, forecasts[1].values, rtol=1e-5)


def test_too_few_rows_and_an_unknown_future_are_told() -> None:
    bundle = forecast_bundle(targets=1, known=1)
    with pytest.raises(DataError, match="too few rows") as caught:
        last_windows(bundle, series_of_rows(past_rows(LOOKBACK - 1), bundle.schema))
    assert f"at least {LOOKBACK}" in str(caught.value)
    with pytest.raises(DataError, match="the future of holiday"):
        last_windows(bundle, series_of_rows(past_rows(20, ahead=2), bundle.schema))
    windows = last_windows(bundle, series_of_rows(past_rows(20, ahead=HORIZON), bundle.schema))
    assert windows.future[0, :, 0].tolist() == [21, 22, 23, 24, 25]
    with pytest.raises(DataError):
        series_of_rows([{"date": "2024-01-01", "load": 1}], bundle.schema)


def test_a_value_without_a_logarithm_is_told() -> None:
    bundle = forecast_bundle()
    rows = past_rows()
    rows[-1]["load"] = 0.0
    with pytest.raises(DataError, match="'load' has values") as caught:
        list(forecast_samples(bundle, series_of_rows(rows, bundle.schema)))
    assert "above 0" in str(caught.value)


def test_values_beyond_the_training_rows_are_strange() -> None:
    bundle = forecast_bundle()
    rows = past_rows()
    rows[-3]["price"] = 1e6
    (forecast,) = forecast_samples(bundle, series_of_rows(rows, bundle.schema))
    assert len(forecast.strange) == 1 and "'price' goes from" in forecast.strange[0]


def test_times_are_written_as_people_write_them() -> None:
    assert times_in_words(np.array([0, 86_400]), "second") == ("1970-01-01", "1970-01-02")
    assert times_in_words(np.array([0, 3_600]), "second") == ("1970-01-01 00:00:00", "1970-01-01 01:00:00")
    assert times_in_words(np.array([6]), "row") == ("row 7",)


def test_no_column_of_a_file_of_forecasts_is_lost() -> None:
    facts = SeriesFacts(targets=("OT", "OT q0.1", "time"), quantiles=(0.1, 0.9))
    assert column_names(facts) == [
        ["OT", "OT q0.1 2", "OT q0.9"],
        ["OT q0.1", "OT q0.1 q0.1", "OT q0.1 q0.9"],
        ["time forecast", "time forecast q0.1", "time forecast q0.9"],
    ]


def test_one_forward_pass_answers_all_series() -> None:
    bundle: Bundle = forecast_bundle(several=True)
    calls = []
    bundle.module.register_forward_hook(lambda module, inputs, outputs: calls.append(len(inputs[0])))
    list(forecast_samples(bundle, series_of_rows(past_rows(several=True), bundle.schema)))
    assert calls == [2]
