"""Columns of dates written as texts: in which format most of them are, and which values are no dates."""

from __future__ import annotations

import numpy as np
import pyarrow
import pyarrow.compute as pc

from flambeau.data.tables.spelling import number_of
from flambeau.data.tables.table import parse_dates
from flambeau.schema import Finding

DATE_FORMATS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%b %d, %Y"),
    *("%d %B %Y", "%B %d, %Y", "%d/%m/%y", "%m/%d/%y"),
)
TIME_ENDINGS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")

_SAMPLE = 1000
_MOST = 0.9
# Nothing but dates reads as dates by chance: a column with many broken ones is still one of dates.
_MANY = 0.5
_SHOWN = 5


def find_date_format(values: pyarrow.ChunkedArray) -> str | None:
    """The format in which most values are dates ("" for ISO 8601), or None."""
    if not (pyarrow.types.is_string(values.type) or pyarrow.types.is_large_string(values.type)):
        return None
    texts = values.drop_null()
    sample = texts.slice(0, _SAMPLE)
    if len(sample) == 0 or pc.mean(pc.match_substring_regex(sample, r"\d").cast("int8")).as_py() <= _MANY:
        return None
    formats = ["", *(date + ending for date in DATE_FORMATS for ending in TIME_ENDINGS)]
    shares = {one: _fitting_share(sample, one) for one in formats}
    fitting = [one for one in formats if shares[one] >= _MOST] or [
        one for one in formats if shares[one] > _MANY
    ]
    if not fitting:
        return None
    # Only a day above 12 tells 3/4 from 4/3, and it may stand far down.
    return max(fitting[:4], key=lambda one: _fitting_share(texts, one))


def words_in_dates(name: str, values: pyarrow.ChunkedArray, date_format: str) -> Finding | None:
    """A warning that counts the values of a column of dates that are none, with their rows; None where all are."""
    broken = pc.and_(pc.is_valid(values), pc.is_null(parse_dates(values, date_format)))
    rows = np.flatnonzero(broken.to_numpy(zero_copy_only=False))
    if not len(rows):
        return None
    message = (
        f"'{name}' holds dates and, in {number_of(len(rows), 'row')} of {len(values):,}, values that are no "
        f"date{f' ({date_format})' if date_format else ''}; these count as missing"
    )
    shown = tuple(f"row {row + 1}: {values[int(row)].as_py()}" for row in rows[:_SHOWN])
    return Finding("warning", "words-in-dates", message, shown)


def broken_date(values: pyarrow.ChunkedArray) -> str:
    """A value that is no date in any format, with its row, and how many of the values are; for an error."""
    if not (pyarrow.types.is_string(values.type) or pyarrow.types.is_large_string(values.type)):
        return str(values.drop_null()[0].as_py()) if values.null_count < len(values) else "no values"
    missing = pc.is_null(values).to_numpy(zero_copy_only=False)
    read = np.zeros(len(values), dtype=bool)
    for one in ("", *(date + ending for date in DATE_FORMATS for ending in TIME_ENDINGS)):
        read |= pc.is_valid(parse_dates(values, one)).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(~read & ~missing)
    if not len(rows):
        return "no values" if missing.all() else "dates in several formats"
    first = f"row {rows[0] + 1}: {values[int(rows[0])].as_py()}"
    return f"{first}; {len(rows):,} of {len(values):,} values are no dates"


def _fitting_share(texts: pyarrow.ChunkedArray, date_format: str) -> float:
    return 1 - parse_dates(texts, date_format).null_count / max(len(texts), 1)
