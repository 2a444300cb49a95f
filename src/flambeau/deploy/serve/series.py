"""A server's model that forecasts: rows of the past as JSON to windows, and forecasts to answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, create_model

from flambeau.data.series.series import series_of_rows
from flambeau.data.series.step import apart
from flambeau.data.tables.spelling import number_of
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.forecasts import (
    Forecast,
    Windows,
    answer_windows,
    forecast_to_json,
    last_windows,
    series_facts,
    strange_values,
    time_in_words,
    times_in_words,
)
from flambeau.deploy.serve.limits import RefusalError
from flambeau.schema import SeriesFacts
from flambeau.transforms.series import SeriesPreparation, times_to_come

RANGE: Literal["range"] = "range"
MOST_WINDOW_NUMBERS = 2**23  # in one batch: 64 MiB of what is seen, known and answered


@dataclass(frozen=True)
class SentSeries:
    """What one request asks to forecast.

    Args:
        names: of the series.
        last: times of their last rows, in words.
        windows: at their ends.
    """

    names: tuple[str, ...]
    last: tuple[str, ...]
    windows: Windows

    def __len__(self) -> int:
        return len(self.windows)

    def single(self) -> list[SentSeries]:
        """Each series by itself, as an input of a batch."""
        return [
            SentSeries((name,), (last,), self.windows.take(place, place + 1))
            for place, (name, last) in enumerate(zip(self.names, self.last, strict=True))
        ]


def window_numbers(preparation: SeriesPreparation) -> int:
    """How many numbers one window has: what is seen of the past, what is known of the future, and the forecast."""
    answered = preparation.targets * (1 + len(preparation.quantiles))
    past = preparation.lookback * len(preparation.channels)
    return past + preparation.horizon * (preparation.future + answered)


def count_series(facts: SeriesFacts, rows: Sequence[Mapping[str, Any]]) -> int:
    """How many series these rows may be of, before they are read."""
    return len({str(row.get(facts.series)) for row in rows}) if facts.series else 1


def read_sent_rows(bundle: Bundle, rows: Sequence[Mapping[str, Any]], most: int) -> SentSeries:
    """Rows of a request, the oldest first, as windows.

    Args:
        bundle: that forecasts.
        rows: name → value; rows at the end without targets tell what is known of the future.
        most: series in one request.

    Raises:
        DataError: columns are missing, times cannot be read, or a series is too short.
        RefusalError: 413 for more series than `most`.
    """
    samples = series_of_rows(rows, bundle.schema)
    facts, _ = series_facts(bundle)
    assert samples.series is not None and samples.schema.series is not None
    names = samples.schema.series.names or ("series",)
    if len(names) > most:
        raise RefusalError(
            413, "too many series in one request", got=f"{len(names):,}", expected=f"at most {most:,}"
        )
    windows = last_windows(bundle, samples)
    ends = samples.series.times[samples.series.starts[1:] - 1].tolist()
    last = [time_in_words(end, facts.unit, windows.times[place]) for place, end in enumerate(ends)]
    return SentSeries(names, tuple(last), windows)


def forecast_sent(bundle: Bundle, sent: Sequence[SentSeries]) -> tuple[np.ndarray, list[list[Forecast]]]:
    """All series of several requests, in one batch: predictions (n, horizon, targets, 1 + quantiles), and forecasts."""
    facts, _ = series_facts(bundle)
    parts = [one.windows for one in sent]
    windows = Windows(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("past", "times", "future"))
    )
    predictions = answer_windows(bundle, windows)
    columns = {column.name: column for column in bundle.schema.used_columns}
    channels = [columns[name] for name in facts.channels]
    found, place = [], 0
    for one in sent:
        forecasts = []
        for name, last in zip(one.names, one.last, strict=True):
            times = times_in_words(windows.times[place], facts.unit)
            strange = tuple(strange_values(channels, windows.past[place]))
            forecasts.append(Forecast(name, last, times, predictions[place], strange))
            place += 1
        found.append(forecasts)
    return predictions, found


def joined_answers(facts: SeriesFacts, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The answer to one request, from those to its series."""
    if not facts.series:
        return answers[0]
    return {"forecasts": [forecast for answer in answers for forecast in answer["forecasts"]]}


def sent_answer(facts: SeriesFacts, forecasts: Sequence[Forecast]) -> dict[str, Any]:
    """The answer to one input: of one series its forecast, of a model of several series a list of them."""
    told = [forecast_to_json(facts, forecast) for forecast in forecasts]
    if facts.series:
        return {"forecasts": told}
    return {key: value for key, value in told[0].items() if key != "input"}


def made_up_sent(bundle: Bundle) -> SentSeries:
    """A window in the middle of the training values, to answer before the first request comes."""
    facts, preparation = series_facts(bundle)
    row = np.array([float(channel.restore(np.zeros(()))) for channel in preparation.channels])
    past = np.broadcast_to(row, (1, facts.lookback, len(row)))
    times = times_to_come(0, facts.unit, facts.step, facts.horizon)[None]
    future = np.broadcast_to(row[len(row) - preparation.known :], (1, facts.horizon, preparation.known))
    return SentSeries(("series",), ("",), Windows(past, times, future))


def series_parts(facts: SeriesFacts, number: int) -> tuple[type[BaseModel], type[BaseModel]]:
    """The row and the answer in OpenAPI; `number` tells models apart, as their names may hold anything."""
    fields: dict[str, Any] = {}
    for place, name in enumerate([*facts.time, *([facts.series] if facts.series else []), *facts.channels]):
        text = "A number; null where it is missing."
        if name in facts.time:
            text = "When: as the training data write it."
        elif name == facts.series:
            text = "Which series."
        fields[f"column_{place}"] = (float | str | None, Field(None, alias=name, description=text))
    row = create_model(f"Row{number}", **fields)
    lists = dict[str, list[float | None]]
    told: dict[str, Any] = {
        "last": (str, Field(description="The time of the last known row.")),
        "times": (
            list[str],
            Field(
                description=f"Of the {number_of(facts.horizon, 'row')} to come, {apart(facts.frequency)} apart."
            ),
        ),
        "values": (lists, Field(description="Target → its forecast for each time.")),
        "strange": (list[str], Field(description="What about these rows the training data had none of.")),
    }
    if facts.quantiles:
        told["quantiles"] = (
            dict[str, lists],
            Field(description="Target → quantile → its value for each time."),
        )
    if not facts.series:
        return row, create_model(f"Answer{number}", **told)
    one = create_model(f"Forecast{number}", input=(str, Field(description="Which series.")), **told)
    return row, create_model(f"Answer{number}", forecasts=(list[one], ...))  # type: ignore[valid-type]
