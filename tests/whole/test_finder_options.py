"""Values that are given beside values that are to be found: of one layer refused, of two the upper one wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from flambeau.api import make_recipe
from flambeau.cli.options import build_recipe
from flambeau.errors import RecipeError
from flambeau.pipeline import train
from flambeau.planning.numbers import check_passes
from flambeau.recipe import Recipe, recipe_to_yaml, with_settings
from flambeau.using import resolve


def test_auto_on_top_opens_what_the_recipe_gives_and_a_value_ends_its_search(tmp_path: Path) -> None:
    lower = tmp_path / "recipe.yaml"
    lower.write_text("training:\n  batch_size: 16\n  optimizer:\n    lr: 0.5\n")
    for recipe in (
        build_recipe("wine", str(lower), (), {"lr": ("auto",), "batch_size": ("auto",)}),
        make_recipe(lower, {"lr": "auto", "batch_size": "auto", "source": "wine"}),
    ):
        options = recipe.training
        assert (options.lr_finder, options.optimizer.lr) == (True, None)
        assert (options.batch_finder, options.batch_size) == (True, None)
        resolved = resolve("wine", recipe)
        assert resolved.recipe.training.optimizer.lr is None
        written = tmp_path / "written.yaml"
        written.write_text(recipe_to_yaml(resolved))
        again = build_recipe(None, str(written), (), {"lr": ("0.1",)}).training
        assert (again.lr_finder, again.optimizer.lr, again.batch_finder) == (False, 0.1, True)
    assert build_recipe("wine", "fast", (), {"lr": ("auto",)}).training.optimizer.lr is None


def test_a_rate_that_is_given_and_looked_for_in_one_layer_is_refused_by_both_verbs(tmp_path: Path) -> None:
    both = build_recipe("wine", None, ("training.optimizer.lr=0.1",), {"lr": ("auto",)})
    with pytest.raises(RecipeError, match="which is given"):
        resolve("wine", both)
    with pytest.raises(RecipeError, match="which is given"):
        train("wine", both, out=tmp_path / "run")


def test_compiling_and_recomputing_are_refused_together(tmp_path: Path) -> None:
    both = with_settings(Recipe(), {"training.compile": True, "training.recompute": True})
    for verb in (lambda: resolve("wine", both), lambda: train("wine", both, out=tmp_path / "run")):
        with pytest.raises(RecipeError, match="exclude each other"):
            verb()
    check_passes(with_settings(Recipe(), {"training.compile": True}))
