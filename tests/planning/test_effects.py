"""Options without effect: told where a person gave them, silent where flambeau chose them or they stand by default."""

from __future__ import annotations

from typing import Any

import pytest

from flambeau.planning.effects import RULES, effect_findings, norm_findings
from flambeau.planning.pictures import plan_pictures
from flambeau.planning.tables import plan_table
from flambeau.recipe import Choices, Recipe, load_recipe, recipe_to_yaml, with_settings
from flambeau.recipe.describe import options
from flambeau.schema import PictureFacts
from flambeau.training.names import LOSSES, OPTIMIZERS, SCHEDULES

MACHINE = {"device": "cpu", "cores": 2, "bf16": True}
DIGITS = tuple("0123456789")


def planned(
    recipe: Recipe, *, task: str, pictures: bool, pretrained: bool, classes: tuple[str, ...]
) -> Choices:
    choices = Choices(recipe)
    if pictures:
        plan_pictures(
            choices,
            rows=500,
            facts=PictureFacts(channels=3, bits=8, height=32, width=32),
            task=task,
            classes=classes,
            pretrained=pretrained,
            hints={"source": "photos", "target": "folder"},
            machine=MACHINE,
        )
    else:
        plan_table(
            choices,
            rows=500,
            number_features=4,
            task=task,
            machine=MACHINE,
        )
    return choices


def told(
    recipe: Recipe | dict[str, Any],
    *,
    task: str = "classification",
    pictures: bool = False,
    pretrained: bool = False,
    classes: tuple[str, ...] = ("cat", "dog"),
) -> list[str]:
    given = with_settings(Recipe(), recipe) if isinstance(recipe, dict) else recipe
    choices = planned(given, task=task, pictures=pictures, pretrained=pretrained, classes=classes)
    findings = effect_findings(choices, task=task, pictures=pictures, pretrained=pretrained)
    assert {finding.code for finding in findings} <= {"no-effect"}
    # a run that goes on reads a recipe in which every value stands as if it had been given
    again = Choices(Recipe.model_validate(choices.recipe.model_dump()))
    assert effect_findings(again, task=task, pictures=pictures, pretrained=pretrained) == findings
    return [finding.message for finding in findings]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"training.optimizer.name": "adam", "training.optimizer.nesterov": False},
            "training.optimizer.nesterov=false has no effect with adam",
        ),
        (
            {"training.optimizer.name": "adagrad", "training.optimizer.momentum": 0.5},
            "training.optimizer.momentum=0.5 has no effect with adagrad",
        ),
        (
            {"training.optimizer.name": "lbfgs", "training.optimizer.momentum": 0.5},
            "training.optimizer.momentum=0.5 has no effect with lbfgs",
        ),
        (
            {"training.optimizer.name": "sgd", "training.optimizer.eps": 0.5},
            "training.optimizer.eps=0.5 has no effect with sgd",
        ),
        (
            {"training.optimizer.name": "a.py:Own", "training.optimizer.beta2": 0.5},
            "training.optimizer.beta2=0.5 has no effect with an optimizer of your own, which is given "
            "training.optimizer.arguments",
        ),
        (
            {"training.schedule.name": "cosine", "training.schedule.gamma": 0.5},
            "training.schedule.gamma=0.5 has no effect with cosine",
        ),
        (
            {"training.schedule.name": "plateau", "training.schedule.end": 0.5},
            "training.schedule.end=0.5 has no effect with plateau",
        ),
        (
            {"training.schedule.name": "a.py:own", "training.schedule.warmup": 0.5},
            "training.schedule.warmup=0.5 has no effect with a schedule of your own",
        ),
        ({"training.loss.gamma": 3.0}, "training.loss.gamma=3.0 has no effect with cross_entropy"),
        (
            {"training.loss.name": "a.py:own", "training.loss.delta": 3.0},
            "training.loss.delta=3.0 has no effect with a loss of your own",
        ),
        ({"training.head_epochs": 3}, "training.head_epochs=3 has no effect without a pretrained body"),
        (
            {"training.freeze_early": True},
            "training.freeze_early=true has no effect without a pretrained body",
        ),
        (
            {"training.optimizer.body_lr": 0.5},
            "training.optimizer.body_lr=0.5 has no effect without a pretrained body",
        ),
        ({"model.arch": "resnet18"}, "model.arch=resnet18 has no effect without a pretrained body"),
        ({"image.size": 32}, "image.size=(32, 32) has no effect on a table"),
        ({"model.activation": "gelu"}, "model.activation=gelu has no effect with tabm: it is for mlp"),
        ({"model.name": "mlp", "model.members": 3}, "model.members=3 has no effect with mlp: it is for tabm"),
        (
            {"model.name": "a.py:Own", "model.width": 3},
            "model.width=3 has no effect with a model of your own",
        ),
    ],
)
def test_a_given_value_without_effect_is_told(given: dict[str, Any], expected: str) -> None:
    (message,) = told(given)
    assert message.startswith(expected)


def test_in_regression_there_are_no_classes_to_weigh_or_to_smooth() -> None:
    given = {"training.class_weights": "balanced", "training.label_smoothing": 0.1}
    assert len(told(given, task="regression", classes=())) == 2
    assert told(given) == []


def test_pretrained_weights_decide_the_layers() -> None:
    (message,) = told({"model.width": 8}, pictures=True, pretrained=True)
    assert "pretrained weights, which decide the model's layers" in message
    assert told({"model.width": 8, "table.rare": 9}, pictures=True) == [
        "table.rare=9 has no effect on pictures"
    ]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"training.optimizer.name": "adam", "training.optimizer.nesterov": True},
        {"training.optimizer.name": "sgd", "training.optimizer.nesterov": False},
        {"training.optimizer.name": "muon", "training.optimizer.momentum": 0.8},
        {"training.schedule.name": "step", "training.schedule.gamma": 0.5},
        {"training.schedule.name": "plateau", "training.schedule.patience": 2},
        {"training.schedule.name": "constant", "training.schedule.warmup": 0.5},
        {"training.loss.name": "focal", "training.loss.gamma": 3.0},
        {"training.class_weights": "none", "training.head_epochs": 0, "training.optimizer.body_lr": 1.0},
        {"model.name": "mlp", "model.activation": "gelu"},
    ],
    ids=str,
)
def test_what_has_an_effect_or_is_usual_is_not_told(given: dict[str, Any]) -> None:
    assert told(given) == []


@pytest.mark.parametrize("pretrained", [False, True])
@pytest.mark.parametrize("pictures", [False, True])
def test_nothing_that_flambeau_chooses_is_told(pictures: bool, pretrained: bool) -> None:
    for task, names in LOSSES.items():
        for loss in names:
            told_of_loss = told(
                {"training.loss.name": loss}, task=task, pictures=pictures, pretrained=pictures and pretrained
            )
            assert told_of_loss == []
    for rule in OPTIMIZERS:
        assert told({"training.optimizer.name": rule}, pictures=pictures) == []
    for curve in SCHEDULES:
        assert told({"training.schedule.name": curve}, pictures=pictures) == []


def test_alternate_flips_of_digits_are_told() -> None:
    """The recipe fast asks for them, and a mirrored digit is another one or none."""
    fast = load_recipe("fast")
    message = "image.augment.flip_alternate=true has no effect where flip_horizontal is off"
    assert told(fast, pictures=True, classes=DIGITS) == [message]
    assert told(fast, pictures=True) == []
    choices = planned(fast, task="classification", pictures=True, pretrained=False, classes=DIGITS)
    assert choices.recipe.image.flip_average is False
    assert choices.reasons["image.flip_average"] == "it was not trained on mirror images"
    written = recipe_to_yaml(choices)
    assert "flip_alternate: true" in written


def test_momentum_of_a_normalisation_that_the_model_lacks() -> None:
    given = with_settings(Recipe(), {"training.batch_norm_momentum": 0.2})
    (finding,) = norm_findings(given, has_batch_norm=False)
    assert "0.2 has no effect in a model without batch normalisation" in finding.message
    assert not list(norm_findings(given, has_batch_norm=True))
    assert not list(norm_findings(Recipe(), has_batch_norm=False))


def test_every_rule_is_of_an_option() -> None:
    assert set(RULES) <= set(options())
