"""What each column of a table is (number, category, date, ...), whether a model should see it, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as pc

from flambeau.data.tables.dates import find_date_format, words_in_dates
from flambeau.data.tables.named_pictures import find_pictures, lost_pictures
from flambeau.data.tables.spelling import FALSE_WORDS, TRUE_WORDS, number_of, spell_category
from flambeau.data.tables.table import column_values
from flambeau.errors import DataError, did_you_mean
from flambeau.schema import Column, Finding, Kind

_SAMPLE = 1000
_MOST = 0.9
_MOST_CATEGORIES = 20_000
_FEW_CATEGORIES = 20
_KNOWN_VALUES = 300
_TELLING_MISSING = 0.05
_WORDS_SHOWN = 5
_WORDS_OF_PROSE = 6
_ID_NAME = re.compile(r"(?i:(^|[_\s-])(id|uuid|guid|index|idx|rowid|key|nr|no)$|^unnamed)|[a-z]I[dD]$")
_CODE_NAME = re.compile(r"(?i:(^|[_\s-])(zip|zip_?code|post_?code|postal_?code|plz)$)")
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$", re.IGNORECASE)


def infer_columns(
    table: pyarrow.Table,
    *,
    given: Mapping[str, Kind] | None = None,
    drop: Sequence[str] = (),
    root: Path | None = None,
) -> tuple[tuple[Column, ...], tuple[Finding, ...]]:
    """The kind of every column of a table of inputs (without its target), and what was noticed on the way.

    Args:
        table: as `read_table` gives it.
        given: kinds that the person named; they are not questioned.
        drop: columns that the model must not see.
        root: the folder that paths of pictures are relative to; None where there are none.

    Raises:
        DataError: `given` or `drop` names a column that is not there, or no column is left.
    """
    given = given or {}
    for key, names in (("data.columns", list(given)), ("data.drop", list(drop))):
        for name in names:
            require_column(name, table.column_names, f"{key} names a column")
    columns, findings = [], []
    for name in table.column_names:
        if name in drop:
            columns.append(Column(name, "text", used=False, reason="left out by data.drop"))
            continue
        column, finding = infer_column(name, table[name], given.get(name), root)
        columns.append(column)
        findings.extend([finding] if finding else [])
        if root is not None and name not in given and column.kind != "image":
            lost = lost_pictures(name, table[name], root)
            findings.extend([lost] if lost else [])
    columns = _without_short_texts(columns, table, given)
    if not any(column.used for column in columns):
        kept = [
            name
            for name, column in zip(table.column_names, columns, strict=True)
            if column.kind == "identifier"
        ]
        columns = [
            _kept(column, table[column.name]) if column.name in kept[:1] else column for column in columns
        ]
    unused = tuple(f"{column.name}: {column.reason}" for column in columns if not column.used)
    if unused:
        findings.append(
            Finding("info", "unused-columns", f"not used: {number_of(len(unused), 'column')}", unused)
        )
    return tuple(columns), tuple(findings)


def require_column(name: str, known: Sequence[str], what: str) -> None:
    """Raise DataError, with the nearest name, unless there is such a column."""
    if name not in known:
        # the columns themselves stand in `expected`
        meant = did_you_mean(name, known)
        raise DataError(
            f"{what} that is not in the data: '{name}'",
            expected=", ".join(known[:30]) + (", ..." if len(known) > 30 else ""),
            hint=_no_header(known) or (meant if meant.startswith("did") else ""),
        )


def _no_header(names: Sequence[str]) -> str:
    if names and all(name == f"column_{position + 1}" for position, name in enumerate(names)):
        return "the file has no header line, so its columns are numbered"
    return ""


def infer_column(
    name: str, values: pyarrow.ChunkedArray, given: Kind | None, root: Path | None
) -> tuple[Column, Finding | None]:
    """The kind of one column, and a finding where some of its values do not fit it."""
    count = len(values) - values.null_count
    if given is not None:
        used = given in ("image", "number", "category", "boolean", "date", "text")
        reason = "as data.columns says" + ("" if used else f"; a model does not see columns of kind {given}")
        return _with_facts(
            Column(name, given, used, reason, date_format=find_date_format(values) or ""), values
        ), None
    if count == 0:
        return Column(name, "constant", False, "all of its values are missing"), None
    kind = values.type
    if pyarrow.types.is_nested(kind) or pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        return Column(name, "text", False, f"values of type {kind} are not understood"), None
    distinct = pc.count_distinct(values).as_py()
    if distinct == 1:
        if values.null_count == 0:
            return Column(name, "constant", False, "all of its values are equal"), None
        reason = f"one value, or missing in {_share(values.null_count, len(values))} of the rows"
        return _with_facts(Column(name, "category", True, reason), values), None
    if pyarrow.types.is_boolean(kind):
        return Column(name, "boolean", True, "true or false"), None
    if pyarrow.types.is_date(kind) or pyarrow.types.is_timestamp(kind):
        return Column(name, "date", True, f"dates, such as {_example(values)}"), None
    if pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_duration(kind):
        return _number_column(name, values, distinct), None
    return _text_column(name, values, distinct, root)


def _number_column(name: str, values: pyarrow.ChunkedArray, distinct: int) -> Column:
    numbers = column_values(values, "number")
    if np.isnan(numbers).all():
        return Column(name, "constant", False, "none of its values is a finite number")
    if distinct == 2 and set(np.unique(numbers[~np.isnan(numbers)])) == {0.0, 1.0}:
        return Column(name, "boolean", True, "0 or 1")
    if _counts_rows(name, numbers, distinct):
        return Column(name, "identifier", False, "a different whole number in each row, as an identifier has")
    if _CODE_NAME.search(name) and not np.mod(numbers[~np.isnan(numbers)], 1).any():
        reason = f"{distinct:,} different codes, by its name: places with near numbers need not be alike"
        return _with_facts(Column(name, "category", True, reason), values)
    column = Column(name, "number", True, f"numbers, {distinct:,} different ones")
    return _with_facts(column, values)


def _counts_rows(name: str, numbers: np.ndarray, distinct: int) -> bool:
    if distinct != len(numbers) or len(numbers) < 10 or np.isnan(numbers).any() or np.mod(numbers, 1).any():
        return False
    return bool(_ID_NAME.search(name)) or bool(numbers[0] in (0, 1) and (np.diff(numbers) == 1).all())


def _text_column(
    name: str, values: pyarrow.ChunkedArray, distinct: int, root: Path | None
) -> tuple[Column, Finding | None]:
    count = len(values) - values.null_count
    texts = values.cast(pyarrow.large_string())
    if root is not None and find_pictures(texts, root) is not None:
        return Column(name, "image", True, f"paths of pictures, such as {_example(values)}"), None
    numbers = column_values(texts, "number")
    readable = int((~np.isnan(numbers)).sum())
    if readable >= _MOST * count:
        return _number_with_words(name, texts, numbers, readable, count)
    if distinct == 2 and {spell_category(word).lower() for word in _distinct(texts)} <= {
        *TRUE_WORDS,
        *FALSE_WORDS,
    }:
        return Column(name, "boolean", True, f"two words: {' and '.join(sorted(_distinct(texts)))}"), None
    date_format = find_date_format(texts)
    if date_format is not None:
        reason = f"dates, such as {_example(values)}" + (f", read as {date_format}" if date_format else "")
        found = words_in_dates(name, texts, date_format)
        return Column(name, "date", True, reason, date_format=date_format), found
    missing = values.null_count / len(values)
    if distinct <= max(_FEW_CATEGORIES, min(count // 2, _MOST_CATEGORIES)) and distinct < count:
        return _with_facts(Column(name, "category", True, f"{distinct:,} different words"), values), None
    sample = texts.drop_null().slice(0, _SAMPLE).to_pylist()
    if missing >= _TELLING_MISSING and distinct < count and not _is_prose(sample):
        reason = (
            f"{distinct:,} different words, missing in {_share(values.null_count, len(values))} of the rows"
        )
        return _with_facts(Column(name, "category", True, reason), values), None
    if all(_UUID.match(text) for text in sample) or (distinct >= 0.95 * count and not _is_prose(sample)):
        return Column(name, "identifier", False, f"{distinct:,} different values in {count:,} rows"), None
    return Column(name, "text", True, f"free text, {distinct:,} different values in {count:,} rows"), None


def _number_with_words(
    name: str, texts: pyarrow.ChunkedArray, numbers: np.ndarray, readable: int, count: int
) -> tuple[Column, Finding | None]:
    parsed = pyarrow.chunked_array([pyarrow.array(numbers, from_pandas=True)])
    column = _number_column(name, parsed, pc.count_distinct(parsed).as_py())
    if readable == count:
        return column, None
    strange = np.isnan(numbers) & pc.is_valid(texts).to_numpy()
    words = tuple(dict.fromkeys(texts.filter(pyarrow.array(strange)).to_pylist()))[:_WORDS_SHOWN]
    message = (
        f"'{name}' holds numbers and, in {number_of(count - readable, 'row')}, words; these count as missing"
    )
    return column, Finding("warning", "words-in-numbers", message, words)


def _with_facts(column: Column, values: pyarrow.ChunkedArray) -> Column:
    facts: dict[str, Any] = {}
    if column.kind == "number":
        numbers = column_values(values, "number")
        numbers = numbers[~np.isnan(numbers)]
        if len(numbers):
            facts = {"low": float(numbers.min()), "high": float(numbers.max())}
    elif column.kind == "category":
        counts: Counter[str] = Counter()
        for pair in pc.value_counts(values.drop_null()).to_pylist():
            counts[str(column_values([pair["values"]], "category")[0])] += pair["counts"]
        facts = {"values": tuple(word for word, _ in counts.most_common(_KNOWN_VALUES))}
    return replace(column, **facts)


def _without_short_texts(
    columns: list[Column], table: pyarrow.Table, given: Mapping[str, Kind]
) -> list[Column]:
    """The columns, without such as names and addresses, which tell little beside what stands in other columns."""
    if all(column.kind == "text" for column in columns if column.used):
        return columns
    texts = [c.name for c in columns if c.kind == "text" and c.used and c.name not in given]
    short = {name for name in texts if _median_words(table[name]) < _WORDS_OF_PROSE}
    why = "short texts beside other columns, such as names; data.columns.{}=text uses them"
    return [
        replace(column, used=False, reason=why.format(column.name)) if column.name in short else column
        for column in columns
    ]


def _median_words(values: pyarrow.ChunkedArray) -> float:
    sample = values.drop_null().slice(0, _SAMPLE).to_pylist()
    return float(np.median([len(str(text).split()) for text in sample])) if sample else 0.0


def _kept(column: Column, values: pyarrow.ChunkedArray) -> Column:
    if not (pyarrow.types.is_integer(values.type) or pyarrow.types.is_floating(values.type)):
        words = [str(text) for text in values.drop_null().slice(0, _SAMPLE).to_pylist()]
        if _ID_NAME.search(column.name) or all(_UUID.match(word) for word in words):
            return column
        return Column(column.name, "text", True, "words that seldom repeat, the only column that can be used")
    return _with_facts(Column(column.name, "number", True, "the only column that can be used"), values)


def _is_prose(texts: Sequence[str]) -> bool:
    return sum(text.count(" ") >= 2 for text in texts) > len(texts) / 4


def _distinct(values: pyarrow.ChunkedArray) -> list[str]:
    return [str(value) for value in pc.unique(values.drop_null()).to_pylist()]


def _example(values: pyarrow.ChunkedArray) -> str:
    return f"'{values.drop_null()[0].as_py()}'"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"
