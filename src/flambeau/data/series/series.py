"""From a table to time series: which columns tell the time and the series, what is forecast, and from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.compute as pc

from flambeau.data.listing import list_tables
from flambeau.data.samples import Samples
from flambeau.data.series.columns import find_prices, find_series_column, find_targets, series_columns
from flambeau.data.series.layout import LaidOut, lay_out, row_names
from flambeau.data.series.step import Step
from flambeau.data.series.times import find_time, read_times
from flambeau.data.series.windows import target_windows
from flambeau.data.source import Notes, core_errors
from flambeau.data.tables.kinds import require_column
from flambeau.data.tables.rows import digest_rows, require_inputs
from flambeau.data.tables.spelling import number_of
from flambeau.data.tables.table import TABLE_SUFFIXES, column_values, read_table
from flambeau.errors import DataError, RecipeError, nearest_file
from flambeau.recipe import Recipe
from flambeau.schema import Column, Finding, Schema, SeriesFacts

FEWEST_ROWS = 10


def read_series(source: str, recipe: Recipe) -> Samples:
    """Read a table of time series.

    Args:
        source: a table, one row a time (and series).
        recipe: for the target ("all" for every column of numbers), the horizon, and what the columns are.

    Raises:
        DataError: no table, no target that holds numbers, or too few rows for one window.
    """
    if recipe.data.test is not None:
        raise RecipeError(
            "data.test is for samples that stand alone; time series are tested on their newest rows",
            got=recipe.data.test,
            expected="split.rows=[train,valid,test], of one table",
        )
    table, notes = _open(source, recipe)
    if table.num_rows < FEWEST_ROWS:
        raise DataError(
            f"{number_of(table.num_rows, 'row of a time series is', 'rows of a time series are')} too few to train, "
            "choose and test a forecast",
            where=source,
            expected=f"at least {FEWEST_ROWS} rows",
        )
    time = find_time(table, recipe.forecast.time)
    label = find_series_column(table, time, recipe)
    columns, told = series_columns(table, time, label, recipe)
    numbers = [column.name for column in columns if column.used]
    targets, reason = find_targets(source, table, numbers, recipe.data.target)
    known = tuple(recipe.forecast.known)
    for name in known:
        require_column(name, table.column_names, "forecast.known names a column")
        if name in targets or name not in numbers:
            raise DataError(
                f"'{name}' cannot be known of the future",
                got="a target" if name in targets else "a column that holds no numbers",
                expected="another column of numbers",
            )
    past = tuple(name for name in numbers if name not in targets and name not in known)
    facts = SeriesFacts(
        targets=targets,
        past=past,
        known=known,
        time=time,
        series=label or "",
        horizon=recipe.forecast.horizon or 1,
        prices=find_prices([*targets, *past, *known]),
    )
    laid, unread = _lay_out(table, facts, None)
    findings = (
        *notes,
        *told,
        *unread,
        *laid.findings,
        Finding("info", "task", f"task: forecast of {reason}"),
    )
    facts = _with_layout(facts, laid)
    schema = Schema("series", "forecast", ",".join(targets), columns=columns, series=facts)
    return _samples(schema, laid, findings)


def read_series_inputs(paths: Sequence[str], schema: Schema, recipe: Recipe) -> Samples:
    """Read series to be forecast from their last rows, as an existing schema has them.

    Rows at the end of a series without any target hold what is known of its future.

    Raises:
        DataError: more than one path, no table, or columns that the model needs are missing.
    """
    if len(paths) != 1:
        raise DataError(
            "one table of series is forecast at a time", got=f"{len(paths)} paths",
            expected="one table; a column that names the series holds several",
        )  # fmt: skip
    facts = schema.series
    assert facts is not None
    table, notes = _open(paths[0], recipe)
    return series_of_table(table, schema, notes)


def series_of_table(table: pyarrow.Table, schema: Schema, notes: Sequence[Finding] = ()) -> Samples:
    """Rows of a table with the columns of a schema as samples of it; see `read_series_inputs`."""
    facts = schema.series
    assert facts is not None
    needed = [*facts.channels, *facts.time, *([facts.series] if facts.series else [])]
    require_inputs(_needing(schema, needed), table.column_names)
    step = Step(
        facts.unit,
        facts.step,
        facts.frequency,
        facts.unit in ("second", "month") and facts.frequency != "irregular",
    )
    if not table.num_rows:
        raise DataError(
            "there are no rows to forecast from", got="0 rows", expected="the last rows of a series"
        )
    laid, unread = _lay_out(table, facts, step)
    schema = replace(schema, series=replace(facts, names=laid.names))
    return _samples(schema, laid, (*notes, *unread, *laid.findings))


def _open(source: str, recipe: Recipe) -> tuple[pyarrow.Table, tuple[Finding, ...]]:
    path = Path(source).expanduser()
    if not path.exists():
        beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = nearest_file(path.name, beside)
        raise DataError(f"there is no '{source}'", expected="a table of time series", hint=hint)
    notes = Notes()
    files, told = list_tables(source)
    if len(files) != 1 or files[0][1].suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(
            "time series are read from one table", where=source, got=number_of(len(files), "table"),
            expected="one table; a column that names the series holds several",
        )  # fmt: skip
    with core_errors():
        table = read_table(files[0][1], max_rows=recipe.data.max_rows, on_note=notes)
    return table, (*told, *notes.findings)


def _lay_out(table: pyarrow.Table, facts: SeriesFacts, step: Step | None) -> tuple[LaidOut, list[Finding]]:
    times, findings = (None, []) if not facts.time else read_times(table, facts.time)
    labels = None if not facts.series else column_values(table[facts.series], "category")
    values = np.stack([column_values(table[name], "number") for name in facts.channels], axis=1)
    for place, name in enumerate(facts.channels):
        strange = int(np.isnan(values[:, place]).sum()) - table[name].null_count
        infinite = _infinite(table[name])
        if infinite:
            message = f"{number_of(infinite, 'value')} of '{name}' infinite: they count as missing"
            findings.append(Finding("warning", "infinite-values", message))
        if strange - infinite > 0:
            message = (
                f"{number_of(strange - infinite, 'value')} of '{name}' is no number and counts as missing"
            )
            findings.append(Finding("warning", "unreadable-values", message))
    findings += _without_zero_prices(values, facts)
    if not np.isfinite(values[:, : len(facts.targets)]).any():
        raise DataError(
            f"'{facts.targets[0]}' holds no finite number", got=str(table[facts.targets[0]][0].as_py())
        )
    return lay_out(values, times, labels, len(facts.targets), step=step, known=len(facts.known)), findings


def _without_zero_prices(values: np.ndarray, facts: SeriesFacts) -> list[Finding]:
    """Make prices of 0 missing, in place: nothing is traded at 0, where files have it the price is not known."""
    prices = {name for part, name in facts.prices.items() if part != "volume"}
    found = []
    for place, name in enumerate(facts.channels):
        zero = values[:, place] == 0 if name in prices else np.zeros(0, dtype=bool)
        if zero.any() and not zero.all():
            values[zero, place] = np.nan
            message = f"{number_of(int(zero.sum()), 'price')} of '{name}' are 0: they count as missing"
            found.append(Finding("warning", "zero-prices", message))
    return found


def _infinite(values: pyarrow.ChunkedArray) -> int:
    if pyarrow.types.is_floating(values.type):
        return int(pc.sum(pc.is_inf(values)).as_py() or 0)
    if pyarrow.types.is_large_string(values.type) or pyarrow.types.is_string(values.type):
        found = pc.match_substring_regex(pc.utf8_lower(values), r"^[+-]?inf(inity)?$")
        return int(pc.sum(found).as_py() or 0)
    return 0


def _with_layout(facts: SeriesFacts, laid: LaidOut) -> SeriesFacts:
    return replace(
        facts, names=laid.names, unit=laid.step.unit, step=laid.step.step, frequency=laid.step.words
    )


def _needing(schema: Schema, names: Sequence[str]) -> Schema:
    return replace(schema, columns=tuple(Column(name, "number") for name in names))


def _samples(schema: Schema, laid: LaidOut, findings: Sequence[Finding]) -> Samples:
    facts = schema.series
    assert facts is not None
    targets = laid.series.values[:, : len(facts.targets)]
    columns = {name: laid.series.values[:, place] for place, name in enumerate(facts.channels)}
    columns["the time"] = laid.series.times.astype(np.float64)
    return Samples(
        schema=schema,
        ids=row_names(laid.series, facts.names, facts.unit),
        targets=target_windows(targets, facts.horizon),
        digests=digest_rows(columns, len(laid.series)),
        findings=tuple(findings),
        series=laid.series,
    )


def series_of_rows(rows: Sequence[Mapping[str, object]], schema: Schema) -> Samples:
    """Rows as Python values (such as JSON objects), the oldest first, as samples; see `read_series_inputs`."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    texts = {
        name: pyarrow.array(
            [None if row.get(name) is None else str(row[name]) for row in rows], pyarrow.large_string()
        )
        for name in names
    }
    return series_of_table(pyarrow.table(texts), schema)
