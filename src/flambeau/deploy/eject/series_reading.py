"""Texts that read time series: the shortest of several whose values and times equal what flambeau reads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.join import fingerprint
from flambeau.data.samples import Samples
from flambeau.data.series.series import read_series
from flambeau.data.tables.delimited import sniff_layout
from flambeau.data.tables.kinds import infer_column
from flambeau.data.tables.spelling import MISSING_SPELLINGS
from flambeau.data.tables.table import DELIMITED_SUFFIXES, read_table
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.reading import reading_names, same
from flambeau.deploy.eject.text import Code, call, literal
from flambeau.errors import DataError, RunError
from flambeau.schema import SeriesFacts

STACKED = "values = np.stack([columns[name] for name in CHANNELS], axis=1)"
FILLED = """\
for row in range(1, len(values)):  # a gap holds the value before it
    values[row] = np.where(np.isnan(values[row]), values[row - 1], values[row])"""


def series_reading(facts: RunFacts) -> str:
    """The function `read_series`, as text, which gives values (rows, channels) and, where they are needed, times.

    Raises:
        RunError: the data have changed, or no short plain text reads the same values.
    """
    samples = _read_again(facts)
    problem = "other values than the run was trained on"
    for body in _bodies(facts, samples):
        text = _function(body, needs_times(facts))
        try:
            if _gives(text, samples, facts):
                return text
        except (
            Exception
        ) as error:  # a text that does not suit these data fails in any way; the next one is tried
            problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    raise RunError(
        "no short plain script reads these series as flambeau does",
        where=facts.recipe.source,
        got=problem,
        expected="a CSV or Parquet table, one row a time in order, and dates as in ISO 8601",
        hint="sort the rows by time, fill the gaps, save them as CSV, and train on that",
    )


def needs_times(facts: RunFacts) -> bool:
    """Whether the model sees a calendar."""
    return bool(getattr(facts.bundle.preparation, "waves", ()))


def series_facts_of(facts: RunFacts) -> SeriesFacts:
    """The facts of the series. Raises RunError for a run of other data."""
    if facts.bundle.schema.series is None:
        raise RunError("this run is not of time series", where=facts.folder.path)
    return facts.bundle.schema.series


def _read_again(facts: RunFacts) -> Samples:
    source = facts.recipe.source
    try:
        samples = read_series(str(source), facts.recipe)
    except DataError as error:
        raise RunError(
            "the data of this run cannot be read, and its script must read the same",
            where=source,
            got=error.what,
            expected="the data in the place where the run was trained on them",
        ) from error
    if fingerprint(samples) != facts.folder.read_json("data.json")["fingerprint"]:
        raise RunError(
            "the data have changed since this run, so a script could not repeat it",
            where=source,
            command=f"flambeau verify {facts.folder.path}",
        )
    return samples


def _function(body: list[str], times: bool) -> str:
    returns = "tuple[np.ndarray, np.ndarray]" if times else "np.ndarray"
    told = "and the times of the rows" if times else "the targets first"
    lines = [f"def read_series() -> {returns}:", f'    """(rows, channels) values in own units, {told}."""']
    lines += [f"    {line}" for part in body for line in part.split("\n")]
    return "\n".join([*lines, "    return values, times" if times else "    return values"])


def _gives(text: str, samples: Samples, facts: RunFacts) -> bool:
    assert samples.series is not None
    channels = f"CHANNELS = {literal(series_facts_of(facts).channels)}"
    path = f"DATA = Path({literal(str(Path(str(facts.recipe.source)).resolve()))})"
    namespace: dict[str, Any] = {**reading_names(), "np": np, "Path": Path, "__name__": "candidate"}
    exec(compile("\n".join([channels, path, text]), "candidate", "exec"), namespace)
    found = namespace["read_series"]()
    if not needs_times(facts):
        return same(found, samples.series.values)
    return same(found[0], samples.series.values) and same(found[1], samples.series.times)


def _bodies(facts: RunFacts, samples: Samples) -> Iterator[list[str]]:
    """From the shortest to the most careful."""
    series = series_facts_of(facts)
    for columns, filled, order in itertools.product(
        _ways_to_read(facts, dates=False), ((), (FILLED,)), ((), ("values = values[::-1].copy()",))
    ):
        if not series.series:
            yield [columns, STACKED, *order, *filled, *_counted_times(facts, samples)]
    if series.time:
        for columns, filled in itertools.product(_ways_to_read(facts, dates=True), ((), (FILLED,))):
            yield [columns, *_sorted_lines(series), *filled]
            yield [columns, *_sorted_lines(series), *_gap_lines(series), FILLED]
            yield [columns, *_sorted_lines(series), *_uneven_gap_lines(series), FILLED]


def _counted_times(facts: RunFacts, samples: Samples) -> list[str]:
    """Lines that count the times from the first one on."""
    if not needs_times(facts):
        return []
    series = series_facts_of(facts)
    assert samples.series is not None
    first = int(samples.series.times[0])
    if series.unit in ("second", "row"):
        return [f"times = {first} + {series.step} * np.arange(len(values))"]
    later = f"times_to_come({first}, {literal(series.unit)}, {series.step}, len(values) - 1)"
    return [f"times = np.concatenate([[{first}], {later}])"]


def _ways_to_read(facts: RunFacts, *, dates: bool) -> Iterator[str]:
    """Lines that make `columns`: the channels, and with `dates` the time and the name of the series."""
    series, path = series_facts_of(facts), Path(str(facts.recipe.source))
    words = [series.series] if series.series else []
    if dates and len(series.time) != 1:
        return
    form = _date_format(path, series.time[0], facts) if dates else ""
    given: dict[str, Any] = {"numbers": Code("CHANNELS")}
    if dates:
        given |= {"dates": list(series.time), **({"words": words} if words else {})}
    suffix = path.suffix.lower()
    if suffix in DELIMITED_SUFFIXES:
        layout = sniff_layout(path)
        options: dict[str, Any] = {} if layout.delimiter == "," else {"delimiter": layout.delimiter}
        options |= {"date_format": form} if form else {}
        for missing in (("",), ("", "NA"), MISSING_SPELLINGS):
            spelled = {} if missing == ("",) else {"missing": missing}
            yield "columns = " + call("read_tidy_csv", Code("DATA"), **given, **options, **spelled)
    if suffix in (".parquet", ".pq"):
        yield "columns = " + call("read_tidy_parquet", Code("DATA"), **given)
    kinds: dict[str, tuple[str, str]] = dict.fromkeys(series.channels, ("number", ""))
    if dates:
        kinds |= {series.time[0]: ("date", form), **dict.fromkeys(words, ("category", ""))}
    yield "columns = " + call("read_columns", Code("DATA"), kinds)


def _date_format(path: Path, name: str, facts: RunFacts) -> str:
    table = read_table(path, max_rows=facts.recipe.data.max_rows)
    return infer_column(name, table[name], None, None)[0].date_format


def _sorted_lines(series: SeriesFacts) -> list[str]:
    """Lines that put rows into the order of time, those of one series together."""
    lines = [f'times = columns[{literal(series.time[0])}].astype("datetime64[s]").astype(np.int64)']
    if series.series:
        name = literal(series.series)
        lines += [
            f"names = list(dict.fromkeys(columns[{name}]))",
            f"order = np.lexsort((times, [names.index(name) for name in columns[{name}]]))",
        ]
    else:
        lines.append('order = np.argsort(times, kind="stable")')
    return [*lines, STACKED.replace("axis=1)", "axis=1)[order]"), "times = times[order]"]


def _gap_lines(series: SeriesFacts) -> list[str]:
    """Lines that put in rows that are absent, of one series whose rows are so many seconds apart."""
    return [
        f"places = (times - times[0]) // {series.step}",
        "whole = np.full((places[-1] + 1, values.shape[1]), np.nan)",
        "whole[places] = values",
        "values = whole",
        f"times = times[0] + {series.step} * np.arange(len(values))",
    ]


def _uneven_gap_lines(series: SeriesFacts) -> list[str]:
    """The same where clocks change, so that some steps are an hour longer or shorter."""
    return [
        f"places = np.rint((times - times[0]) / {series.step}).astype(np.int64)",
        "whole = np.full((places[-1] + 1, values.shape[1]), np.nan)",
        "whole[places] = values",
        'last = np.searchsorted(places, np.arange(len(whole)), side="right") - 1',
        f"times = times[last] + {series.step} * (np.arange(len(whole)) - places[last])",
        "values = whole",
    ]
