"""Scaling of series is fitted once, goes both ways, and survives JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flambeau.transforms.series import SeriesPreparation, fit_series, times_to_come


def example(logs: tuple[bool, bool] = (True, False)) -> tuple[SeriesPreparation, np.ndarray]:
    generator = np.random.default_rng(0)
    values = np.exp(generator.normal(3, 0.5, size=(200, 2)))
    waves = [(86_400, 2), (604_800, 1)]
    preparation = fit_series(
        values,
        ["y", "x"],
        targets=1,
        known=1,
        logs=logs,
        waves=waves,
        lookback=8,
        horizon=3,
        quantiles=(0.1, 0.9),
    )
    return preparation, values


@pytest.mark.parametrize("logs", [(True, False), (False, False)])
def test_what_is_scaled_comes_back(logs: tuple[bool, bool]) -> None:
    preparation, values = example(logs)
    scaled = preparation.transform(values)
    assert scaled.dtype == np.float32
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-5) and np.allclose(scaled.std(axis=0), 1, atol=1e-5)
    outputs = np.repeat(scaled[:3, 0], 3).reshape(1, -1)
    restored = preparation.restore(outputs)
    assert restored.shape == (1, 3, 1, 3)
    assert np.allclose(restored[0, :, 0, 0], values[:3, 0], rtol=1e-5)


def test_quantiles_never_cross() -> None:
    preparation, _ = example()
    outputs = np.tile([0.0, 1.0, -1.0], 3)[None]
    restored = preparation.restore(outputs)
    assert (np.diff(restored[..., 1:], axis=-1) >= 0).all()


def test_it_survives_json() -> None:
    preparation, values = example()
    again = SeriesPreparation.from_json(json.loads(json.dumps(preparation.to_json())))
    assert again == preparation
    assert np.array_equal(again.transform(values), preparation.transform(values))
    with pytest.raises(ValueError, match="not a preparation"):
        SeriesPreparation.from_json({"channels": []})


def test_calendar_features_repeat_with_their_periods() -> None:
    preparation, _ = example()
    times = np.arange(0, 3 * 604_800, 3600)
    future = preparation.transform_future(times, np.ones((len(times), 1)))
    assert future.shape == (len(times), preparation.future) == (504, 7)
    assert np.allclose(future[:-168], future[168:], atol=1e-5)
    assert np.allclose(future[:-24, :4], future[24:, :4], atol=1e-5)


def test_the_fit_needs_values() -> None:
    with pytest.raises(ValueError, match="no value"):
        fit_series(
            np.full((5, 1), np.nan), ["y"], targets=1, known=0, logs=[False], waves=[], lookback=2, horizon=1
        )
    preparation, _ = example()
    with pytest.raises(ValueError, match="are expected"):
        preparation.transform(np.ones((3, 5)))


@pytest.mark.parametrize(
    ("last", "unit", "step", "expected"),
    [
        ("2024-02-27", "second", 86_400, ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("2024-01-31", "month", 1, ["2024-02-29", "2024-03-31", "2024-04-30"]),
        ("2024-01-15", "month", 3, ["2024-04-15", "2024-07-15", "2024-10-15"]),
        ("2024-03-01", "weekday", 1, ["2024-03-04", "2024-03-05", "2024-03-06"]),
    ],
)
def test_times_to_come(last: str, unit: str, step: int, expected: list[str]) -> None:
    seconds = int(np.datetime64(last, "s").astype(np.int64))
    found = times_to_come(seconds, unit, step, 3).astype("datetime64[s]").astype("datetime64[D]").astype(str)
    assert found.tolist() == expected
    assert times_to_come(16, "row", 1, 2).tolist() == [17, 18]
