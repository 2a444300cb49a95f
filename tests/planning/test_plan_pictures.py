"""Rules for pictures: what each choice depends on, and that a person's own value stays."""

from __future__ import annotations

import pytest

from flambeau.planning.pictures import fit_area, plan_pictures
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.options import Section
from flambeau.schema import PictureFacts

CPU = {"device": "cpu", "cores": 2, "bf16": True}
PHOTO = PictureFacts(channels=3, bits=8, height=480, width=640)
DIGIT = PictureFacts(channels=1, bits=8, height=28, width=28)


def plan(
    recipe: Recipe | None = None,
    *,
    rows: int = 2000,
    facts: PictureFacts = PHOTO,
    task: str = "classification",
    classes: tuple[str, ...] = ("cat", "dog"),
    pretrained: bool = False,
    source: str = "photos",
    machine: dict[str, object] | None = None,
) -> Choices:
    choices = Choices(recipe or Recipe())
    plan_pictures(
        choices,
        rows=rows,
        facts=facts,
        task=task,
        classes=classes,
        pretrained=pretrained,
        hints={"source": source, "target": "folder"},
        machine=machine or CPU,
    )
    return choices


def open_keys(choices: Choices, prefix: str) -> list[str]:
    section = choices.get(prefix)
    keys = []
    for name in type(section).model_fields:
        key = f"{prefix}.{name}"
        if isinstance(choices.get(key), Section):
            keys += open_keys(choices, key)
        elif choices.get(key) is None:
            keys.append(key)
    return keys


@pytest.mark.parametrize("pretrained", [False, True])
@pytest.mark.parametrize("facts", [PHOTO, DIGIT], ids=["photo", "digit"])
def test_every_open_key_is_filled_with_a_reason(facts: PictureFacts, pretrained: bool) -> None:
    choices = plan(facts=facts, pretrained=pretrained)
    assert open_keys(choices, "image") == []
    # Others fill these: weights of classes depend on the targets; the micro-batch and minutes are for limits. Or they
    # stay open: as the model's or the optimizer's own constructor has it.
    assert set(open_keys(choices, "training")) == {
        "training.batch_norm_momentum",
        "training.class_weights",
        "training.distributed",
        "training.memory_limit_gb",
        "training.micro_batch",
        "training.minutes",
        "training.optimizer.eps",
    }
    assert all(reason and "\n" not in reason for reason in choices.reasons.values())


def test_a_value_of_the_person_stays_and_carries_no_reason() -> None:
    recipe = Recipe()
    recipe.image.size = (50, 40)
    recipe.training.epochs = 3
    recipe.image.augment.flip_horizontal = True
    choices = plan(recipe, facts=DIGIT, classes=tuple("0123456789"))
    assert choices.get("image.size") == (50, 40)
    assert choices.get("training.epochs") == 3
    assert choices.get("image.augment.flip_horizontal") is True
    assert "image.size" not in choices.reasons


@pytest.mark.parametrize("side", [1, 8, 28, 64])
def test_small_pictures_keep_their_size(side: int) -> None:
    facts = PictureFacts(channels=1, bits=8, height=side, width=side)
    assert plan(facts=facts).get("image.size") == (side, side)


def test_large_pictures_keep_their_shape_and_get_more_on_a_gpu() -> None:
    height, width = plan().get("image.size")
    assert width / height == pytest.approx(640 / 480, rel=0.1)
    gpu = plan(machine={"device": "cuda", "cores": 8, "bf16": True}).get("image.size")
    assert gpu[0] * gpu[1] > height * width


def test_on_a_cpu_many_large_pictures_become_smaller() -> None:
    areas = [plan(rows=rows).get("image.size") for rows in (100, 2_000, 50_000)]
    products = [height * width for height, width in areas]
    assert products == sorted(products, reverse=True) and products[0] > products[2] >= 60 * 60


def test_tiny_pictures_are_enlarged_for_pretrained_filters_only() -> None:
    facts = PictureFacts(channels=3, bits=8, height=32, width=32)
    assert plan(facts=facts).get("image.size") == (32, 32)
    assert min(plan(facts=facts, pretrained=True).get("image.size")) >= 128


def test_an_area_never_enlarges_unless_asked_and_never_vanishes() -> None:
    assert fit_area((100, 100), 400, enlarge=False) == (96, 96)
    assert fit_area((100, 100), 400, enlarge=True) == (400, 400)
    assert fit_area((3000, 10), 96, enlarge=False)[1] == 16


@pytest.mark.parametrize(
    ("classes", "source", "flips"),
    [
        (("cat", "dog"), "photos", (True, False)),
        (tuple("0123456789"), "pictures", (False, False)),
        (tuple("ABC"), "pictures", (False, False)),
        (("10", "11"), "pictures", (False, False)),
        (("one", "two"), "sign_digits", (False, False)),
        (("normal", "pneumonia"), "data/pneumonia_xray_28.zip", (False, False)),
        (("a tumour", "none"), "brain-MRI", (False, False)),
        (("left", "right"), "arrows", (False, False)),
        ((), "blood_cells", (True, True)),
        (("expected", "octopus"), "contents", (True, False)),
    ],
)
def test_flips_only_where_they_keep_the_meaning(
    classes: tuple[str, ...], source: str, flips: tuple[bool, bool]
) -> None:
    choices = plan(classes=classes, source=source, task="classification" if classes else "regression")
    keys = ("image.augment.flip_horizontal", "image.augment.flip_vertical")
    assert tuple(choices.get(key) for key in keys) == flips


def test_fewer_samples_are_seen_more_often() -> None:
    epochs = [plan(rows=rows).get("training.epochs") for rows in (100, 1_000, 10_000, 1_000_000)]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] > epochs[2] > 1
    assert plan(rows=1_000, pretrained=True).get("training.epochs") < epochs[1]


def test_a_pretrained_body_keeps_its_model_and_statistics() -> None:
    choices = plan(pretrained=True)
    assert choices.get("image.normalise") == "imagenet"
    assert choices.get("model.name") is None
    assert choices.get("training.head_epochs") > 0
    assert choices.get("training.freeze_early") is True
    assert plan().get("training.freeze_early") is False
    assert plan().get("image.normalise") == "dataset"
    assert plan().get("model.name") in ("small_resnet", "resnet")


def test_only_exclusive_classes_are_smoothed() -> None:
    assert plan().get("training.label_smoothing") > 0
    assert plan(task="regression", classes=()).get("training.label_smoothing") == 0


@pytest.mark.parametrize(
    ("device", "bf16", "precision", "layout"),
    [
        ("cpu", True, "bf16", "channels_last"),
        ("cpu", False, "fp32", "channels_last"),
        ("cuda", True, "bf16", "channels_last"),
        ("mps", False, "fp32", "contiguous"),
    ],
)
def test_numbers_and_layout_follow_the_machine(device: str, bf16: bool, precision: str, layout: str) -> None:
    choices = plan(machine={"device": device, "cores": 2, "bf16": bf16})
    assert choices.get("training.precision") == precision
    assert choices.get("training.memory_format") == layout


def test_choices_are_the_same_every_time() -> None:
    assert plan().recipe == plan().recipe
    assert plan().reasons == plan().reasons
