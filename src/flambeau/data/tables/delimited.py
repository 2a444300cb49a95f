"""Delimited text (CSV, TSV): find how it is written from its beginning, then let arrow read it."""

from __future__ import annotations

import contextlib
import csv
import gc
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow
from pyarrow import csv as arrow_csv

from flambeau.data.tables.spelling import MISSING_SPELLINGS, NUMBER_PATTERN, number_of

_SAMPLE_BYTES = 256 * 1024
_SAMPLE_ROWS = 200
LARGEST_BLOCK = 2**31 - 1
_LINES_OF_TABLE = 5
_DELIMITERS = ",;\t|"
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+$")


@dataclass(frozen=True)
class TextLayout:
    """How a delimited file is written.

    Args:
        encoding: of its bytes.
        delimiter: between two values.
        decimal_point: within a number.
        has_header: whether the first row holds names.
        names: of the columns; made up where there is no header.
    """

    encoding: str
    delimiter: str
    decimal_point: str
    has_header: bool
    names: tuple[str, ...]


def read_delimited(
    path: Path, *, on_note: Callable[[str, str], None] = lambda code, message: None
) -> pyarrow.Table:
    """A delimited file as an arrow table, with types as arrow infers them and missing values as nulls.

    Rows with too few or too many values are left out and counted.

    Raises:
        ValueError: there is no table in it; names the file.
    """
    layout = sniff_layout(path)
    try:
        table, skipped = _read_with(path, layout)
        if any(pyarrow.types.is_binary(kind) for kind in table.schema.types):
            layout = replace(layout, encoding=single_byte_encoding(path))
            table, skipped = _read_with(path, layout)
    except (pyarrow.ArrowInvalid, UnicodeError) as error:
        raise ValueError(f"{path}: cannot be read as a table: {error}") from error
    tell_layout(path, layout, table.num_rows, len(skipped), "".join(skipped[:1]), on_note)
    return table


def tell_layout(
    path: Path,
    layout: TextLayout,
    rows: int,
    skipped: int,
    first_skipped: str,
    on_note: Callable[[str, str], None],
) -> None:
    """Tell what is unusual about a delimited file. Raises ValueError where more rows were skipped than read."""
    if layout.encoding not in ("utf-8", "utf-16"):
        on_note("encoding", f"{path.name} is not UTF-8; its letters were read as {layout.encoding}")
    if layout.decimal_point == ",":
        on_note("decimal-comma", f"{path.name} writes numbers with a comma, such as 1,5; they were read so")
    if not layout.has_header:
        on_note(
            "no-header",
            f"the first row of {path.name} holds values, not names; the columns are called "
            f"{layout.names[0]} to {layout.names[-1]}",
        )
    if skipped > max(rows, 1):
        raise ValueError(
            f"{path}: {skipped} of {skipped + rows} rows do not have "
            f"{len(layout.names)} values separated by "
            f"{layout.delimiter!r}; expected as many values in each row as in the first"
        )
    if skipped:
        on_note(
            "ragged-rows",
            f"left out: {number_of(skipped, 'row')} of {path.name} without {len(layout.names)} values, "
            f"the first of them: {first_skipped[:80]!r}",
        )


def looks_delimited(path: Path) -> bool:
    """Whether the first lines have the same number of values each, and more than one, as lines of prose have not.

    Raises OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    lines = [line for line in sample.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    lines = lines[:-1] if len(sample) == _SAMPLE_BYTES else lines
    for delimiter in _DELIMITERS:
        try:
            counts = {len(row) for row in csv.reader(lines[:_SAMPLE_ROWS], delimiter=delimiter)}
        except csv.Error:
            continue
        if len(lines) >= _LINES_OF_TABLE and len(counts) == 1 and counts.pop() > 1:
            return True
    return False


def sniff_layout(path: Path) -> TextLayout:
    """How a delimited file is written, from its beginning. Raises ValueError if there is nothing in it."""
    with path.open("rb") as file:
        start = file.read(_SAMPLE_BYTES)
    if not start.strip():
        raise ValueError(f"{path}: the file is empty; expected a table")
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    if encoding == "utf-8" and b"\x00" in start:
        raise ValueError(f"{path}: it holds zero bytes and is no text; expected a table as delimited text")
    text = _decode_start(start, encoding)
    if text is None:
        encoding = single_byte_encoding(path)
        text = start.decode(encoding, errors="replace")
    text = text.removeprefix("\ufeff")
    if len(start) == _SAMPLE_BYTES:
        text = text[: text.rfind("\n") + 1] or text
    delimiter, rows = _best_delimiter(text)
    first, body = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    has_header = _is_header(first)
    if has_header:
        names = tuple(name.strip() for name in first)
    else:
        names = tuple(f"column_{number}" for number in range(1, len(first) + 1))
    return TextLayout(encoding, delimiter, _decimal_point(delimiter, body), has_header, names)


def _decode_start(start: bytes, encoding: str) -> str | None:
    # The sample may end in the middle of a letter of several bytes.
    for cut in range(4):
        try:
            return start[: len(start) - cut].decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(start) - 4:
                return None
    return None


def _best_delimiter(text: str) -> tuple[str, list[list[str]]]:
    best: tuple[float, str, list[list[str]]] = (-1.0, ",", [])
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter)
        rows: list[list[str]] = []
        # such as a value beyond the csv module's limit; the rows before it tell enough
        with contextlib.suppress(csv.Error):
            for row in itertools.islice(reader, _SAMPLE_ROWS):
                rows += [row] if row else []
        if not rows:
            continue
        width, agreeing = Counter(len(row) for row in rows).most_common(1)[0]
        score = agreeing / len(rows) * (1 + (width > 1)) + width * 1e-6
        if score > best[0]:
            best = (score, delimiter, rows)
    return best[1], best[2] or [[text.strip()]]


def _is_header(first: list[str]) -> bool:
    numbers = [value.strip() for value in first if re.match(NUMBER_PATTERN, value.strip())]
    if not numbers:
        return True
    # Years or counts as names (2019, 2020, 2021) run on by one; values of a first row hardly do.
    if len(numbers) >= 3 and all(number.isdigit() for number in numbers):
        steps = {int(b) - int(a) for a, b in itertools.pairwise(numbers)}
        return steps == {1}
    return False


def _decimal_point(delimiter: str, rows: list[list[str]]) -> str:
    if delimiter == ",":
        return "."
    values = [value.strip() for row in rows for value in row]
    with_comma = sum(bool(_COMMA_NUMBER.match(value)) for value in values)
    with_point = sum(bool(re.match(NUMBER_PATTERN, value)) and "." in value for value in values)
    return "," if with_comma > with_point else "."


def single_byte_encoding(path: Path) -> str:
    """The encoding of a text of one byte a letter: cp1252, or latin-1 where a byte has no letter in that."""
    undefined = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))
    with path.open("rb") as file:
        while block := file.read(2**20):
            if len(block.translate(None, undefined)) < len(block):
                return "latin-1"
    return "cp1252"


def _read_with(path: Path, layout: TextLayout) -> tuple[pyarrow.Table, list[str]]:
    """The table, and the rows that were skipped because they have another number of values."""
    skipped: list[str] = []

    def skip_row(row: arrow_csv.InvalidRow) -> str:
        skipped.append(row.text)
        return "skip"

    try:
        # Most files have no such rows, and a handler in Python that Arrow's threads still hold when the
        # interpreter ends makes the process abort; so it is given only where it is needed, and collected at once.
        return _parse(path, layout, None), skipped
    except pyarrow.ArrowInvalid as error:
        if "columns, got" not in str(error):
            raise
    try:
        return _parse(path, layout, skip_row), skipped
    finally:
        gc.collect()


def _parse(
    path: Path, layout: TextLayout, skip_row: Callable[[arrow_csv.InvalidRow], str] | None
) -> pyarrow.Table:
    read_options, parse_options, convert_options = delimited_options(layout, skip_row)
    most = min(path.stat().st_size + 1, LARGEST_BLOCK)
    while True:
        try:
            table = arrow_csv.read_csv(
                path, read_options=read_options, parse_options=parse_options, convert_options=convert_options
            )
            return table.rename_columns(list(layout.names))
        except pyarrow.ArrowInvalid as error:
            # a single value that is longer than a block, such as a whole book
            if "straddl" not in str(error) or read_options.block_size >= most:
                raise
            read_options.block_size = min(most, 16 * read_options.block_size)


def delimited_options(
    layout: TextLayout, skip_row: Callable[[arrow_csv.InvalidRow], str] | None
) -> tuple[arrow_csv.ReadOptions, arrow_csv.ParseOptions, arrow_csv.ConvertOptions]:
    """How arrow reads a file of this layout; its columns are called "0", "1" and so on.

    Args:
        layout: from `sniff_layout`.
        skip_row: called with each row that has another number of values; None where such a row is an error.
    """
    # Arrow wants distinct names while it reads; the file's own are given back afterwards.
    places = [str(place) for place in range(len(layout.names))]
    return (
        arrow_csv.ReadOptions(
            column_names=places, skip_rows_after_names=int(layout.has_header), encoding=layout.encoding
        ),
        arrow_csv.ParseOptions(
            delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=skip_row
        ),
        arrow_csv.ConvertOptions(
            null_values=[blank + spelling for spelling in MISSING_SPELLINGS for blank in ("", " ")],
            strings_can_be_null=True,
            decimal_point=layout.decimal_point,
        ),
    )
