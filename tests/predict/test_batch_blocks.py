"""Tables read in blocks hold the values, types and notes that reading them at once gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from flambeau.data.tables import delimited
from flambeau.data.tables.table import column_values, read_table
from flambeau.deploy.batch import blocks, delimited_blocks, json_blocks
from flambeau.deploy.batch.formats import open_blocks

ROWS = 400


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def options(*arguments: Any) -> Any:
        read, parse, convert = delimited.delimited_options(*arguments)
        read.block_size = 512
        return read, parse, convert

    monkeypatch.setattr(delimited_blocks, "delimited_options", options)
    monkeypatch.setattr(json_blocks, "BLOCK_BYTES", 512)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 50)


def check_equal(path: Path) -> list[pyarrow.DataType]:
    """Compare both ways of reading, from several rows on; gives the types."""
    told: list[tuple[str, str]] = []
    told_in_blocks: list[tuple[str, str]] = []
    whole = read_table(path, on_note=lambda *note: told.append(note))
    opened = open_blocks(path, 10**9, lambda *note: told_in_blocks.append(note))
    assert told_in_blocks == told
    assert opened.rows == whole.num_rows
    for start in (0, 1, 333, whole.num_rows - 1):
        parts = list(opened.blocks(opened.schema.names, start))
        assert start or len(parts) > 1 or path.suffix in (".json", ".xlsx")
        _check_values(pyarrow.concat_tables(parts), whole.slice(start))
    first, last = whole.column_names[0], whole.column_names[-1]
    chosen = pyarrow.concat_tables(opened.blocks([last, first]))
    _check_values(chosen, whole.select([last, first]))
    return list(opened.raw_types)


def _check_values(found: pyarrow.Table, expected: pyarrow.Table) -> None:
    assert found.schema.equals(expected.schema)
    for name in expected.column_names:
        for kind in ("number", "category", "boolean", "date"):
            values, wanted = column_values(found[name], kind), column_values(expected[name], kind)
            assert np.array_equal(values, wanted, equal_nan=values.dtype.kind in "fM"), (name, kind)


LATE: dict[str, tuple[list[str], str, str]] = {
    # the first values, the one that comes late, the type that arrow infers for all
    "a fraction": (["1", "2"], "2.5", "double"),
    "a text": (["1", "0"], "x", "string"),
    "a truth value": (["0", "1"], "true", "bool"),
    "no truth value": (["5", "1"], "true", "string"),
    "anything after nothing": (["", "NA"], "7", "int64"),
    "a text after nothing": (["", "NA"], "x", "string"),
    "a time of day": (["2020-01-01"], "2020-01-01 10:00:00", "timestamp[s]"),
    "part of a second": (["2020-01-01"], "2020-01-01 10:00:00.5", "timestamp[ns]"),
    "a zone": (["2020-01-01T10:00:00"], "2020-01-01T10:00:00Z", "string"),
    "no hexadecimal": (["0x1F"], "1.5", "string"),
    "too large": (["12"], "99999999999999999999", "double"),
    "nothing new": ([" 1 ", '"2"'], "3", "int64"),
}


@pytest.mark.parametrize("case", LATE)
def test_a_value_that_comes_late_decides_the_type_of_a_delimited_column(tmp_path: Path, case: str) -> None:
    values, late, kind = LATE[case]
    lines = ["id,what,same"] + [f"{row},{values[row % len(values)]},z" for row in range(ROWS)]
    lines[ROWS - 5] = f"7,{late},z"
    (tmp_path / "x.csv").write_text("\n".join(lines))
    assert str(check_equal(tmp_path / "x.csv")[1]) == kind


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_delimiters_and_decimal_commas(tmp_path: Path, encoding: str, delimiter: str) -> None:
    number = "1.234,5" if delimiter == "," else "1,5"
    letter = "\x81" if encoding == "latin-1" else "é"
    lines = [delimiter.join(("name", "size", " size"))]
    for row in range(ROWS):
        cells = (letter if row > 350 else "a", f'"{number}"', '"two\nlines, ""quoted"""')
        lines.append(delimiter.join(cells))
    (tmp_path / "x.csv").write_bytes(("\r\n".join(lines) + "\r\n").encode(encoding))
    check_equal(tmp_path / "x.csv")


def test_rows_of_another_length_and_a_file_without_names(tmp_path: Path) -> None:
    lines = [f"{row},{row / 2}" for row in range(ROWS)]
    lines[100] = "5"
    lines[390] = "1,2,3"
    (tmp_path / "x.csv").write_text("\n".join(lines))
    check_equal(tmp_path / "x.csv")
    lines[395] = "7,x"
    (tmp_path / "x.csv").write_text("\n".join(lines))
    assert [str(kind) for kind in check_equal(tmp_path / "x.csv")] == ["int64", "string"]


JSON: dict[str, tuple[list[Any], Any, str]] = {
    "a fraction": ([1, 2], 2.5, "double"),
    "nothing first": ([None], "x", "string"),
    "a text after days": (["2020-01-01"], "soon", "string"),
    "mixed": ([1, 2.5], "x", "large_string"),
    "mixed numbers and truth": ([True], 1, "large_string"),
    "objects": ([{"a": 1}], {"a": 1.5, "b": [2]}, "struct<a: double, b: list<item: int64>>"),
    "one type": (["a", " NA ", None], "b", "string"),
}


@pytest.mark.parametrize("case", JSON)
def test_a_value_that_comes_late_decides_the_type_in_json_lines(tmp_path: Path, case: str) -> None:
    values, late, kind = JSON[case]
    rows: list[dict[str, Any]] = [{"what": values[row % len(values)], "id": row} for row in range(ROWS)]
    rows[ROWS - 5] = {"what": late, "id": 2, "later": "1"}
    (tmp_path / "x.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    assert str(check_equal(tmp_path / "x.jsonl")[0]) == kind


def test_values_that_json_lines_mix_are_spelled_as_when_read_at_once(tmp_path: Path) -> None:
    rows = [{"a": 2**63, "b": 10**30, "c": 1, "d": True, "e": None} for _ in range(ROWS)]
    rows[-3] = {"a": 1, "b": 2, "c": 0.5, "d": False, "e": None, "mixed": "x"}  # type: ignore[dict-item]
    rows[-2]["mixed"] = 1
    (tmp_path / "x.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    check_equal(tmp_path / "x.jsonl")


def test_a_list_of_objects_is_read_whole(tmp_path: Path) -> None:
    rows = [{"a": row, "b": "x"} for row in range(ROWS)]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    check_equal(tmp_path / "x.json")


@pytest.mark.parametrize("group", [7, 100, 1000])
def test_parquet_by_parts_of_its_row_groups(tmp_path: Path, group: int) -> None:
    table = pyarrow.table(
        {
            "id": range(ROWS),
            "a.b": pyarrow.array([" x ", "NA"] * (ROWS // 2)).dictionary_encode(),
            "f": pyarrow.array(np.linspace(0, 1, ROWS), pyarrow.float16()),
            "when": pyarrow.array([0] * ROWS, pyarrow.timestamp("us")),
            "list": [[1, None]] * ROWS,
        }
    )
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=group)
    check_equal(tmp_path / "x.parquet")
    same_names = table.rename_columns(["a", "a", " a", "", "b"])
    parquet.write_table(same_names, tmp_path / "y.parquet", row_group_size=group)
    check_equal(tmp_path / "y.parquet")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.parquet", b"PAR1 but not really"),
        ("x.csv", b""),
        ("x.csv", b"a,b\n\x00\x00"),
        ("x.jsonl", b'{"a": 1}\n{"a": '),
        ("x.jsonl", b'{"a": 1}\n[1]\n'),
        ("x.png", b"a"),
    ],
)
def test_what_is_no_table_is_a_value_error_that_names_the_file(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        open_blocks(tmp_path / name, 100, lambda code, message: None)


@pytest.mark.parametrize("place", [0, 333])
def test_a_value_longer_than_a_block(tmp_path: Path, place: int) -> None:
    path = tmp_path / "long.csv"
    texts = [f"text {row}" for row in range(ROWS)]
    texts[place] = "long " * 2_000
    path.write_text("\n".join(["text,size", *(f"{text},{row}" for row, text in enumerate(texts))]) + "\n")
    assert check_equal(path)[1] == pyarrow.int64()
