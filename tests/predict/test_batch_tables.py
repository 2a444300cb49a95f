"""Predictions of tables into a file are those of the path in memory, value for value, in one fixed form."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet
from small_runs import make_rows

from flambeau.data.read_inputs import read_inputs
from flambeau.deploy.answer import answer_samples, answer_to_json
from flambeau.deploy.batch import predictors
from flambeau.deploy.batch.job import BatchOptions, predict_to_file
from flambeau.deploy.bundle import load_bundle
from flambeau.errors import DataError, UsageError
from flambeau.recipe import Recipe
from flambeau.records import RunFolder
from flambeau.schema import Task

Tables = Callable[..., RunFolder]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictors, "CHUNK_VALUES", 200)


def predict(run: RunFolder, *paths: Path | str, **options: Any) -> pyarrow.Table:
    target = run.path.parent / "out.parquet"
    predict_to_file(run, [str(path) for path in paths], target, BatchOptions(**options))
    assert not target.with_name("out.parquet.parts").exists()
    return parquet.read_table(target)


def in_memory(run: RunFolder, *paths: Path | str, batch: int) -> tuple[list[str], np.ndarray, list[Any]]:
    bundle = load_bundle(run.model)
    samples = read_inputs([str(path) for path in paths], bundle.schema, Recipe())
    answers = [answer.predictions for answer in answer_samples(bundle, samples, batch=batch)]
    return list(samples.ids), np.concatenate(answers), list(answer_to_json(bundle, samples, batch))


def check_equal(run: RunFolder, *paths: Path | str, batch: int = 16) -> pyarrow.Table:
    found = predict(run, *paths, batch=batch)
    ids, predictions, told = in_memory(run, *paths, batch=batch)
    assert found["input"].to_pylist() == ids
    assert found["error"].null_count == found.num_rows
    if predictions.ndim == 1:
        assert found["value"].to_pylist() == predictions.tolist()
        return found
    columns = [name for name in found.column_names if name.startswith("p(")]
    written = np.stack([found[name].to_numpy() for name in columns], axis=1)
    assert np.array_equal(written, predictions.astype(np.float32))
    labels = ["|".join(one["label"]) if isinstance(one["label"], list) else one["label"] for one in told]
    assert found["label"].to_pylist() == labels
    return found


def write(table: pyarrow.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=37)
    elif path.suffix == ".csv":
        arrow_csv.write_csv(table, path)
    elif path.suffix == ".tsv":
        arrow_csv.write_csv(table, path, arrow_csv.WriteOptions(delimiter="\t"))
    else:
        rows = table.to_pylist()
        text = json.dumps(rows) if path.suffix == ".json" else "\n".join(json.dumps(row) for row in rows)
        path.write_text(text)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl", ".json"])
def test_answers_are_those_of_the_path_in_memory(tmp_path: Path, tables: Tables, suffix: str) -> None:
    check_equal(tables(), write(make_rows(333), tmp_path / f"x{suffix}"))


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_every_task(tmp_path: Path, tables: Tables, task: Task) -> None:
    found = check_equal(tables(task), write(make_rows(100), tmp_path / "x.parquet"), batch=7)
    expected = {"classification": "label", "multilabel": "label", "regression": "value"}[task]
    assert found.column_names[:2] == ["input", expected]
    assert {found.schema.field(n).type for n in found.column_names if n[:2] == "p("} <= {pyarrow.float32()}


def test_the_usual_batch_gives_the_same_up_to_rounding(tmp_path: Path, tables: Tables) -> None:
    path = write(make_rows(700), tmp_path / "x.csv")
    found = predict(tables())
    found = predict(tables(), path)
    _, predictions, _ = in_memory(tables(), path, batch=64)
    np.testing.assert_allclose(found["p(large)"].to_numpy(), predictions[:, 0], rtol=2e-6)


def test_several_tables_folders_and_archives_in_one(tmp_path: Path, tables: Tables) -> None:
    rows = make_rows(200)
    one = write(rows.slice(0, 50), tmp_path / "a.csv")
    write(rows.slice(50, 50).select(["area", "built", "colour"]), tmp_path / "more" / "b" / "1.parquet")
    write(rows.slice(100, 30), tmp_path / "more" / "2.jsonl")
    (tmp_path / "more" / "README.txt").write_text("about these tables")
    (tmp_path / "more" / "_SUCCESS").touch()
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as packed:
        packed.write(write(rows.slice(130, 70), tmp_path / "inner.csv"), "deep/inner.csv")
    found = check_equal(tables(), one, tmp_path / "more", tmp_path / "c.zip")
    assert found.num_rows == 200
    names = list(dict.fromkeys(name.rpartition(": row ")[0] for name in found["input"].to_pylist()))
    folder = tmp_path.as_posix()
    assert names == [
        f"{folder}/a.csv", f"{folder}/more/2.jsonl", f"{folder}/more/b/1.parquet", f"{folder}/c.zip/deep/inner.csv"
    ]  # fmt: skip
    assert found["input"][-1].as_py().endswith(": row 70")


def test_a_table_without_rows_gives_a_file_without_rows_of_the_same_form(
    tmp_path: Path, tables: Tables
) -> None:
    full = predict(tables(), write(make_rows(3), tmp_path / "full.parquet"))
    told: list[dict[str, Any]] = []
    for name in ("x.parquet", "x.csv"):
        path = write(make_rows(3).slice(0, 0), tmp_path / name)
        target = tmp_path / "out.parquet"
        summary = predict_to_file(tables(), [str(path)], target, listener=told.append)
        assert (summary.rows, parquet.read_table(target).num_rows) == (0, 0)
        assert parquet.read_schema(target).equals(full.schema)
    notes = [record["message"] for record in told if record["kind"] == "finding"]
    assert notes == [f"{tmp_path / 'x.parquet'} has no rows", f"{tmp_path / 'x.csv'} has no rows"]
    both = predict(tables(), tmp_path / "x.csv", tmp_path / "full.parquet")
    assert both.num_rows == 3


def test_a_column_that_a_later_file_lacks_is_told_before_any_work(tmp_path: Path, tables: Tables) -> None:
    for number in range(3):
        table = make_rows(5) if number != 1 else make_rows(5).drop_columns(["colour"])
        write(table, tmp_path / "in" / f"{number}.parquet")
    told: list[dict[str, Any]] = []
    with pytest.raises(DataError, match="needs 1 more column: colour") as raised:
        predict_to_file(tables(), [str(tmp_path / "in")], tmp_path / "out.csv", listener=told.append)
    assert str(raised.value.where).endswith("in/1.parquet")
    assert {record["kind"] for record in told} == {"look"}
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_columns_are_carried_along(tmp_path: Path, tables: Tables) -> None:
    rows = make_rows(60).append_column("label", pyarrow.array([["x"]] * 60))
    write(rows.slice(0, 30), tmp_path / "a.parquet")
    write(
        rows.slice(30)
        .set_column(0, "id", pyarrow.array([f"n{i}" for i in range(30)]))
        .drop_columns(["label"]),
        tmp_path / "b.parquet",
    )
    found = predict(tables(), tmp_path / "a.parquet", keep=("id", "label"))
    assert found.column_names[-2:] == ["id", "label_2"]
    assert found["id"].to_pylist() == list(range(30))
    assert found["label_2"].to_pylist() == [["x"]] * 30
    both = predict(tables(), tmp_path / "a.parquet", tmp_path / "b.parquet", keep=("all",))
    assert both.column_names[-5:] == ["id", "area", "colour", "built", "label_2"]
    assert both["id"].to_pylist() == [*map(str, range(30)), *(f"n{i}" for i in range(30))]
    assert both["label_2"].to_pylist() == [["x"]] * 30 + [None] * 30
    with pytest.raises(DataError, match="no column 'Id' to keep") as raised:
        predict(tables(), tmp_path / "a.parquet", keep=("Id",))
    assert "did you mean 'id'?" in str(raised.value)


def test_what_is_unlike_the_training_rows_is_told_for_each(tmp_path: Path, tables: Tables) -> None:
    (tmp_path / "x.csv").write_text(
        "area,colour,built\n50,red,2001-01-01\n900,mauve,2001-01-01\n20.5,,2001-01-01\nx,red,soon\n,blue,\n"
    )
    told: list[dict[str, Any]] = []
    target = tmp_path / "out.csv"
    summary = predict_to_file(tables(), [str(tmp_path / "x.csv")], target, listener=told.append)
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [row["strange"] for row in rows] == [
        "",
        "'area' is 900, outside of 30 to 120 where the model was trained; "
        "'colour' is 'mauve', which the model was not trained on",
        "'area' is 20.5, outside of 30 to 120 where the model was trained",
        "'area' is no number and counts as missing; 'built' is no date and counts as missing",
        "'area' is missing, which it was not where the model was trained; "
        "'built' is missing, which it was not where the model was trained",
    ]
    assert (summary.rows, summary.strange, summary.errors) == (5, 4, 0)
    assert [record["message"] for record in told if record["kind"] == "finding"] == [
        "1 value of 'area' is no number and counts as missing",
        "1 value of 'built' is no date and counts as missing",
    ]


def test_csv_and_json_lines_hold_what_parquet_holds(tmp_path: Path, tables: Tables) -> None:
    rows = make_rows(50).append_column("tags", pyarrow.array([[1, None]] * 50))
    rows = rows.append_column("raw", pyarrow.array([b"\x00\xff"] * 50))
    rows = rows.append_column("when", pyarrow.array([0] * 50, pyarrow.timestamp("us", "UTC")))
    path = write(rows, tmp_path / "x.parquet")
    found = {}
    for suffix in ("parquet", "csv", "jsonl"):
        target = tmp_path / f"out.{suffix}"
        predict_to_file(tables(), [str(path)], target, BatchOptions(keep=("all",)))
        found[suffix] = target
    expected = parquet.read_table(found["parquet"])
    texts = list(csv.DictReader(found["csv"].read_text().splitlines()))
    lines = [json.loads(line) for line in found["jsonl"].read_text().splitlines()]
    assert list(texts[0]) == list(lines[0]) == expected.column_names
    assert [np.float32(row["p(large)"]) for row in texts] == expected["p(large)"].to_pylist()
    assert [np.float32(row["p(large)"]) for row in lines] == expected["p(large)"].to_pylist()
    assert [row["strange"] for row in lines] == expected["strange"].to_pylist()
    assert (texts[0]["tags"], lines[0]["tags"]) == ("[1, null]", [1, None])
    assert (texts[0]["raw"], lines[0]["raw"]) == ("00ff", "00ff")
    assert texts[0]["when"].startswith("1970-01-01 00:00:00")


def test_predictions_do_not_lie_among_their_inputs(tmp_path: Path, tables: Tables) -> None:
    write(make_rows(5), tmp_path / "in" / "x.parquet")
    with pytest.raises(UsageError, match="among their own inputs"):
        predict_to_file(tables(), [str(tmp_path / "in")], tmp_path / "in" / "deep" / "out.parquet")
    assert not (tmp_path / "in" / "deep" / "out.parquet.parts").exists()


def test_a_table_that_is_damaged_further_on_is_an_error_with_its_name(tmp_path: Path, tables: Tables) -> None:
    path = write(make_rows(20_000), tmp_path / "x.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40_000] = b"\xff" * 40_000
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"x\.parquet"):
        predict(tables(), path)
