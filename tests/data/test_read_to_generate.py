"""What is read where pictures are to be made: labels only serve the score, and may be absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flambeau.data.read import read, read_test
from flambeau.errors import DataError
from flambeau.recipe import Recipe
from flambeau.recipe.options import DataOptions

RECIPE = Recipe(task="generate")


def save(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(len(folder.name))
    for number in range(count):
        Image.fromarray(draw.integers(0, 255, (9, 8), dtype=np.uint8)).save(folder / f"{number}.png")


def test_digits_keep_their_classes_for_the_score() -> None:
    samples = read("digits", RECIPE)
    assert samples.schema.task == "generate"
    assert len(samples.schema.classes) == 10
    assert samples.targets.dtype == np.int64
    assert "the 10 classes serve the score alone" in samples.findings[-1].message


def test_a_folder_without_classes_is_read(tmp_path: Path) -> None:
    save(tmp_path, 12)
    samples = read(str(tmp_path), RECIPE)
    assert (len(samples), samples.schema.classes, samples.schema.target) == (12, (), "(unlabelled)")
    assert samples.targets.tolist() == [0] * 12
    (told,) = [finding for finding in samples.findings if finding.code == "unlabelled"]
    assert "features of a net that is not trained" in told.message


def test_a_folder_of_one_class_is_read(tmp_path: Path) -> None:
    save(tmp_path / "cats", 12)
    samples = read(str(tmp_path), RECIPE)
    assert (len(samples), samples.schema.classes) == (12, ())


def test_classes_of_folders_stay(tmp_path: Path) -> None:
    save(tmp_path / "cats", 6)
    save(tmp_path / "geese", 5)
    samples = read(str(tmp_path), RECIPE)
    assert samples.schema.classes == ("cats", "geese")
    assert np.bincount(samples.targets).tolist() == [6, 5]


def test_an_array_without_labels_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "pictures.npy", np.zeros((15, 8, 8), dtype=np.uint8))
    samples = read(str(tmp_path / "pictures.npy"), RECIPE)
    assert (len(samples), samples.schema.classes) == (15, ())


def test_numbers_beside_pictures_are_no_classes(tmp_path: Path) -> None:
    save(tmp_path, 12)
    rows = [f"{number}.png,{number + 0.25}" for number in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,weight", *rows]) + "\n")
    samples = read(str(tmp_path), RECIPE)
    assert samples.schema.classes == ()
    assert any("the labels ask for regression" in finding.message for finding in samples.findings)


def test_a_separate_test_source_needs_no_labels(tmp_path: Path) -> None:
    save(tmp_path / "a", 12)
    save(tmp_path / "b", 5)
    samples = read(str(tmp_path / "a"), RECIPE)
    test = read_test(str(tmp_path / "b"), samples.schema, RECIPE)
    assert test.targets.tolist() == [0] * 5


def test_a_table_makes_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{row},{row % 2}\n" for row in range(20)))
    recipe = Recipe(task="generate", data=DataOptions(target="b"))
    with pytest.raises(DataError, match="pictures are made from pictures"):
        read(str(tmp_path / "t.csv"), recipe)


def test_without_the_task_a_folder_without_classes_is_still_refused(tmp_path: Path) -> None:
    save(tmp_path, 12)
    with pytest.raises(DataError, match="the pictures have no labels"):
        read(str(tmp_path), Recipe())
