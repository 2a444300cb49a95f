"""Choices for a net that makes pictures: each with its reason, and no option that would be swallowed."""

from __future__ import annotations

from typing import Any

import pytest

from flambeau.errors import RecipeError
from flambeau.planning.generate import plan_generate
from flambeau.recipe import Choices, Recipe, with_settings
from flambeau.schema import Finding, PictureFacts

GREY = PictureFacts(channels=1, bits=8, height=28, width=28)


def plan(
    settings: dict[str, Any] | None = None,
    *,
    facts: PictureFacts = GREY,
    rows: int = 2000,
    device: str = "cpu",
) -> tuple[Choices, list[Finding]]:
    choices = Choices(with_settings(Recipe(), settings or {}, where=""))
    found = plan_generate(choices, rows=rows, facts=facts, came_split=False, machine={"device": device})
    return choices, found


def test_every_open_value_is_chosen_with_a_reason() -> None:
    choices, found = plan()
    generate = choices.recipe.generate
    assert not found
    assert all(value is not None for value in generate.model_dump().values())
    assert choices.recipe.image.size == (28, 28)
    assert all(choices.reasons.values())
    assert {"generate.lr", "training.epochs", "training.ema", "image.size"} <= choices.reasons.keys()


def test_given_values_stay() -> None:
    choices, _ = plan({"generate.width": 5, "generate.lr": 0.01, "training.epochs": 3, "image.size": 16})
    assert choices.recipe.generate.width == 5
    assert choices.recipe.generate.discriminator_lr == pytest.approx(0.02)
    assert choices.recipe.training.epochs == 3
    assert choices.recipe.image.size == (16, 16)


def test_large_pictures_are_made_smaller_and_a_gpu_makes_larger_ones() -> None:
    large = PictureFacts(channels=3, bits=8, height=300, width=200)
    cpu, _ = plan(facts=large)
    gpu, _ = plan(facts=large, device="cuda")
    assert cpu.recipe.image.size == (40, 24)
    assert gpu.recipe.image.size == (80, 56)
    assert (cpu.recipe.generate.width, gpu.recipe.generate.width) == (32, 64)


def test_few_pictures_are_seen_more_often() -> None:
    few, many = plan(rows=200)[0], plan(rows=50_000)[0]
    assert few.recipe.training.epochs == 1000
    assert many.recipe.training.epochs == 10


def test_without_spectral_normalisation_it_is_a_dcgan() -> None:
    choices, _ = plan({"generate.spectral_norm": False})
    assert choices.recipe.generate.loss == "bce"
    assert choices.recipe.generate.discriminator_lr == choices.recipe.generate.lr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"training.minutes": 2.0}, "training.minutes has no meaning where pictures are made"),
        ({"training.patience": 3}, "the best epoch is kept anyway"),
        ({"split.folds": 5}, "the score needs one test part"),
        ({"split.refit": True}, "could not be scored on it"),
        ({"training.bags": 3}, "several generators are not averaged"),
        ({"training.lr_finder": True}, "no loss tells a good rate"),
        ({"training.optimizer.lr": 0.1}, "two nets with a rate each"),
        ({"training.loss.name": "mse"}, "its losses have their own option"),
        ({"model.name": "resnet"}, "its two nets have their own options"),
        ({"devices": 2}, "trained by one process"),
        ({"training.micro_batch": 4}, "looks at the whole batch"),
        ({"evaluation.metric": "accuracy"}, "is not a metric of made pictures"),
        ({"training.precision": "fp16"}, "here are two losses"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        plan(settings)


def test_values_that_say_the_same_as_nothing_are_let_pass() -> None:
    _, found = plan({"split.folds": 0, "training.bags": 1, "training.patience": 0})
    assert not found


def test_what_has_no_effect_is_told() -> None:
    _, found = plan({"training.label_smoothing": 0.1, "image.augment.rotate": 5.0, "model.width": 8})
    assert [finding.code for finding in found] == ["no-effect"] * 3
    assert "training.label_smoothing=0.1 has no effect where pictures are made" in [
        one.message for one in found
    ]
