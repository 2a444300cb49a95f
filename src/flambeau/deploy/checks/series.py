"""Whether what a bundle says of time series holds together, before a window is cut or a forecast made."""

from __future__ import annotations

import itertools
import math
from typing import Any

from flambeau.schema import Schema, SeriesFacts
from flambeau.transforms.series import SeriesPreparation

MOST_ROWS_OF_WINDOW = 10**6
# Of one window: what is seen, what is known of the rows to come, and what is answered.
MOST_NUMBERS = 10**7
MOST_TIME = 10**12  # seconds, months, days or rows from the last row to the end of the horizon
MOST_WAVES = 64
MOST_ORDERS = 64
PRICE_ROLES = ("open", "high", "low", "close", "volume")


def series_faults(schema: Schema) -> dict[str, bool]:
    """Sentence → whether it is true, of a schema that may be a stranger's."""
    facts = schema.series
    if facts is None:
        return {"series without facts of them": schema.source == "series" or schema.task == "forecast"}
    used = [column.name for column in schema.used_columns]
    return {
        "facts of series, for other data": schema.source != "series" or schema.task != "forecast",
        "series without a target": not facts.targets,
        "channels of one name": len(set(facts.channels)) != len(facts.channels),
        "channels that are no used columns": sorted(facts.channels) != sorted(used),
        "channels that are no numbers": any(column.kind != "number" for column in schema.used_columns),
        "a window or a horizon beyond all limits": not _is_window(facts.lookback, facts.horizon),
        "more outputs than there may be": facts.outputs > MOST_NUMBERS,
        "a step of no length": facts.step < 1,
        "a horizon that no calendar has": facts.step * facts.horizon > MOST_TIME,
        "a season that cannot be": not 0 <= facts.season <= MOST_ROWS_OF_WINDOW,
        "quantiles that cannot be": not _are_quantiles(facts.quantiles),
        "series of one name": len(set(facts.names)) != len(facts.names),
        "prices that are no channels": not _are_prices(facts),
        "another target than the series have": schema.target != ",".join(facts.targets),
    }


def _is_window(lookback: int, horizon: int) -> bool:
    return 1 <= lookback <= MOST_ROWS_OF_WINDOW and 1 <= horizon <= MOST_ROWS_OF_WINDOW


def _are_quantiles(quantiles: tuple[float, ...]) -> bool:
    rising = all(low < high for low, high in itertools.pairwise(quantiles))
    return rising and all(0 < quantile < 1 for quantile in quantiles)


def _are_prices(facts: SeriesFacts) -> bool:
    return set(facts.prices) <= set(PRICE_ROLES) and set(facts.prices.values()) <= set(facts.channels)


def series_preparation_faults(preparation: SeriesPreparation, schema: Schema) -> dict[str, bool]:
    """Sentence → whether it is true, of a preparation that is to fit the schema."""
    facts, scales = schema.series, preparation.channels
    if facts is None:
        return {"a preparation of series, for other data": True}
    return {
        "channels in another order": [scale.column for scale in scales] != list(facts.channels),
        "another number of targets": preparation.targets != len(facts.targets),
        "another number of known channels": preparation.known != len(facts.known),
        "another window or horizon": (preparation.lookback, preparation.horizon)
        != (facts.lookback, facts.horizon),
        "other quantiles": preparation.quantiles != facts.quantiles,
        "a deviation of zero": not all(0 < scale.std < math.inf for scale in scales),
        "a centre that is no number": not all(math.isfinite(scale.mean) for scale in scales),
        "waves beyond all limits": len(preparation.waves) > MOST_WAVES
        or any(not (wave.period >= 1 and 1 <= wave.orders <= MOST_ORDERS) for wave in preparation.waves),
        "a window of more numbers than there may be": max(
            preparation.lookback * len(scales), preparation.horizon * preparation.future
        )
        > MOST_NUMBERS,
    }


def series_model_arguments(preparation: SeriesPreparation) -> dict[str, Any]:
    """What a model of this preparation must have been made for."""
    return {**window_arguments(preparation), "calendar": preparation.calendar}


def window_arguments(preparation: SeriesPreparation) -> dict[str, Any]:
    """What a window is, for any model of it, a person's own included."""
    return {
        "channels": len(preparation.channels),
        "targets": preparation.targets,
        "lookback": preparation.lookback,
        "horizon": preparation.horizon,
        "quantiles": len(preparation.quantiles),
        "future": preparation.future,
    }
