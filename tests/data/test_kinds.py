"""Columns and targets are understood as a person would, and every decision tells why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image

from flambeau.data.tables.kinds import infer_columns
from flambeau.data.tables.table import as_arrow, column_values
from flambeau.data.target import learn_target
from flambeau.errors import DataError

RNG = np.random.default_rng(0)
ROWS = 60


def words(*choices: str) -> list[str]:
    return [choices[i % len(choices)] for i in range(ROWS)]


COLUMNS: dict[str, tuple[list[object], str, bool]] = {
    "height": (RNG.normal(size=ROWS).tolist(), "number", True),
    "rooms": (RNG.integers(0, 5, ROWS).tolist(), "number", True),
    "flag": ([i % 2 for i in range(ROWS)], "boolean", True),
    "smoker": (words("yes", "no"), "boolean", True),
    "colour": (words("red", "green", "blue"), "category", True),
    "day": ([f"2020-01-{1 + i % 28:02}" for i in range(ROWS)], "date", True),
    "spoken_day": ([f"{1 + i % 28} Mar 2020" for i in range(ROWS)], "date", True),
    "row_id": (RNG.permutation(ROWS).tolist(), "identifier", False),
    "code": ([f"A{i:04}X" for i in range(ROWS)], "identifier", False),
    "remark": ([f"the patient said thing {i} today" for i in range(ROWS)], "text", True),
    "country": (["FR"] * ROWS, "constant", False),
    "empty": ([None] * ROWS, "constant", False),
    "cabin": ([f"C{i // 2}" if i % 3 else None for i in range(ROWS)], "category", True),
}


def table(columns: dict[str, list[object]]) -> pyarrow.Table:
    return pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()})


@pytest.mark.parametrize("name", COLUMNS)
def test_each_column_has_the_kind_a_person_would_say(name: str) -> None:
    values, kind, used = COLUMNS[name]
    columns, _ = infer_columns(table({name: values, "other": COLUMNS["height"][0]}))
    assert (columns[0].kind, columns[0].used) == (kind, used)
    assert columns[0].reason


def test_day_above_twelve_decides_between_day_and_month() -> None:
    for texts, expected in (
        (["03/04/2020", "25/04/2020"], "%d/%m/%Y"),
        (["03/04/2020", "04/25/2020"], "%m/%d/%Y"),
    ):
        columns, _ = infer_columns(table({"day": texts * 30, "n": COLUMNS["height"][0]}))
        assert columns[0].date_format == expected
        assert not np.isnat(column_values(texts, "date", columns[0].date_format)).any()


def test_a_number_column_with_three_words_stays_a_number() -> None:
    values = [str(i * 1.5) for i in range(ROWS)]
    values[3], values[9], values[20] = "broken", "n.b.", "broken"
    columns, findings = infer_columns(table({"sensor": values}))
    assert columns[0].kind == "number"
    assert columns[0].low == 0
    assert findings[0].code == "words-in-numbers"
    assert "3 rows" in findings[0].message
    assert findings[0].items == ("broken", "n.b.")


def test_a_date_column_with_broken_values_stays_one_and_they_are_counted_with_their_rows() -> None:
    values = [f"2020-01-{1 + i % 28:02}" for i in range(ROWS)]
    values[::3] = ["31/02/2016", "yesterday"] * 10
    columns, findings = infer_columns(table({"day": values, "n": COLUMNS["height"][0]}))
    assert (columns[0].kind, columns[0].used, columns[0].date_format) == ("date", True, "")
    (told,) = [one for one in findings if one.code == "words-in-dates"]
    assert told.level == "warning" and "in 20 rows of 60" in told.message
    assert told.items[:2] == ("row 1: 31/02/2016", "row 4: yesterday")
    whole, findings = infer_columns(table({"day": COLUMNS["day"][0], "n": COLUMNS["height"][0]}))
    assert whole[0].kind == "date" and not findings


def test_given_kinds_and_dropped_columns_are_honoured() -> None:
    columns, _ = infer_columns(
        table({"zip": COLUMNS["rooms"][0], "flag": COLUMNS["flag"][0], "n": COLUMNS["height"][0]}),
        given={"zip": "category"},
        drop=["flag"],
    )
    assert [(column.kind, column.used) for column in columns][::2] == [("category", True), ("number", True)]
    assert columns[0].values[0] in {"0", "1", "2", "3", "4"}
    assert not columns[1].used
    with pytest.raises(DataError, match=r"data\.drop names a column that is not in the data") as error:
        infer_columns(table({"flag": [1, 0]}), drop=["flaq"])
    assert "did you mean 'flag'?" in str(error.value)


def test_the_only_column_is_used_even_if_it_counts() -> None:
    columns, _ = infer_columns(table({"x": list(range(50))}))
    assert columns[0].used
    assert columns[0].kind == "number"


def test_paths_of_pictures_are_found_beside_the_table_and_one_folder_down(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for i in range(4):
        Image.new("L", (2, 2)).save(tmp_path / "photos" / f"{i}.PNG")
    for prefix in ("photos/", ""):
        columns, _ = infer_columns(table({"file": [f"{prefix}{i}.PNG" for i in range(4)]}), root=tmp_path)
        assert columns[0].kind == "image"
    columns, _ = infer_columns(table({"file": [f"gone{i % 2}.png" for i in range(4)]}), root=tmp_path)
    assert columns[0].kind == "category"


@pytest.mark.parametrize("there", [0, 4])
def test_pictures_that_are_not_where_the_table_is_are_a_warning(tmp_path: Path, there: int) -> None:
    (tmp_path / "photos").mkdir()
    for i in range(there):
        Image.new("L", (2, 2)).save(tmp_path / "photos" / f"{i}.png")
    data = table({"front": [f"{i}.png" for i in range(ROWS)], "size": COLUMNS["height"][0]})
    columns, findings = infer_columns(data, root=tmp_path)
    assert columns[0].kind != "image"
    (told,) = [one for one in findings if one.code == "lost-pictures"]
    assert told.level == "warning" and f"{there or 'none'} of {ROWS} files" in told.message
    assert str(tmp_path) in told.message and f"no {there}.png" in told.items
    given, findings = infer_columns(data, root=tmp_path, given={"front": "category"})
    assert given[0].used and not findings


TARGETS = [
    ("price", RNG.normal(size=ROWS).tolist(), "regression"),
    ("age", list(range(ROWS)), "regression"),
    ("quality", [3 + i % 7 for i in range(ROWS)], "regression"),
    ("white_cells", [i % 3 for i in range(ROWS)], "regression"),
    ("survived", [i % 2 for i in range(ROWS)], "classification"),
    ("class", [i % 7 for i in range(ROWS)], "classification"),
    ("labels", [i % 10 for i in range(ROWS)], "classification"),
    ("target", [i % 6 for i in range(ROWS)], "classification"),
    ("status", [1 + i % 3 for i in range(ROWS)], "classification"),
    ("answer", [bool(i % 2) for i in range(ROWS)], "classification"),
    ("species", words("cat", "dog"), "classification"),
    ("tags", words("red|round", "red", "blue|round"), "multilabel"),
]


@pytest.mark.parametrize(("name", "values", "task"), TARGETS, ids=[name for name, _, _ in TARGETS])
def test_task_from_target(name: str, values: list[object], task: str) -> None:
    target = learn_target({name: values}, None)
    assert target.task == task
    assert name in target.reason


def test_asked_task_wins_and_classes_sort_naturally() -> None:
    target = learn_target({"n": ["10", "2", "1"] * 20}, "classification")
    assert target.classes == ("1", "2", "10")
    assert target.values[:3].tolist() == [2, 1, 0]
    assert learn_target({"n": [1, 2] * 5}, "regression").values.tolist() == [1, 2] * 5
    mixed = learn_target({"n": ["item 10", "item 2", "b"] * 20}, None)
    assert mixed.classes == ("b", "item 2", "item 10")


def test_labels_as_zeros_and_ones() -> None:
    tags = learn_target({"tags": ["red|round", "red", None]}, "multilabel")
    assert tags.classes == ("red", "round")
    assert tags.values[:2].tolist() == [[1, 1], [1, 0]]
    assert tags.known.tolist() == [True, True, False]
    flags = learn_target({"a": [1, 0, None], "b": ["yes", "no", "yes"]}, None)
    assert flags.task == "multilabel"
    assert flags.values[:2].tolist() == [[1, 1], [0, 0]]
    assert flags.known.tolist() == [True, True, False]
    with pytest.raises(DataError, match="must hold 0 and 1"):
        learn_target({"a": [1, 2], "b": [0, 1]}, None)


def test_folders_keep_names_that_look_like_missing_values_or_numbers() -> None:
    target = learn_target({"folder": ["NA", "01", "1", "None"]}, None, folders=True)
    assert target.classes == ("01", "1", "NA", "None")
    assert target.known.all()


@pytest.mark.parametrize(
    ("values", "task", "sentence"),
    [
        ([None, "", "NA"], None, "has no values"),
        (["a", "a"], None, "one class only: 'a'"),
        ([f"name {i}" for i in range(ROWS)], None, "60 different values in 60 rows"),
        (["a", "b"], "regression", "holds no numbers"),
        ([3, 3], "regression", "one value only"),
    ],
)
def test_targets_that_teach_nothing(values: list[object], task: str | None, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        learn_target({"t": as_arrow(values)}, task)  # type: ignore[arg-type]  # a literal from parametrize
