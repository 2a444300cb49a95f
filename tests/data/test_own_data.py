"""A person's own Dataset: what is read of it, what it becomes, and which item is named where something is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from flambeau.data.own import items as items_module
from flambeau.data.own.items import read_items
from flambeau.data.own.own_data import keep_items, open_own_data, source_of_items, trust_own_data
from flambeau.data.read import read, read_test
from flambeau.data.samples import PictureArray
from flambeau.errors import DataError
from flambeau.recipe import Recipe


class Made:
    """Items that a function of the index gives."""

    def __init__(self, item: Callable[[int], Any], count: int = 6) -> None:
        self.item, self.count = item, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.item(index)


def picture(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (4, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "kind",
    [
        lambda index: picture(index),
        lambda index: Image.fromarray(picture(index)),
        lambda index: torch.from_numpy(picture(index)),
        lambda index: torch.from_numpy(picture(index)).permute(2, 0, 1),
        lambda index: torch.from_numpy(picture(index)).permute(2, 0, 1) / 255,
        lambda index: picture(index).astype(np.int64),
    ],
    ids=["array", "PIL", "tensor", "channels first", "float tensor", "integers"],
)
def test_pictures_of_every_kind_become_the_same_pixels(kind: Callable[[int], Any]) -> None:
    source = source_of_items(read_items(Made(lambda index: (kind(index), index % 2)), "pictures"))
    assert isinstance(source.pictures, PictureArray)
    assert np.array_equal(source.pictures.pixels, np.stack([picture(index) for index in range(6)]))
    assert source.target["labels"].tolist() == [0, 1, 0, 1, 0, 1]


def test_grey_and_palette_pictures() -> None:
    grey = source_of_items(read_items(Made(lambda index: (picture(index)[..., 0], "ab"[index % 2])), "grey"))
    assert isinstance(grey.pictures, PictureArray)
    assert grey.pictures.pixels.shape == (6, 4, 5, 1)
    assert grey.target["labels"].tolist() == list("ababab")
    palette = read_items(Made(lambda index: (Image.fromarray(picture(index)).convert("P"), 0)), "palette")
    assert palette.inputs.shape == (6, 4, 5, 3)


def test_rows_of_numbers_are_a_table_whose_columns_are_numbers() -> None:
    source = source_of_items(
        read_items(Made(lambda index: (torch.tensor([index, 7.0, index % 3]), index / 2)), "rows")
    )
    assert source.table is not None
    assert source.table.column_names == ["x1", "x2", "x3"]
    assert source.kinds == {"x1": "number", "x3": "number"}, "a constant column is left to be found as one"
    assert source.target["target"].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


def test_names_of_features_and_classes_are_taken_over() -> None:
    made = Made(lambda index: ([1.0 * index, 2.0], index % 2))
    made.feature_names, made.classes = ["area", "rooms"], ["cheap", "dear"]  # type: ignore[attr-defined]
    items = read_items(made, "houses")
    assert items.names == ("area", "rooms")
    assert items.targets.tolist() == ["cheap", "dear"] * 3


def test_flags_are_labels_and_one_hot_rows_are_classes() -> None:
    flags = source_of_items(read_items(Made(lambda index: ([1.0, index], [1, index % 2])), "flags"))
    assert list(flags.target) == ["label_0", "label_1"]
    one_hot = source_of_items(read_items(Made(lambda index: ([1.0, index], torch.eye(2)[index % 2])), "hot"))
    assert one_hot.target["target"].tolist() == [0, 1] * 3


def test_arrays_and_functions_that_give_them() -> None:
    inputs, targets = np.arange(12.0).reshape(6, 2), np.arange(6)
    for given in (
        (inputs, targets),
        lambda: (inputs, targets),
        lambda: Made(lambda i: (inputs[i], targets[i])),
    ):
        items = read_items(given, "arrays")
        assert np.array_equal(items.inputs, inputs)
        assert np.array_equal(items.targets, targets)


def _item_7_fails(index: int) -> Any:
    return {"no": 1}["yes"] if index == 7 else ([1.0], 0)


@pytest.mark.parametrize(
    ("item", "count", "words"),
    [
        (lambda index: ([1.0], 0), 0, "'mine' is empty"),
        (_item_7_fails, 9, "item 7 of 'mine' cannot be read"),
        (lambda index: ([1.0] * (2 + (index == 3)), 0), 6, "item 3 has (3,)"),
        (lambda index: ([1.0], "a" if index == 2 else 1), 6, "numbers in item 0, words in item 2"),
        (lambda index: ([1.0], [0, 1][: 1 + (index == 2)]), 6, "numbers in item 0, 2 flags in item 2"),
        (lambda index: ([1.0], None), 6, "the target of item 0 of 'mine' is of a kind"),
        (lambda index: [1.0], 6, "item 0 of 'mine' is not a pair"),
        (lambda index: ({"a": 1}, 1), 6, "the input of item 0 of 'mine' is not made of numbers"),
        (lambda index: (np.full((4, 4), np.nan if index == 4 else 0.5), 1), 6, "items 4"),
        (lambda index: ([np.inf, 1.0], 1), 6, "6 items of 'mine' hold infinity"),
        (
            lambda index: (np.array(["7"]) if index == 3 else [1.0], 0),
            6,
            "the input of item 3 of 'mine' is not made of numbers",
        ),
        (lambda index: (np.zeros((2, 2, 2, 2)), 1), 6, "neither pictures nor rows of numbers"),
    ],
)
def test_faulty_items_are_named(item: Callable[[int], Any], count: int, words: str) -> None:
    with pytest.raises(DataError) as caught:
        read_items(Made(item, count), "mine")
    assert words in str(caught.value)


def test_what_is_no_dataset() -> None:
    with pytest.raises(DataError, match="'mine' is no Dataset"):
        read_items(iter([1]), "mine")
    with pytest.raises(DataError, match="cannot be made without arguments"):
        read_items(lambda path: path, "mine")
    with pytest.raises(DataError, match="do not fit each other"):
        read_items((np.zeros((3, 2)), np.zeros(4)), "mine")
    with pytest.raises(DataError, match="the inputs of 'mine' are not made of numbers"):
        read_items((np.array([["a"], ["b"]]), np.zeros(2)), "mine")
    with pytest.raises(DataError, match="'mine' gives no arrays"):
        read_items((np.zeros((2, 1), complex), np.zeros(2)), "mine")
    with pytest.raises(DataError, match="expected 0 to 1"):
        source_of_items(read_items(Made(lambda index: (np.full((4, 4), -1.0), 1)), "mine"))


def test_random_items_are_read_equally_again_and_leave_randomness_as_it_was() -> None:
    def drawn(index: int) -> Any:
        return [random.random(), np.random.rand(), float(torch.rand(()))], index

    before = random.getstate(), torch.random.get_rng_state()
    first, second = read_items(Made(drawn), "random"), read_items(Made(drawn), "random")
    assert np.array_equal(first.inputs, second.inputs)
    assert random.getstate() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


FILE = """
class Rows:
    def __init__(self, start: int = 0) -> None:
        self.start = start
    def __len__(self) -> int:
        return 40
    def __getitem__(self, index: int):
        return [float(index), float(index % 5)], 2.5 * index

def later():
    return Rows(100)
"""


def test_a_file_is_a_source_once_it_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text(FILE + f"# {tmp_path}\n")
    name = f"{tmp_path / 'rows.py'}:Rows"
    with pytest.raises(DataError, match="this data is code in a file that was never trained with"):
        open_own_data(name)
    trust_own_data(name)
    samples = read(name, Recipe())
    assert (len(samples), samples.schema.task) == (40, "regression")
    assert len(read_test(f"{tmp_path / 'rows.py'}:later", samples.schema, Recipe())) == 40
    with pytest.raises(DataError, match="there is no 'Row' in this file"):
        read(f"{tmp_path / 'rows.py'}:Row", Recipe())
    with pytest.raises(DataError, match="name the Dataset in it"):
        read(str(tmp_path / "rows.py"), Recipe())
    with pytest.raises(DataError, match=r"split\.group names a column"):
        open_own_data(name, "patient")


def test_what_lives_only_in_python_is_kept_in_a_file_named_after_its_content() -> None:
    pictures = Made(lambda index: (picture(index), index % 2))
    path, options = keep_items(pictures, "pictures")
    assert keep_items(pictures, "pictures")[0] == path
    assert options == {}
    samples = read(str(path), Recipe())
    assert samples.schema.source == "pictures"
    assert samples.targets.tolist() == [0, 1, 0, 1, 0, 1]
    other, _ = keep_items(Made(lambda index: (picture(index + 1), index % 2)), "pictures")
    assert other != path
    path, options = keep_items(Made(lambda index: ([index, 3 * index % 4], index / 2), 40), "rows")
    assert options == {"target": "target", "data.columns": {"x1": "number", "x2": "number"}}
    recipe = Recipe()
    recipe.data.target, recipe.data.columns = "target", options["data.columns"]
    assert read(str(path), recipe).schema.task == "regression"


class Copied(np.ndarray):
    """An array that counts how often it is copied to a type."""

    copies = 0

    def astype(self, *arguments: Any, **options: Any) -> Any:
        Copied.copies += 1
        return super().astype(*arguments, **options)


@pytest.mark.parametrize(
    ("types", "wanted", "copies"),
    [
        ((np.float64, np.float32, np.uint8), np.float64, 0),
        ((np.float32, np.float64, np.float32), np.float64, 1),
        ((np.uint8, np.int16, np.uint8), np.int16, 1),
    ],
)
def test_items_of_several_types_are_copied_once_at_most(
    types: tuple[type, ...], wanted: type, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    space_for = items_module._space_for
    monkeypatch.setattr(items_module, "_space_for", lambda *given: space_for(*given).view(Copied))
    monkeypatch.setattr(Copied, "copies", 0)
    made = Made(lambda index: (np.full(3, index).astype(types[min(index, 2)]), 0), 50)
    items = read_items(made, "mixed")
    assert (items.inputs.dtype, Copied.copies) == (wanted, copies)
    assert np.array_equal(items.inputs[:, 0], np.arange(50))


def test_the_check_of_memory_knows_the_type_that_items_are_widened_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Memory:
        available = 6 * 4 * 4 * 2

    monkeypatch.setattr(items_module.psutil, "virtual_memory", Memory)
    items = read_items(Made(lambda index: (np.zeros((4, 4), np.uint8), 0)), "small")
    assert items.inputs.dtype == np.uint8
    with pytest.raises(DataError, match="do not fit into memory") as caught:
        read_items(Made(lambda index: (np.zeros((4, 4), np.float32 if index == 4 else np.uint8), 0)), "wide")
    assert "float32" in str(caught.value)


def test_kept_data_are_told_apart_by_names_types_and_shapes() -> None:
    def kept(names: list[str], targets: np.ndarray) -> Path:
        made = Made(lambda index: ([index, 3 * index % 4], targets[index]), 4)
        made.feature_names = names  # type: ignore[attr-defined]
        return keep_items(made, "told_apart")[0]

    whole = np.arange(4)
    paths = [
        kept(["a", "b"], whole),
        kept(["b", "a"], whole),
        kept(["a", "b"], whole.view(np.float64)),
        kept(["ab", ""], whole),
    ]
    assert len(set(paths)) == len(paths)
    assert kept(["a", "b"], whole) == paths[0]


def test_targets_that_are_objects_are_kept_by_their_values() -> None:
    rows = np.arange(8.0).reshape(4, 2)
    # all three live at once, so that equal words are at different addresses
    one, same, other = (np.array([word + end for word in "abab"], dtype=object) for end in ("xx", "xx", "yy"))
    assert one[0] is not same[0]
    first = keep_items((rows, one), "objects")[0]
    assert keep_items((rows, same), "objects")[0] == first
    assert keep_items((rows, other), "objects")[0] != first
