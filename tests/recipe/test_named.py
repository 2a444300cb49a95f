"""Recipes that come with flambeau are found by their name, read like any file, and told when one is misspelt."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import flambeau
from flambeau.api import make_recipe
from flambeau.cli.recipe import command
from flambeau.errors import RecipeError
from flambeau.recipe import Recipe, load_recipe
from flambeau.recipe.by_name import is_plain_name, named_recipes, summary_of


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", sorted(named_recipes()))
def test_every_named_recipe_is_valid_and_says_what_it_is_for(name: str, tmp_path: Path) -> None:
    text = named_recipes()[name]
    copy = tmp_path / "copy.yaml"
    copy.write_text(text, encoding="utf-8")
    recipe = load_recipe(name)
    assert recipe == load_recipe(copy) and recipe != Recipe()
    assert recipe.source is None and recipe.task is None and recipe.data == Recipe().data
    summary = summary_of(text)
    assert text.startswith("# ") and summary.endswith(".") and len(summary) < 120


def test_fast_is_made_of_named_options() -> None:
    recipe = load_recipe("fast")
    assert (recipe.model.name, recipe.model.whiten) == ("fast_cnn", True)
    assert recipe.training.optimizer.name == "muon"
    assert recipe.image.augment.flip_alternate and recipe.image.augment.crop == 2
    # left to the data and the machine
    assert recipe.training.precision is None and recipe.training.epochs is None
    assert recipe.image.flip_average is None and recipe.training.batch_size is None


def test_a_name_is_a_name_and_a_path_is_a_file(tmp_path: Path) -> None:
    for file in ("fast", "fast.yaml"):
        Path(tmp_path / file).write_text("seed: 7\n")
    assert load_recipe("fast").seed == 0
    assert load_recipe("fast.yaml").seed == load_recipe("./fast").seed == load_recipe(Path("fast")).seed == 7


def test_a_file_without_a_suffix_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("seed: 5\n")
    assert load_recipe("mine").seed == 5


@pytest.mark.parametrize(
    ("name", "plain"),
    [("fast", True), ("fast.yaml", False), ("./fast", False), ("a/fast", False), ("", False), ("..", False)],
)
def test_plain_names(name: str, plain: bool) -> None:
    assert is_plain_name(name) is plain


def test_a_misspelt_name_and_a_missing_file_are_told_apart() -> None:
    with pytest.raises(
        RecipeError, match="there is no recipe called 'fsat', and no file of that name"
    ) as caught:
        load_recipe("fsat")
    assert "did you mean 'fast'?" in str(caught.value)
    assert "fast, or a YAML file" in str(caught.value)
    with pytest.raises(RecipeError, match="the recipe cannot be read"):
        load_recipe("fast.yml")


def test_options_go_on_top_in_python() -> None:
    recipe = make_recipe("fast", {"epochs": 3, "training.label_smoothing": 0.1})
    assert (recipe.training.epochs, recipe.training.label_smoothing) == (3, 0.1)
    assert recipe.model.name == "fast_cnn"
    assert flambeau.load_recipe("fast") == load_recipe("fast")


def test_the_command_lists_and_prints_them() -> None:
    listed = CliRunner().invoke(command, ["--named"])
    assert listed.exit_code == 0 and listed.output.startswith("fast\n    A good model for small pictures")
    printed = CliRunner().invoke(command, ["fast"])
    assert printed.output == named_recipes()["fast"]
    written = CliRunner().invoke(command, ["fast", "--out", "mine.yaml"])
    assert written.exit_code == 0 and load_recipe("mine.yaml") == load_recipe("fast")


def test_the_command_says_where_the_data_go() -> None:
    refused = CliRunner().invoke(command, ["fast", "--epochs", "3"])
    assert "'fast' is a recipe" in str(refused.exception)
    assert "flambeau recipe DATA --recipe fast" in str(refused.exception)
    both = CliRunner().invoke(command, ["--named", "--schema"])
    assert "cannot be printed together" in str(both.exception)
