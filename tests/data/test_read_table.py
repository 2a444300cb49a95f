"""Tables are read however they are written, and a value means the same from a file and from JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from flambeau.data.tables.rows import open_table
from flambeau.data.tables.spelling import MISSING_SPELLINGS, spell_category
from flambeau.data.tables.table import column_values, read_table
from flambeau.errors import DataError
from flambeau.recipe import Recipe


def table_of(tmp_path: Path, text: str | bytes, name: str = "t.csv") -> tuple[pyarrow.Table, dict[str, str]]:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    notes: dict[str, str] = {}
    return read_table(path, on_note=notes.__setitem__), notes


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_quotes(tmp_path: Path, delimiter: str) -> None:
    rows = [["size", "name"], ["1.5", f'"a{delimiter}b"'], ["2", '"two\nlines"'], ["3", " c "]]
    table, notes = table_of(tmp_path, "\n".join(delimiter.join(row) for row in rows) + "\n")
    assert table.to_pydict() == {"size": [1.5, 2.0, 3.0], "name": [f"a{delimiter}b", "two\nlines", "c"]}
    assert notes == {}


def test_decimal_comma(tmp_path: Path) -> None:
    table, notes = table_of(tmp_path, "größe;preis\n1,5;10\n2,25;20\n")
    assert table.to_pydict() == {"größe": [1.5, 2.25], "preis": [10, 20]}
    assert "decimal-comma" in notes


@pytest.mark.parametrize(("encoding", "told"), [("utf-8-sig", False), ("utf-16", False), ("cp1252", True)])
def test_encodings(tmp_path: Path, encoding: str, told: bool) -> None:
    filler = "x,1\n" * 100_000 if encoding == "cp1252" else ""
    table, notes = table_of(tmp_path, ("stadt,n\n" + filler + "Köln,1\n").encode(encoding))
    assert table.column_names == ["stadt", "n"]
    assert table["stadt"].to_pylist()[-1] == "Köln"
    assert ("encoding" in notes) == told


def test_missing_header_is_noticed_and_years_are_names(tmp_path: Path) -> None:
    table, notes = table_of(tmp_path, "5.1,3.5,setosa\n4.9,3.0,virginica\n")
    assert table.column_names == ["column_1", "column_2", "column_3"]
    assert table.num_rows == 2
    assert "no-header" in notes
    table, notes = table_of(tmp_path, "country,2019,2020,2021\nA,1,2,3\n")
    assert table.column_names == ["country", "2019", "2020", "2021"]
    assert notes == {}


def test_repeated_and_empty_names(tmp_path: Path) -> None:
    table, notes = table_of(tmp_path, "a, a ,,a_2\n1,2,3,4\n")
    assert table.column_names == ["a", "a_2", "column_3", "a_2_2"]
    assert "a → a_2" in notes["duplicated-names"]


def test_ragged_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    table, notes = table_of(tmp_path, "a,b\n1,2\n3\n4,5,6\n7,8\n9,10\n")
    assert table.to_pydict() == {"a": [1, 7, 9], "b": [2, 8, 10]}
    assert notes["ragged-rows"].startswith("left out: 2 rows")
    with pytest.raises(ValueError, match="do not have 2 values"):
        table_of(tmp_path, "a,b\n" + "1,2\n" * 150 + "3\n" * 400)


def test_every_spelling_of_missing(tmp_path: Path) -> None:
    for blank in ("", " ", "  "):
        rows = [f"{blank}{spelling}{blank},1" for spelling in MISSING_SPELLINGS]
        table, _ = table_of(tmp_path, "\n".join(["word,n", "x,1", *rows]))
        assert table["word"].null_count == len(MISSING_SPELLINGS)
    numbers, _ = table_of(tmp_path, "n,m\n1,1\n ?,1\nNA,1\n-,2\n")
    values = column_values(numbers["n"], "number")
    assert values[0] == 1
    assert np.isnan(values[1:]).all()


def test_parquet_jsonl_json_and_excel(tmp_path: Path) -> None:
    rows = [{"n": 1, "w": "a"}, {"n": 2.5, "w": " b"}, {"n": None, "w": "?"}]
    expected = {"n": [1.0, 2.5, None], "w": ["a", "b", None]}
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").to_pydict() == expected
    assert table_of(tmp_path, "\n".join(map(json.dumps, rows)), "t.jsonl")[0].to_pydict() == expected
    assert table_of(tmp_path, json.dumps(rows), "t.json")[0].to_pydict() == expected
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["n", "w"], [1, "a"], [2.5, " b"], [None, "?"]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    assert read_table(tmp_path / "t.xlsx").to_pydict() == expected


def test_jsonl_with_mixed_types_is_read_value_by_value(tmp_path: Path) -> None:
    table, notes = table_of(
        tmp_path, '{"a": 1, "b": true}\n{"a": "x", "b": false}\n{"a": [1], "c": 2}\n', "t.jsonl"
    )
    assert table["a"].to_pylist() == ["1", "x", "[1]"]
    assert table["c"].to_pylist() == [None, None, 2]
    assert "json-types" in notes


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *(("t.csv", b""), ("t.csv", b"a,b\n"), ("t.csv", b"\x00\x01\x02" * 50), ("t.parquet", b"PAR1 no")),
        *(("t.jsonl", b"{oops"), ("t.json", b"[1, 2]"), ("t.xlsx", b"no sheet"), ("t.doc", b"a")),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(ValueError, match=name):
        table_of(tmp_path, data, name)


def test_row_limit(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n2\n3\n")
    with pytest.raises(ValueError, match="3 rows, more than the limit of 2"):
        read_table(tmp_path / "t.csv", max_rows=2)


def test_one_spelling_of_a_category() -> None:
    assert {spell_category(text) for text in ("1", "1.0", "01", "+1", "1e0")} == {"1"}
    assert spell_category("12345678901234567890") == "12345678901234567890"
    assert spell_category("-0.50") == "-0.5"
    values = column_values([1, 1.0, "1", True, "TRUE", None, float("nan"), "  ", "A b"], "category")
    assert values.tolist() == ["1", "1", "1", "true", "true", None, None, None, "A b"]


def test_file_and_json_give_equal_values(tmp_path: Path) -> None:
    table, _ = table_of(tmp_path, "n,c,b,d\n1,2.0,yes,2020-01-05\n1e3,x,no,2020-01-05 10:30\nNA,,,\n")
    rows = {
        "n": [1, 1000.0, None],
        "c": [2, "x", None],
        "b": [True, 0, None],
        "d": ["2020-01-05", "2020-01-05T10:30:00Z", ""],
    }
    for name, kind in (("n", "number"), ("c", "category"), ("b", "boolean"), ("d", "date")):
        np.testing.assert_array_equal(column_values(table[name], kind), column_values(rows[name], kind))


def test_numbers_from_texts() -> None:
    texts = ["1,234.5", "+3", " 4 ", "1e-3", "twelve", "1,23", "inf", 10**30, "--1"]
    values = column_values(texts, "number")
    np.testing.assert_array_equal(values, [1234.5, 3, 4, 0.001, np.nan, np.nan, np.nan, 1e30, np.nan])


def test_dates_in_their_format() -> None:
    values = column_values(["5/3/2020", "13/3/2020", "3/13/2020", None], "date", "%d/%m/%Y")
    assert np.datetime_as_string(values[:2], unit="D").tolist() == ["2020-03-05", "2020-03-13"]
    assert np.isnat(values[2:]).all()
    typed = column_values(np.array(["2020-03-05T01:02:03"], "datetime64[ms]"), "date")
    assert typed.dtype == np.dtype("datetime64[s]")


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind 'identifier' has no values"):
        column_values(["a"], "identifier")


def test_texts_stay_as_they_are_written() -> None:
    values = column_values(["Two  words", "1.0", "1", "1,5", None], "text")
    assert values.dtype == object
    assert values.tolist() == ["Two  words", "1.0", "1", "1,5", None]


@pytest.mark.slow
def test_two_million_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "large.csv"
    block = "\n".join(f"{a},{b},{c}" for a, b, c in rng.integers(0, 99, (100_000, 3)).tolist())
    with path.open("w") as file:
        file.write("a,b,c\n" + "\n".join([block] * 20) + "\n")
    assert read_table(path).num_rows == 2_000_000


def test_a_few_broken_lines_are_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"price": row, "word": "a\u2028b"}, ensure_ascii=False) for row in range(200)]
    lines[120] = '{"price": 3 "word": "x"}'
    path.write_text("\n".join(lines), encoding="utf-8")
    notes: dict[str, str] = {}
    table = read_table(path, on_note=notes.__setitem__)
    assert table.num_rows == 199
    assert list(notes) == ["broken-lines"]
    assert "1 of 200 lines (line 121: Expecting ',' delimiter" in notes["broken-lines"]
    path.write_text("\n".join(lines[118:122]), encoding="utf-8")
    with pytest.raises(ValueError, match="1 of 4 lines are broken, the first is line 3"):
        read_table(path)
    whole = tmp_path / "one.json"
    whole.write_text(json.dumps({"deep": {"a": [1]}}, indent=1))
    with pytest.raises(ValueError, match=r"one JSON value \(dict\) and no rows"):
        read_table(whole)


def test_rows_in_order_of_time_are_told_to_be_a_series(tmp_path: Path) -> None:
    path = tmp_path / "air.csv"
    rows = [f"{1949 + row // 12}-{row % 12 + 1:02},{100 + row},{row % 2}" for row in range(40)]
    path.write_text("\n".join(["Month,Passengers,up", *rows]))
    command = f"flambeau train {path} --task forecast --target Passengers"
    with pytest.raises(DataError) as caught:
        open_table(path, Recipe(), None)
    assert command in str(caught.value)
    (told,) = open_table(path, Recipe(), "Passengers").findings
    assert told.code == "time-series" and command in told.message
    assert not open_table(path, Recipe(), "up").findings
    assert not open_table(path, Recipe(task="regression"), "Passengers").findings
    path.write_text("\n".join(["Month,Passengers,up", *rows[20:], *rows[:20]]))
    assert not open_table(path, Recipe(), "Passengers").findings


@pytest.mark.parametrize("place", [0, 30])
def test_a_value_longer_than_a_block_is_read(tmp_path: Path, place: int) -> None:
    path = tmp_path / "books.csv"
    texts = [f"a short text {row}" for row in range(40)]
    texts[place] = "long " * 500_000
    path.write_text(
        "\n".join(["text,label", *(f"{text},{row % 2}" for row, text in enumerate(texts))]) + "\n"
    )
    table = read_table(path)
    assert table.column_names == ["text", "label"] and table.num_rows == 40
    assert len(table["text"][place].as_py()) >= 2_499_999
