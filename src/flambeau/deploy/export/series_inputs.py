"""What an artefact that forecasts takes: windows in own units, the times of the rows to come, what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from flambeau.data.samples import Samples, SeriesValues
from flambeau.data.series.step import apart
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.inputs import MOST_ROWS, Raw, RawInput
from flambeau.deploy.forecasts import Windows, series_facts, windows_at
from flambeau.transforms.series import SeriesPreparation, times_to_come

PAST, TIMES, FUTURE = "past", "times", "future"
MADE_UP_WINDOWS = 32


def series_raw_inputs(bundle: Bundle) -> list[RawInput]:
    """Past, then times where the model sees a calendar, then future where channels are known ahead."""
    facts, preparation = series_facts(bundle)
    channels = ", ".join(facts.channels)
    rows = (
        f"the last {facts.lookback:,} rows before the forecast, oldest first, {apart(facts.frequency)} apart"
    )
    meaning = f"{rows}, in own units, gaps filled with the value before; channels: {channels}"
    inputs = [RawInput(PAST, "series", meaning, shape=(facts.lookback, len(facts.channels)))]
    if preparation.waves:
        when = "seconds since 1970-01-01 00:00, without regard to time zones"
        when = "numbers of rows, counted from 0 at the start of the series" if facts.unit == "row" else when
        meaning = f"of each of the {facts.horizon:,} rows to come: {when}"
        inputs.append(RawInput(TIMES, "times", meaning, shape=(facts.horizon,)))
    if facts.known:
        meaning = f"of the rows to come, what is known of them, in own units: {', '.join(facts.known)}"
        inputs.append(RawInput(FUTURE, "series", meaning, shape=(facts.horizon, len(facts.known))))
    return inputs


def raw_of_windows(bundle: Bundle, windows: Windows) -> Raw:
    """Windows by the names of the inputs."""
    arrays = {PAST: windows.past, TIMES: windows.times, FUTURE: windows.future}
    return {one.name: np.ascontiguousarray(arrays[one.name]) for one in series_raw_inputs(bundle)}


def series_batches(bundle: Bundle, samples: Samples, rows: Sequence[int]) -> Iterator[tuple[Raw, np.ndarray]]:
    """Windows inside the data as raw inputs, the first alone and then several at a time, with their last known rows."""
    _, preparation = series_facts(bundle)
    for positions in (rows[:1], *(rows[i : i + MOST_ROWS] for i in range(1, len(rows), MOST_ROWS))):
        windows = windows_at(samples, preparation, positions)
        yield raw_of_windows(bundle, windows), np.asarray(positions, dtype=np.int64)


def made_up_series(bundle: Bundle, generator: np.random.Generator) -> tuple[Samples, list[int]]:
    """One made-up series whose channels lie where the training rows lay, and the last known rows of its windows."""
    facts, preparation = series_facts(bundle)
    count = facts.lookback + facts.horizon + MADE_UP_WINDOWS
    scaled = np.cumsum(generator.normal(0, 0.2, (count, len(facts.channels))), axis=0)
    values = np.stack(
        [channel.restore(scaled[:, place]) for place, channel in enumerate(preparation.channels)], axis=1
    )
    start = 0 if facts.unit == "row" else 1_700_000_000
    times = np.concatenate([[start], times_to_come(start, facts.unit, facts.step, count - 1)])
    series = SeriesValues(values, times, np.array([0, count]), np.ones(count, dtype=bool))
    targets = np.full((count, facts.horizon, len(facts.targets)), np.nan)
    ids = tuple(f"row {number}" for number in range(1, count + 1))
    origins = list(range(facts.lookback - 1, facts.lookback - 1 + MADE_UP_WINDOWS))
    return Samples(bundle.schema, ids, targets, series=series), origins


def eager_windows(preparation: SeriesPreparation, raw: Raw) -> Windows:
    """Raw inputs as windows again; what the model does not take is empty."""
    count = len(raw[PAST])
    times = raw.get(TIMES, np.zeros((count, preparation.horizon), dtype=np.int64))
    future = raw.get(FUTURE, np.zeros((count, preparation.horizon, preparation.known)))
    return Windows(raw[PAST], times, future)
