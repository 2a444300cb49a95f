"""From the last rows of time series to forecasts: windows in own units, the model, and answers with their times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from flambeau.data.samples import Samples
from flambeau.data.tables.spelling import number_of
from flambeau.deploy.answer import device_of, predict_inputs
from flambeau.deploy.bundle import Bundle
from flambeau.errors import DataError
from flambeau.schema import Column, SeriesFacts
from flambeau.transforms.series import SeriesPreparation, moments_in_words, times_to_come

BATCH = 256


@dataclass(frozen=True)
class Windows:
    """Several windows in own units: what an exported file takes, and the server.

    Args:
        past: (n, lookback, channels) float64, gaps filled.
        times: (n, horizon) int64 times of the rows to come: seconds since 1970, or numbers of rows.
        future: (n, horizon, known) float64 values of the channels whose future is known.
    """

    past: np.ndarray
    times: np.ndarray
    future: np.ndarray

    def __len__(self) -> int:
        return len(self.past)

    def take(self, start: int, end: int) -> Windows:
        """The windows from `start` to before `end`."""
        return Windows(self.past[start:end], self.times[start:end], self.future[start:end])


@dataclass(frozen=True)
class Forecast:
    """What is forecast of one series.

    Args:
        name: what the person calls the input.
        last: time of the last known row, in words.
        times: of the rows to come, in words.
        values: (horizon, targets, 1 + quantiles) float64 in own units: the forecast, then its quantiles.
        strange: sentences about what the training rows had none of.
    """

    name: str
    last: str
    times: tuple[str, ...]
    values: np.ndarray
    strange: tuple[str, ...] = ()


def series_facts(bundle: Bundle) -> tuple[SeriesFacts, SeriesPreparation]:
    """The facts and the preparation of a bundle that forecasts. Raises ValueError for another one."""
    facts, preparation = bundle.schema.series, bundle.preparation
    if facts is None or not isinstance(preparation, SeriesPreparation):
        raise ValueError(f"a model that forecasts is expected, got one for {bundle.schema.task}")
    return facts, preparation


def prepare_windows(preparation: SeriesPreparation, windows: Windows) -> tuple[np.ndarray, ...]:
    """What the model takes: past (n, lookback, channels) and, where there is any, (n, horizon, future), float32."""
    count, lookback, channels = windows.past.shape
    past = preparation.transform(windows.past.reshape(-1, channels)).reshape(count, lookback, channels)
    if not preparation.future:
        return (past,)
    flat = windows.future.reshape(count * preparation.horizon, preparation.known)
    future = preparation.transform_future(windows.times.reshape(-1), flat)
    return past, future.reshape(count, preparation.horizon, preparation.future)


def answer_windows(bundle: Bundle, windows: Windows) -> np.ndarray:
    """(n, horizon, targets, 1 + quantiles) float64 forecasts in own units.

    Raises:
        ModelError: the model fails, or answers with what is no number.
        DataError: a value of a window cannot be used, such as a price of zero.
    """
    _, preparation = series_facts(bundle)
    arrays = prepare_windows(preparation, windows)
    if not all(np.isfinite(array).all() for array in arrays):
        raise _unusable(preparation, windows)
    device = device_of(bundle.module)
    return predict_inputs(bundle, tuple(torch.from_numpy(array).to(device) for array in arrays))


def _unusable(preparation: SeriesPreparation, windows: Windows) -> DataError:
    channels = windows.past.shape[2]
    for place, scale in enumerate(preparation.channels):
        values = [windows.past[:, :, place]]
        ahead = place - (channels - preparation.known)
        values += [windows.future[:, :, ahead]] if ahead >= 0 else []
        for some in values:
            if not np.isfinite(scale.scale(some)).all():
                rule = "numbers above 0, because it is seen by its logarithm" if scale.log else "numbers"
                return DataError(
                    f"'{scale.column}' has values that a forecast cannot be made from",
                    got="a missing value, or one of 0 or less"
                    if scale.log
                    else "a missing or infinite value",
                    expected=rule,
                )
    return DataError("these rows cannot be forecast from", expected="numbers without gaps at their end")


def windows_at(samples: Samples, preparation: SeriesPreparation, rows: Sequence[int]) -> Windows:
    """The windows inside the data whose last known rows these are; the rows to come must be there, too."""
    assert samples.series is not None
    values, times = samples.series.values, samples.series.times
    origins = np.asarray(rows, dtype=np.int64)[:, None]
    behind = origins + np.arange(1 - preparation.lookback, 1)
    ahead = origins + np.arange(1, preparation.horizon + 1)
    known = values[:, values.shape[1] - preparation.known :]
    return Windows(values[behind], times[ahead], known[ahead])


def last_windows(bundle: Bundle, samples: Samples) -> Windows:
    """The windows at the end of each series, with the times of the rows to come.

    Raises:
        DataError: a series has too few rows, or too few of what is known of its future.
    """
    facts, preparation = series_facts(bundle)
    assert samples.series is not None
    series = samples.series
    past, times, future = [], [], []
    for place, (start, end) in enumerate(zip(series.starts[:-1], series.starts[1:], strict=True)):
        name = samples.ids[end - 1] if end > start else "an empty series"
        if end - start < facts.lookback:
            raise DataError(
                "there are too few rows to forecast from",
                where=name,
                got=number_of(int(end - start), "row"),
                expected=f"at least {facts.lookback:,}, which the model looks back on",
            )
        past.append(series.values[end - facts.lookback : end])
        times.append(times_to_come(int(series.times[end - 1]), facts.unit, facts.step, facts.horizon))
        known = series.ahead[place] if series.ahead else np.empty((0, preparation.known))
        if preparation.known and len(known) < facts.horizon:
            raise DataError(
                f"the future of {', '.join(facts.known)} is not there",
                where=name,
                got=f"{number_of(len(known), 'row')} after the last one whose target is known",
                expected=f"{facts.horizon:,} more rows with these columns filled and the targets left empty",
            )
        future.append(known[: facts.horizon] if preparation.known else np.empty((facts.horizon, 0)))
    return Windows(np.stack(past), np.stack(times), np.stack(future))


def forecast_samples(bundle: Bundle, samples: Samples, name: str = "series") -> Iterator[Forecast]:
    """A forecast for each series, from its last rows on.

    Args:
        bundle: that forecasts.
        samples: of its schema, such as `data.series.read_series_inputs` gives them.
        name: of the input; several series are called by their own names.

    Raises:
        DataError: as `last_windows` and `answer_windows`.
    """
    facts, _ = series_facts(bundle)
    assert samples.series is not None and samples.schema.series is not None
    names = samples.schema.series.names or (name,)
    windows = last_windows(bundle, samples)
    channels = {column.name: column for column in bundle.schema.used_columns}
    for start in range(0, len(windows), BATCH):
        part = windows.take(start, start + BATCH)
        answers = answer_windows(bundle, part)
        for place, values in enumerate(answers, start=start):
            last = int(samples.series.starts[place + 1]) - 1
            yield Forecast(
                names[place],
                time_in_words(int(samples.series.times[last]), facts.unit, part.times[place - start]),
                times_in_words(part.times[place - start], facts.unit),
                values,
                tuple(strange_values([channels[name] for name in facts.channels], windows.past[place])),
            )


def strange_values(columns: Sequence[Column], past: np.ndarray) -> Iterator[str]:
    """What of a window (lookback, channels) lies outside of the range of the training rows, a sentence a channel."""
    for place, column in enumerate(columns):
        if column.low is None or column.high is None:
            continue
        low, high = float(past[:, place].min()), float(past[:, place].max())
        if low < column.low or high > column.high:
            yield (
                f"'{column.name}' goes from {low:g} to {high:g}, outside of {column.low:g} to {column.high:g} "
                "where the model was trained"
            )


def times_in_words(times: np.ndarray, unit: str) -> tuple[str, ...]:
    """(n,) int64 times as people write them: days alone where no time of the day is told."""
    if unit == "row":
        return tuple(f"row {number + 1}" for number in times.tolist())
    return moments_in_words(times)


def time_in_words(time: int, unit: str, others: np.ndarray) -> str:
    """One time, written as it stands among others of the same series."""
    return times_in_words(np.array([time, *others.tolist()], dtype=np.int64), unit)[0]


def forecast_to_json(facts: SeriesFacts, forecast: Forecast) -> dict[str, Any]:
    """What is told: "input", "last", "times", "values" and "quantiles" by target (lists over the times), "strange"."""
    told: dict[str, Any] = {
        "input": forecast.name,
        "last": forecast.last,
        "times": list(forecast.times),
        "values": {name: forecast.values[:, place, 0].tolist() for place, name in enumerate(facts.targets)},
    }
    if facts.quantiles:
        told["quantiles"] = {
            name: {
                f"{quantile:g}": forecast.values[:, place, 1 + number].tolist()
                for number, quantile in enumerate(facts.quantiles)
            }
            for place, name in enumerate(facts.targets)
        }
    return {**told, "strange": list(forecast.strange)}
