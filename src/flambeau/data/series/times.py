"""When the rows of a time series are: the columns that tell it, and the times in seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow
import pyarrow.compute as pc

from flambeau.data.tables.dates import broken_date
from flambeau.data.tables.kinds import infer_column, require_column
from flambeau.data.tables.table import column_values, parse_dates
from flambeau.errors import DataError
from flambeau.schema import Finding
from flambeau.transforms.series import SECONDS_A_DAY

NO_TIME = np.iinfo(np.int64).min  # NaT as a whole number
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_BOUNDS = (
    ("year", 1, 9999), ("month", 1, 12), ("day", 1, 31), ("hour", 0, 24), ("minute", 0, 59), ("second", 0, 60),
)  # fmt: skip
_MONTHLY = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%y", "%Y%m%d")
_TIME_NAME = re.compile(
    r"(?i)(^|[^a-z])(date|datetime|timestamp|time|ds|month|period|quarter|year|day|epoch|unix)s?($|[^a-z])"
)
_EPOCH_NAME = re.compile(r"(?i)(timestamp|epoch|unix|time)")
_OFFSET = r"(?P<offset>Z|UTC|[+-]\d\d:?\d\d)$"
_QUARTER = r"^(?P<year>\d{4})[ -]?Q(?P<quarter>[1-4])$"
_CLOCK = re.compile(r"\d{1,2}(:\d\d){0,2}$")
_MOST = 0.9
_MANY = 0.5
_FIRST_EPOCH, _LAST_EPOCH = 10**8, 10**10


def find_time(table: pyarrow.Table, wanted: str | None) -> tuple[str, ...]:
    """The columns that tell the time: those that the person named, or the first that looks so; () for none.

    Raises:
        DataError: a named column is not there.
    """
    if wanted == "none":
        return ()
    known = table.column_names
    if wanted is not None:
        names = (wanted,) if wanted in known else tuple(name.strip() for name in wanted.split(","))
        for name in names:
            require_column(name, known, "forecast.time names a column")
        return names
    lower = {name.lower(): name for name in known}
    parts = [lower[part] for part in _PARTS if part in lower and _is_number(table[lower[part]])]
    if len(parts) > 1 and "year" in lower:
        return tuple(parts)
    dates = [name for name in known if _looks_like_time(name, table[name])]
    if not dates:
        return ()
    named = [name for name in dates if _TIME_NAME.search(name)]
    first = (named or dates)[0]
    clocks = [name for name in known if name != first and _is_clock(name, table[name])]
    return (first, clocks[0]) if clocks and _only_days(table, first) else (first,)


def _is_number(values: pyarrow.ChunkedArray) -> bool:
    return pyarrow.types.is_integer(values.type) or pyarrow.types.is_floating(values.type)


def _is_text(values: pyarrow.ChunkedArray) -> bool:
    return pyarrow.types.is_string(values.type) or pyarrow.types.is_large_string(values.type)


def _looks_like_time(name: str, values: pyarrow.ChunkedArray) -> bool:
    if pyarrow.types.is_date(values.type) or pyarrow.types.is_timestamp(values.type):
        return True
    if _is_number(values) and not (_TIME_NAME.search(name) and len(values) > values.null_count):
        return False
    read = _single_times(name, values.slice(0, 1000))
    # what is no date is told with its row; a column of numbers may be anything else
    share = float((read != NO_TIME).mean()) if len(read) else 0.0
    return share > _MANY if _is_text(values) else share >= _MOST


def _is_clock(name: str, values: pyarrow.ChunkedArray) -> bool:
    """Whether a column holds times of the day, beside one that holds days."""
    if pyarrow.types.is_time(values.type):
        return True
    if name.lower() not in ("time", "hour", "clock", "time of day"):
        return False
    some = [str(value) for value in values.drop_null().slice(0, 100).to_pylist()]
    return bool(some) and all(_CLOCK.match(text) for text in some)


def _only_days(table: pyarrow.Table, name: str) -> bool:
    times = _single_times(name, table[name])
    there = times[times != NO_TIME]
    return bool(len(there)) and not np.mod(there, SECONDS_A_DAY).any()


def read_times(table: pyarrow.Table, names: Sequence[str]) -> tuple[np.ndarray, list[Finding]]:
    """(rows,) int64 seconds since 1970, `NO_TIME` where a time cannot be read; and what was noticed.

    Raises:
        DataError: a column that holds no times.
    """
    findings: list[Finding] = []
    if len(names) == 1:
        times = _single_times(names[0], table[names[0]])
        times, findings = _one_zone(table[names[0]], times)
    elif all(name.lower() in _PARTS and _is_number(table[name]) for name in names):
        times = _times_of_parts({name.lower(): column_values(table[name], "number") for name in names})
    else:
        columns = [_as_clock(table[name]) for name in names]
        joined = pc.binary_join_element_wise(*columns, pyarrow.scalar(" ", pyarrow.large_string()))
        times = _single_times(" ".join(names), pyarrow.chunked_array([joined]))
    if not (times != NO_TIME).any():
        raise DataError(
            f"'{' '.join(names)}' holds no times",
            got=broken_date(table[names[0]]),
            expected="dates such as 2024-03-01 or 2024-03-01 12:00",
            command="--set forecast.time=COLUMN, or forecast.time=none where rows are just in order",
        )
    return times, findings


def _as_clock(values: pyarrow.ChunkedArray) -> pyarrow.Array:
    """A column of days or of times of the day as texts that stand behind each other."""
    texts = []
    for value in values.to_pylist():
        text = "" if value is None else str(value).strip()
        if re.fullmatch(r"\d{1,2}(\.0)?", text):
            text = f"{int(float(text)):02d}:00"
        elif re.fullmatch(r"\d:\d\d(:\d\d)?", text):
            text = "0" + text
        texts.append(text.removesuffix(" 00:00:00"))
    return pyarrow.array(texts, pyarrow.large_string())


def _times_of_parts(parts: dict[str, np.ndarray]) -> np.ndarray:
    count = len(parts["year"]) if "year" in parts else 0
    filled = {
        name: parts.get(name, np.full(count, 1.0 if name in ("month", "day") else 0.0)) for name in _PARTS
    }
    there = np.all([(filled[part] >= low) & (filled[part] <= high) for part, low, high in _BOUNDS], axis=0)
    whole = {name: np.where(there, values, 1).astype(np.int64) for name, values in filled.items()}
    months = ((whole["year"] - 1970) * 12 + whole["month"] - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + whole["day"] - 1
    seconds = days * SECONDS_A_DAY + whole["hour"] * 3600 + whole["minute"] * 60 + whole["second"]
    # day 31 of a month of 30 is no day
    there &= days.astype("datetime64[D]").astype("datetime64[M]") == months
    return np.where(there, seconds, NO_TIME)


def _single_times(name: str, values: pyarrow.ChunkedArray) -> np.ndarray:
    """One column as seconds since 1970; `NO_TIME` where it holds no time."""
    if _is_number(values):
        return _times_of_numbers(name, column_values(values, "number"))
    if not _is_text(values):
        return column_values(values, "date").astype("datetime64[s]").astype(np.int64)
    column, _ = infer_column(name, values, None, None)
    if column.kind == "date":
        return column_values(values, "date", column.date_format).astype(np.int64)
    quarters = pc.extract_regex(values, _QUARTER)
    if quarters.null_count <= (1 - _MOST) * len(values):
        flat = quarters.combine_chunks()
        years, quarter = (column_values(pc.struct_field(flat, place), "number") for place in (0, 1))
        return _times_of_parts({"year": years, "month": quarter * 3 - 2})
    for form in _MONTHLY:
        # without a day no text is a date for the parser, so the first of the month is written behind it
        texts = (
            values
            if "%d" in form
            else pc.binary_join_element_wise(
                values, *(pyarrow.scalar(word, values.type) for word in ("01", "/"))
            )
        )
        parsed = parse_dates(texts, form if "%d" in form else f"{form}/%d")
        if parsed.null_count <= (1 - _MOST) * max(1, len(values)):
            return np.array(parsed.to_numpy().astype("datetime64[s]").astype(np.int64))
    return np.full(len(values), NO_TIME)


def _times_of_numbers(name: str, numbers: np.ndarray) -> np.ndarray:
    """Seconds or milliseconds since 1970, 20240301, or years."""
    there = numbers[np.isfinite(numbers)]
    none = np.full(len(numbers), NO_TIME)
    if not len(there) or np.mod(there, 1).any():
        return none
    whole = np.where(np.isfinite(numbers), numbers, 0).astype(np.int64)
    low, high = int(there.min()), int(there.max())
    if low >= 18_000_101 and high <= 22_001_231 and 1 <= low % 100 <= 31:
        return np.where(np.isfinite(numbers), _times_of_parts(
            {"year": whole // 10_000 * 1.0, "month": whole // 100 % 100 * 1.0, "day": whole % 100 * 1.0}
        ), NO_TIME)  # fmt: skip
    if low >= 1500 and high <= 2200 and "year" in name.lower():
        return np.where(np.isfinite(numbers), _times_of_parts({"year": whole * 1.0}), NO_TIME)
    if _EPOCH_NAME.search(name):
        for divisor in (1, 1000, 1_000_000, 1_000_000_000):
            if low // divisor >= _FIRST_EPOCH and high // divisor <= _LAST_EPOCH:
                return np.where(np.isfinite(numbers), whole // divisor, NO_TIME)
    return none


def _one_zone(values: pyarrow.ChunkedArray, times: np.ndarray) -> tuple[np.ndarray, list[Finding]]:
    """Times in one zone, UTC, where they are written in several: dates alone would stand twice or in a wrong order."""
    if pyarrow.types.is_timestamp(values.type) and values.type.tz:
        return times, [
            Finding("info", "time-zones", "times are written with their time zone; all are taken as UTC")
        ]
    if not _is_text(values) or not len(values):
        return times, []
    found = pc.struct_field(pc.extract_regex(values, _OFFSET).combine_chunks(), 0)
    zones = [zone for zone in pc.unique(found).to_pylist() if zone]
    if len(zones) < 2:
        return times, []
    shift = {zone: 0 if zone in ("Z", "UTC") else _seconds_of(zone) for zone in zones}
    shifts = np.array([shift.get(zone, 0) for zone in found.to_pylist()], dtype=np.int64)
    message = (
        f"times are written in {len(zones)} time zones ({', '.join(sorted(zones)[:5])}); all are taken as UTC"
    )
    return np.where(times == NO_TIME, times, times - shifts), [Finding("info", "time-zones", message)]


def _seconds_of(zone: str) -> int:
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds
