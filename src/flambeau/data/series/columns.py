"""The columns of a table of time series: which names the series, which are forecast, and which hold prices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow

from flambeau.data.series.times import read_times
from flambeau.data.source import quoted
from flambeau.data.tables.kinds import infer_columns, require_column
from flambeau.data.tables.spelling import number_of
from flambeau.data.tables.table import column_values
from flambeau.errors import DataError
from flambeau.recipe import Recipe
from flambeau.schema import Column, Finding

ALL = "all"
_PRICE_WORDS = {
    "open": "open", "high": "high", "low": "low", "close": "close", "volume": "volume", "vol": "volume",
}  # fmt: skip
LIKELY_TARGETS = ("target", "y", "value", "close", "sales", "price", "load", "demand", "ot")


def find_prices(names: Sequence[str]) -> dict[str, str]:
    """open, high, low, close, volume → column, where these are the columns of traded prices; {} where they are not.

    >>> find_prices(["AAPL.Open", "AAPL.High", "AAPL.Low", "AAPL.Close", "AAPL.Volume", "up"])["close"]
    'AAPL.Close'
    """
    found: dict[str, str] = {}
    for name in names:
        words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
        if words and words[-1] in _PRICE_WORDS and "adj" not in words:
            found.setdefault(_PRICE_WORDS[words[-1]], name)
    return found if {"open", "high", "low", "close"} <= found.keys() else {}


def find_series_column(table: pyarrow.Table, time: Sequence[str], recipe: Recipe) -> str | None:
    """The column that names the series: as the person says, or one of words whose values repeat every time."""
    wanted = recipe.forecast.series
    if wanted == "none":
        return None
    if wanted is not None:
        require_column(wanted, table.column_names, "forecast.series names a column")
        return wanted
    if not time:
        return None
    times, _ = read_times(table, time)
    rows = len(times)
    if len(np.unique(times)) > 0.8 * rows:
        return None
    for name in table.column_names:
        if name in time or pyarrow.types.is_floating(table[name].type):
            continue
        codes = np.unique(column_values(table[name], "category").astype(str), return_inverse=True)[1]
        pairs = np.unique(np.stack([times, codes.astype(np.int64)]), axis=1).shape[1]
        if pairs >= 0.98 * rows and codes.max() < rows // 2:
            return name
    others = [
        name
        for name in table.column_names
        if name not in time and not pyarrow.types.is_floating(table[name].type) and name != recipe.data.target
    ]
    keep = "--set forecast.series=none keeps the last row of each time"
    raise DataError(
        "times stand several times in the data, and no column tells the series apart",
        got=f"{len(np.unique(times)):,} times in {rows:,} rows",
        expected="a column that names the series, or one row a time",
        hint=f"columns that could: {', '.join(others[:8])}" if others else "",
        command=f"--set forecast.series=COLUMN; or {keep}" if others else keep,
    )


def series_columns(
    table: pyarrow.Table, time: Sequence[str], label: str | None, recipe: Recipe
) -> tuple[tuple[Column, ...], list[Finding]]:
    """Every column of the table: those of numbers are used."""
    wanted = recipe.data.target or ""
    targets = [] if wanted == ALL else [wanted, *(part.strip() for part in wanted.split(","))]
    inferred, told = infer_columns(
        table.drop_columns([*time, *([label] if label else [])]),
        given={**{name: "number" for name in targets if name in table.column_names}, **recipe.data.columns},
        drop=recipe.data.drop,
    )
    findings = [finding for finding in told if finding.code != "unused-columns"]
    by_name = {column.name: column for column in inferred}
    made = []
    for name in table.column_names:
        if name in time:
            made.append(Column(name, "date", False, "it tells the time"))
        elif name == label:
            made.append(Column(name, "category", False, "it names the series"))
        elif by_name[name].used and by_name[name].kind not in ("number", "boolean"):
            reason = "a forecast is made from columns of numbers"
            made.append(replace(by_name[name], used=False, reason=reason))
        elif by_name[name].used:
            asked = name in targets and name not in recipe.data.columns
            reason = "it is forecast" if asked else by_name[name].reason
            made.append(replace(by_name[name], kind="number", reason=reason))
        else:
            made.append(by_name[name])
    unused = tuple(
        f"{one.name}: {one.reason}"
        for one in made
        if not one.used and one.name not in time and one.name != label
    )
    if unused:
        findings.append(
            Finding("info", "unused-columns", f"not used: {number_of(len(unused), 'column')}", unused)
        )
    return tuple(made), findings


def find_targets(
    source: str, table: pyarrow.Table, numbers: Sequence[str], wanted: str | None
) -> tuple[tuple[str, ...], str]:
    """The columns to forecast, and in words which."""
    if not numbers:
        raise DataError(
            "there is no column of numbers to forecast", where=source, got=", ".join(table.column_names[:20])
        )
    if wanted == ALL and ALL not in table.column_names:
        return tuple(numbers), f"all {len(numbers)} columns of numbers"
    if wanted is None:
        if len(numbers) == 1:
            return (numbers[0],), f"'{numbers[0]}', the only column of numbers"
        likely = next(
            (
                name
                for word in LIKELY_TARGETS
                for name in numbers
                if word in re.split(r"[^a-z]+", name.lower())
            ),
            numbers[-1],
        )
        raise DataError(
            "which column is to be forecast?",
            where=source,
            got=f"columns {', '.join(numbers[:20])}",
            expected=f"one of them, such as '{likely}', or all",
            command=f"flambeau train {quoted(source)} --task forecast --target {quoted(likely)}",
        )
    names = (
        (wanted,)
        if wanted in table.column_names
        else tuple(part.strip() for part in wanted.split(",") if part.strip())
    )
    for name in names:
        require_column(name, table.column_names, "--target names a column")
        if name not in numbers:
            raise DataError(f"'{name}' holds no numbers to forecast", expected=", ".join(numbers[:20]))
    return names, listed_targets(names)


def listed_targets(names: Sequence[str]) -> str:
    """Targets in words: the names of a few, or how many they are."""
    return ", ".join(f"'{name}'" for name in names) if len(names) <= 3 else f"{len(names)} columns"
