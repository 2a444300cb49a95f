"""Recipes in: what is read, and the exact words about what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flambeau.errors import RecipeError
from flambeau.recipe import Recipe, load_recipe, parse_setting, with_settings

MANY_FAULTS = """\
seed: no
learning_rate: 3
training:
  learning_rte: 1
  epochs: ten
  epochs: 5
  optimizer: {lr: 20, weight_decay: 1e-3, nme: adamw}
  precision: fp8
  minutes: .inf
split: 5
image:
  size: [0, 7]
data:
  target: 2024
  columns: {age: numbr}
  drop: [1]
zzz: 4
"""

TOLD = """\
{path}:1:7: seed: expected an integer, got 'no'
{path}:2:1: unknown option 'learning_rate'; did you mean 'training.optimizer.lr'?
{path}:4:3: unknown option 'training.learning_rte'; did you mean 'training.optimizer.lr'?
{path}:5:11: training.epochs: expected an integer, got 'ten'
{path}:6:3: training.epochs: this key stands here a second time
{path}:7:19: training.optimizer.lr: expected a number above 0 and at most 10, got 20
{path}:7:43: unknown option 'training.optimizer.nme'; did you mean 'training.optimizer.name'?
{path}:8:14: training.precision: expected fp32, bf16 or fp16, got 'fp8'
{path}:9:12: training.minutes: expected a number above 0, got inf
{path}:10:8: split: expected a group of options (train, valid, group, patients, folds, near_duplicates, \
refit, rows), got 5
{path}:12:10: image.size[0]: expected an integer from 1 to 4,096, got 0
{path}:14:11: data.target: expected text, got 2024; for text, put it in quotes: '2024'
{path}:15:18: data.columns.age: expected image, number, category, boolean, date, text, identifier or constant\
, got 'numbr'; did you mean 'number'?
{path}:16:10: data.drop[0]: expected text, got 1; for text, put it in quotes: '1'
{path}:17:1: unknown option 'zzz'
  next:     flambeau recipe --options"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    return str(caught.value)


def test_values_are_read_with_yaml_1_2_rules(tmp_path: Path) -> None:
    recipe = load_recipe(
        write(
            tmp_path,
            "training:\n  optimizer: {lr: 1e-3}\ndata: {target: no}\nimage: {size: 64}\ntask: auto\n",
        )
    )
    assert recipe.training.optimizer.lr == 0.001
    assert recipe.data.target == "no"
    assert recipe.image.size == (64, 64)
    assert recipe.task is None


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, MANY_FAULTS)
    assert refused(path) == TOLD.format(path=path)


def test_an_empty_file_and_empty_sections_are_defaults(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, "# nothing yet\n")) == Recipe()
    assert load_recipe(write(tmp_path, "training:\n  optimizer:\n#   lr: 1\nseed: 3\n")) == Recipe(seed=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "- a\n- b\n",
            "{path}:1:1: a recipe is a mapping of options\n  got:      ['a', 'b']\n"
            "  expected: lines such as 'seed: 1'\n  next:     flambeau recipe --options",
        ),
        ("seed: null\n", "{path}:1:7: seed: expected an integer, got nothing"),
        ("seed: true\n", "{path}:1:7: seed: expected an integer, got true"),
        ("seed: -1\n", "{path}:1:7: seed: expected an integer of at least 0 and below 2,147,483,648, got -1"),
        ("split: {refit: yes}\n", "{path}:1:16: split.refit: expected true or false, got 'yes'"),
        (
            "image: {size: [1, 2, 3]}\n",
            "{path}:1:15: image.size: expected an integer from 1 to 4,096, or 2 in brackets, got [1, 2, 3]",
        ),
        (
            "image: {resize: stretsh}\n",
            "{path}:1:17: image.resize: expected stretch, pad or crop, got 'stretsh'; did you mean 'stretch'?",
        ),
        ("image: {size: 0}\n", "{path}:1:15: image.size: expected an integer from 1 to 4,096, got 0"),
        ("data: {drop: id}\n", "{path}:1:14: data.drop: expected a list in brackets, each text, got 'id'"),
        (
            "epochs: 3\n",
            "{path}:1:1: unknown option 'epochs'; did you mean 'training.epochs'?\n"
            "  next:     flambeau recipe --options",
        ),
    ],
)
def test_messages(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    assert refused(path) == message.format(path=path)


def test_a_file_that_is_absent_too_large_or_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    assert (
        refused(path)
        == f"the recipe cannot be read\n  where:    {path}\n  got:      No such file or directory"
    )
    path.write_bytes(b"#" * 1_000_001)
    assert refused(path).startswith("this file is too large for a recipe")
    path.write_bytes(b"seed: \xff\xfe")
    assert refused(path).startswith("the recipe is not text in UTF-8")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("training.optimizer.lr=1e-3", "training.optimizer.lr", 0.001),
        ("split.refit=true", "split.refit", True),
        ("image.size=[64, 32]", "image.size", [64, 32]),
        ("data.target=no", "data.target", "no"),
        ("data.target=2024", "data.target", "2024"),
        ("data.target=[price", "data.target", "[price"),
        ("data.target='2024'", "data.target", "2024"),
        ("data.target=null", "data.target", None),
        ("model.name=a=b", "model.name", "a=b"),
    ],
)
def test_settings_are_split_and_read(text: str, key: str, value: Any) -> None:
    assert parse_setting(text) == (key, value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "epochs",
            "--set epochs: expected KEY=VALUE, such as training.epochs=20\n"
            "  next:     flambeau recipe --options",
        ),
        ("seed=[1", "--set seed=[1:1:3: this is not YAML: expected ',' or ']', but got '<stream end>'"),
    ],
)
def test_settings_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_setting(text)
    assert str(caught.value) == message


def test_settings_go_on_top_of_a_recipe_and_leave_it_alone() -> None:
    start = Recipe(seed=4)
    start.training.optimizer.lr = 0.5  # set inside a section, which is then not marked as set itself
    changed = with_settings(start, {"training.epochs": 3, "data.columns.a.b": "number"})
    assert (changed.seed, changed.training.optimizer.lr, changed.training.epochs) == (4, 0.5, 3)
    assert changed.data.columns == {"a.b": "number"}
    assert start.training.epochs is None


def test_problems_of_settings_tell_what_was_typed() -> None:
    with pytest.raises(RecipeError) as caught:
        with_settings(Recipe(), {"trainng.epochs": 3, "training.epochs": "ten", "data.columns.age": "numbr"})
    assert str(caught.value) == (
        "--set trainng.epochs=3: unknown option 'trainng.epochs'; did you mean 'training.epochs'?\n"
        "--set training.epochs=ten: expected an integer, got 'ten'\n"
        "--set data.columns.age=numbr: expected image, number, category, boolean, date, text, identifier or "
        "constant, got 'numbr'; did you mean 'number'?\n"
        "  next:     flambeau recipe --options"
    )


def test_problems_of_flags_tell_the_flag() -> None:
    with pytest.raises(RecipeError) as caught:
        with_settings(Recipe(), {"training.epochs": -1}, where={"training.epochs": "--epochs -1"})
    assert str(caught.value) == "--epochs -1: expected an integer from 0 to 100,000, got -1"
