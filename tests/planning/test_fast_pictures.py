"""The recipe `fast` fits itself to the number of pictures, and a person's own value stays."""

from __future__ import annotations

import pytest

from flambeau.planning.fast_pictures import MANY_PICTURES
from flambeau.planning.pictures import plan_pictures
from flambeau.recipe import Choices, Recipe, load_recipe, with_settings
from flambeau.schema import PictureFacts

PHOTO = PictureFacts(channels=3, bits=8, height=32, width=32)


def plan(recipe: Recipe, rows: int, device: str = "cpu") -> Choices:
    choices = Choices(recipe)
    plan_pictures(
        choices,
        rows=rows,
        facts=PHOTO,
        task="classification",
        classes=("cat", "dog"),
        pretrained=False,
        hints={"source": "photos", "target": "folder"},
        machine={"device": device, "cores": 2, "bf16": True},
    )
    return choices


def test_many_pictures_are_trained_as_the_records_train() -> None:
    recipe = plan(load_recipe("fast"), 60_000).recipe
    augment = recipe.image.augment
    assert (augment.shift, augment.scale, augment.rotate, augment.brightness, augment.contrast) == (0,) * 5
    assert augment.flip_horizontal and augment.flip_alternate and recipe.image.flip_average
    assert recipe.model.width == 64
    assert recipe.training.batch_size == 1024
    assert 5 <= (recipe.training.epochs or 0) <= 10


def test_few_pictures_keep_the_usual_changes_and_a_narrower_net() -> None:
    choices = plan(load_recipe("fast"), 2_000)
    augment = choices.recipe.image.augment
    assert all((augment.shift, augment.scale, augment.rotate, augment.brightness, augment.contrast))
    assert choices.recipe.model.width == 32
    assert "half of the records' width" in choices.reasons["model.width"]
    assert plan(load_recipe("fast"), 2_000, device="cuda").recipe.model.width == 64


@pytest.mark.parametrize(
    ("rows", "batch"), [(100, 64), (2_000, 64), (6_400, 128), (25_600, 512), (10**6, 1024)]
)
def test_the_batch_grows_with_the_pictures(rows: int, batch: int) -> None:
    assert plan(load_recipe("fast"), rows).recipe.training.batch_size == batch


def test_what_a_person_gives_stays() -> None:
    given = {"model.width": 16, "training.batch_size": 100, "image.augment.rotate": 5.0}
    recipe = plan(with_settings(load_recipe("fast"), given), MANY_PICTURES).recipe
    assert (recipe.model.width, recipe.training.batch_size, recipe.image.augment.rotate) == (16, 100, 5.0)


def test_other_models_are_planned_as_before() -> None:
    recipe = plan(with_settings(load_recipe("fast"), {"model.name": "small_resnet"}), MANY_PICTURES).recipe
    assert recipe.image.augment.rotate and recipe.training.batch_size == 128
