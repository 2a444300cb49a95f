"""A forecast as lines for the terminal: a table of the times to come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flambeau.cli.words import number, table
from flambeau.evaluation.wording import band_words

FIRST_TARGETS = 6


def forecast_lines(forecast: dict[str, Any]) -> Iterator[str]:
    """The name of the input, then a line a time: the forecast of each target, with its outermost quantiles.

    Args:
        forecast: as `forecast_to_json` gives it.
    """
    values: dict[str, list[float]] = forecast["values"]
    quantiles: dict[str, dict[str, list[float]]] = forecast.get("quantiles", {})
    shown = list(values)[:FIRST_TARGETS]
    more = (
        f"; {len(values) - len(shown)} more targets with --json or --out" if len(values) > len(shown) else ""
    )
    yield f"{forecast['input']}  from {forecast['last']} on{more}"
    header = ["time"]
    for name in shown:
        header += [name, *([_between(quantiles[name])] if name in quantiles else [])]
    lines = [header]
    for place, time in enumerate(forecast["times"]):
        line = [time]
        for name in shown:
            line.append(number(values[name][place]))
            if name in quantiles:
                low, high = _outermost(quantiles[name])
                line.append(f"{number(low[place])} to {number(high[place])}")
        lines.append(line)
    yield from table(lines)
    for sentence in forecast["strange"]:
        yield f"! {sentence}"


def _outermost(quantiles: dict[str, list[float]]) -> tuple[list[float], list[float]]:
    lists = list(quantiles.values())
    return lists[0], lists[-1]


def _between(quantiles: dict[str, list[float]]) -> str:
    names = list(quantiles)
    return band_words(float(names[0]), float(names[-1]))
