"""What is chosen for scans and told, and what cannot be meant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flambeau.errors import RecipeError
from flambeau.planning.common import plan_operating_point
from flambeau.planning.pictures import plan_pictures
from flambeau.planning.scans import choose_scan, facts_as_read, plan_scans, scan_findings, scan_reading
from flambeau.planning.words import positive_class
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.scan_options import ScanOptions
from flambeau.schema import PictureFacts, Schema
from flambeau.transforms.scan import ScanReading

SLICES = PictureFacts(1, 16, 512, 512, scans="dicom")
VOLUMES = PictureFacts(1, 16, 96, 128, scans="nifti", depth=24)
MACHINE = {"device": "cpu", "cores": 2, "bf16": True}


def planned(facts: PictureFacts, source: str = "data", pretrained: bool = False, **given: Any) -> Choices:
    recipe = Recipe()
    for key, value in given.items():
        section, _, name = key.partition("__")
        setattr(getattr(recipe, section), name, value)
    choices = Choices(recipe)
    plan_pictures(
        choices,
        rows=500,
        facts=facts,
        task="classification",
        classes=("clear", "opaque"),
        pretrained=pretrained,
        hints={"source": source, "target": "finding"},
        machine=MACHINE,
    )
    return choices


def test_scans_are_neither_mirrored_nor_rotated_unless_asked() -> None:
    for facts, source in ((SLICES, "data"), (replace(SLICES, scans=""), "chest_xray/")):
        choices = planned(facts, source)
        augment = choices.recipe.image.augment
        assert (augment.flip_horizontal, augment.flip_vertical, augment.rotate) == (False, False, 0.0)
        assert "left and right differ" in choices.reasons["image.augment.flip_horizontal"]
    assert (
        "chest" in planned(replace(SLICES, scans=""), "chest_xray/").reasons["image.augment.flip_horizontal"]
    )
    assert planned(replace(SLICES, scans=""), "holidays/").recipe.image.augment.flip_horizontal
    assert planned(replace(SLICES, scans=""), "holidays/").recipe.scan == Recipe().scan


def test_volumes_get_a_net_of_three_dimensions() -> None:
    choices = planned(VOLUMES)
    recipe = choices.recipe
    assert (recipe.scan.volume, recipe.scan.depth, recipe.image.channels) == (True, 16, 16)
    assert recipe.model.name == "cnn3d" and recipe.training.memory_format == "contiguous"
    reading = scan_reading(recipe, VOLUMES)
    assert reading is not None and (reading.window, reading.depth) == ("percentile", 16)
    flat = planned(VOLUMES, scan__volume=False, scan__axis="coronal").recipe
    assert flat.image.channels == 1 and flat.model.name == "small_resnet"
    seen = facts_as_read(VOLUMES, flat)
    assert (seen.height, seen.width, seen.depth) == (24, 128, 96)
    assert planned(VOLUMES, pretrained=True).recipe.scan.volume is False
    assert planned(replace(VOLUMES, depth=3)).recipe.scan.volume is False


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"scan\.low and scan\.high belong together"):
        planned(SLICES, scan__low=5.0)
    with pytest.raises(RecipeError, match=r"scan\.low and scan\.high belong together"):
        planned(SLICES, scan__low=5.0, scan__high=1.0)
    with pytest.raises(RecipeError, match="with several slices or frames"):
        planned(SLICES, scan__volume=True)
    with pytest.raises(RecipeError, match="is for two classes"):
        recipe = Recipe()
        recipe.evaluation.operating_point = "youden"
        plan_operating_point(Choices(recipe), Schema("pictures", "classification", "x", ("a", "b", "c")))


def test_idle_options_are_told() -> None:
    told = scan_findings(planned(SLICES, scan__axis="coronal"), SLICES)
    assert [one.message for one in told] == ["scan.axis=coronal has no effect on DICOM files"]
    told = scan_findings(planned(VOLUMES, scan__frame=2), VOLUMES)
    assert [one.message for one in told] == ["scan.frame=2 has no effect on NIfTI files"]
    photo = replace(SLICES, scans="")
    told = scan_findings(planned(photo, scan__window="full"), photo)
    assert [one.message for one in told] == ["scan.window=full has no effect on data without scans"]
    assert scan_findings(planned(SLICES), SLICES) == []


def test_the_point_is_moved_for_pictures_of_bodies_alone() -> None:
    pair = Schema("pictures", "classification", "folder", ("normal", "opaque"), picture=SLICES)
    for schema, source, expected in (
        (pair, "data", "youden"),
        (replace(pair, picture=replace(SLICES, scans="")), "lungs/ct", "youden"),
        (replace(pair, picture=replace(SLICES, scans="")), "cats", None),
        (replace(pair, picture=None, source="table"), "ct.csv", None),
    ):
        recipe = Recipe()
        recipe.source = source
        choices = Choices(recipe)
        plan_operating_point(choices, schema)
        assert choices.recipe.evaluation.operating_point == expected


def test_the_healthy_class_is_never_the_one_that_is_looked_for() -> None:
    for classes, expected in (
        (("COVID", "normal"), "COVID"),
        (("malignant", "normal"), "malignant"),
        (("abnormal", "normal"), "abnormal"),
        (("no_tumor", "yes"), "yes"),
        (("glioma", "no_tumor"), "glioma"),
        (("a", "b"), "b"),
        (("normal", "not normal"), "not normal"),
    ):
        assert positive_class(classes)[0] == expected
        choices = Choices(Recipe())
        plan_operating_point(choices, Schema("pictures", "classification", "folder", classes, picture=SLICES))
        assert choices.recipe.evaluation.positive == expected
    schema = Schema("pictures", "classification", "folder", ("a", "b"), picture=SLICES)
    for value, told in (("a", None), ("c", "no class 'c'")):
        recipe = Recipe()
        recipe.evaluation.positive = value
        if told is None:
            plan_operating_point(Choices(recipe), schema)
            assert recipe.evaluation.positive == "a"
        else:
            with pytest.raises(RecipeError, match=told):
                plan_operating_point(Choices(recipe), schema)


def test_a_start_is_read_as_its_run_was() -> None:
    reading = ScanReading(window="range", low=-10.0, high=90.0, depth=12, axis="axial")
    choices = Choices(Recipe())
    choose_scan(choices, reading)
    plan_scans(choices, VOLUMES, pretrained=False, device="cpu")
    assert scan_reading(choices.recipe, VOLUMES) == reading
    recipe = Recipe()
    recipe.scan.axis = "coronal"
    with pytest.raises(RecipeError, match=r"scan\.axis: the earlier run"):
        choose_scan(Choices(recipe), reading)
    recipe.scan = ScanOptions(depth=8)
    with pytest.raises(RecipeError, match=r"scan\.depth: the earlier run"):
        choose_scan(Choices(recipe), reading)
