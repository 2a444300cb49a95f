"""The check finds what was planted and is silent about sound data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flambeau.data.check import check_counts, check_groups, check_samples
from flambeau.data.check_targets import imbalance
from flambeau.data.duplicates import Duplicates, find_duplicates
from flambeau.data.samples import PictureArray, PictureFiles, Samples
from flambeau.data.split import split_indices
from flambeau.errors import DataError
from flambeau.recipe.options import Recipe, TrainingOptions
from flambeau.schema import Finding, PictureFacts, Schema

CLASSES = ("cat", "dog", "owl")


def picture_samples(targets: np.ndarray, classes: tuple[str, ...] = CLASSES) -> Samples:
    count = len(targets)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    schema = Schema("pictures", "classification", "folder", classes, picture=PictureFacts(1, 8, 8, 8))
    ids = tuple(f"{index}.png" for index in range(count))
    return Samples(schema, ids, targets, PictureArray(pixels), digests=ids)


def table_samples(columns: dict[str, np.ndarray], targets: np.ndarray, task: str = "regression") -> Samples:
    classes = () if task == "regression" else tuple(f"c{index}" for index in range(int(targets.max()) + 1))
    schema = Schema("table", task, "target", classes)  # type: ignore[arg-type]  # a parameter of the tests
    ids = tuple(f"row {index + 1}" for index in range(len(targets)))
    return Samples(schema, ids, targets, columns=columns, digests=ids)


def findings_of(samples: Samples, recipe: Recipe | None = None, **parts: object) -> dict[str, Finding]:
    duplicates = find_duplicates(samples)
    split = parts.get("split")
    found = check_samples(samples, duplicates, split, (), recipe or Recipe())  # type: ignore[arg-type]  # a mock
    return {finding.code: finding for finding in found}


def test_sound_data_gives_no_findings() -> None:
    generator = np.random.default_rng(0)
    samples = picture_samples(np.arange(90) % 3)
    split = split_indices(90, strata=samples.targets)
    assert findings_of(samples, split=split) == {}
    columns = {"a": generator.normal(size=200), "b": np.array(["x", "y"] * 100, dtype=object)}
    assert findings_of(table_samples(columns, columns["a"] + generator.normal(size=200))) == {}


def test_duplicates_conflicts_and_leaks_are_told() -> None:
    samples = picture_samples(np.arange(60) % 3)
    digests = list(samples.digests)
    digests[59], digests[58], digests[3] = digests[0], digests[1], digests[0]
    parts = np.array(["train"] * 40 + ["test"] * 20)
    found = findings_of(replace(samples, digests=tuple(digests)))
    assert found["duplicates"].message.startswith(
        "3 pictures repeat another one exactly; each set of copies stays"
    )
    assert found["conflicting-targets"].items == ("0.png (cat) = 59.png (owl)",)
    assert "leak-between-splits" not in found
    found = findings_of(replace(samples, digests=tuple(digests), parts=parts))
    assert "kept as it is" in found["duplicates"].message
    assert found["leak-between-splits"].message.startswith("2 samples of the test part repeat")
    assert found["leak-between-splits"].items == ("1.png = 58.png", "0.png = 59.png")


def test_groups_across_given_parts_are_told() -> None:
    samples = picture_samples(np.arange(60) % 3)
    parts = np.array(["train"] * 40 + ["test"] * 20)
    found = findings_of(replace(samples, parts=parts, groups=np.arange(60) // 6))
    assert "1 group of samples" in found["leak-between-splits"].message
    assert found["leak-between-splits"].items[0] == "36.png"
    assert findings_of(replace(samples, parts=parts, groups=np.arange(60) // 4)) == {}


def test_near_duplicates_are_told_unless_switched_off() -> None:
    samples = picture_samples(np.arange(60) % 3)
    duplicates = Duplicates(np.arange(60), near_pairs=((0, 3),))
    (finding,) = check_samples(samples, duplicates, None, (), Recipe())
    assert (finding.code, finding.items) == ("near-duplicates", ("0.png = 3.png",))
    assert "1 picture repeats another one nearly" in finding.message


def test_groups_that_leave_nothing_to_test_on_are_foretold() -> None:
    samples = replace(picture_samples(np.arange(40) % 2), groups=np.arange(40) // 2)
    chained = Duplicates(np.zeros(40, dtype=np.int64), near_pairs=tuple((0, place) for place in range(1, 40)))
    groups = np.zeros(40, dtype=np.int64)
    recipe = Recipe.model_validate({"split": {"folds": 5}})
    (found,) = check_groups(samples, chained, groups, recipe)
    assert found.level == "error"
    for word in (
        "1 group that",
        "5 folds need 5",
        "39 are nearly equal",
        "20 patients",
        "split.near_duplicates=false",
    ):
        assert word in found.message, found.message
    assert "split.patients=false" in found.message and "split.folds" not in found.message
    (few,) = check_groups(samples, Duplicates(np.arange(40)), np.arange(40) % 4, recipe)
    assert "split.folds=4" in few.message and "near" not in few.message
    for folds, fine in ((4, True), (2, True), (0, True), (6, False)):
        options = Recipe.model_validate({"split": {"folds": folds}})
        assert (check_groups(samples, chained, np.arange(40) % 4, options) == []) == fine, folds
    given = replace(samples, parts=np.full(40, "train"))
    assert check_groups(given, chained, groups, recipe) == check_groups(samples, chained, None, recipe) == []


def test_errors_come_first_and_unreadable_files_are_passed_on() -> None:
    unreadable = Finding("warning", "unreadable", "1 file cannot be read; it is left out", ("x.jpg",))
    samples = picture_samples(np.zeros(30, dtype=np.int64))
    found = check_samples(samples, find_duplicates(samples), None, (unreadable,), Recipe())
    assert [finding.code for finding in found] == ["one-class", "unreadable"]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.zeros(40, dtype=np.int64), "only one class"),
        (np.arange(20), "a single sample"),
        (np.array([0] * 20 + [1]), "a single sample"),
        (np.arange(8) % 2, "8 samples are too few"),
    ],
)
def test_hopeless_counts_stop(targets: np.ndarray, message: str) -> None:
    samples = picture_samples(targets, tuple(f"class {index}" for index in range(20)))
    with pytest.raises(DataError, match=message) as caught:
        check_counts(samples)
    assert "at least 10 samples" in str(caught.value)
    assert "flambeau check" in str(caught.value)


def test_a_constant_number_stops() -> None:
    with pytest.raises(DataError, match="all targets in 'target' are equal"):
        check_counts(table_samples({"a": np.arange(20.0)}, np.ones(20)))
    check_counts(table_samples({"a": np.arange(20.0)}, np.arange(20.0)))


def test_small_empty_and_unbalanced_classes_are_told() -> None:
    targets = np.array([0] * 60 + [1] * 5 + [2])
    found = findings_of(picture_samples(targets, (*CLASSES, "newt")))
    assert "class 'owl' has a single sample" in found["single-samples"].message
    assert "class 'dog' has fewer than 10 samples" in found["few-of-a-class"].message
    assert "class 'newt' has no sample" in found["empty-classes"].message
    assert "'cat' has 60 samples, 'owl' 1, 60.0 times fewer" in found["imbalance"].message
    assert "training.class_weights: balanced weighs" in found["imbalance"].message
    recipe = Recipe(training=TrainingOptions(class_weights="none"))
    found = findings_of(picture_samples(targets), recipe)
    assert "they are not weighed" in found["imbalance"].message
    weighed = Recipe(training=TrainingOptions(class_weights="balanced"))
    mild = picture_samples(np.array([0] * 60 + [1] * 25 + [2] * 60))
    assert "they are weighed" in findings_of(mild, weighed)["imbalance"].message
    assert findings_of(mild, recipe) == {}
    assert imbalance(targets) == 60


def test_classes_missing_from_a_given_part_are_told() -> None:
    targets = np.array([0, 1] * 30 + [0, 2] * 15)
    parts = np.array(["train"] * 60 + ["test"] * 30)
    found = findings_of(replace(picture_samples(targets), parts=parts))
    assert found["classes-not-in-train"].items == ("owl",)
    assert found["classes-not-in-test"].items == ("dog",)


def test_labels_are_checked() -> None:
    targets = np.zeros((40, 3), dtype=np.float32)
    targets[:20, 0] = 1
    targets[:4, 1] = 1
    schema = Schema("pictures", "multilabel", "labels", CLASSES)
    samples = replace(picture_samples(np.zeros(40, dtype=np.int64)), schema=schema, targets=targets)
    found = findings_of(samples)
    assert found["constant-labels"].items == ("owl",)
    assert found["few-of-a-class"].items == ("dog: 4",)
    with pytest.raises(DataError, match="nothing to tell apart"):
        check_counts(replace(samples, targets=np.ones((40, 3), dtype=np.float32)))


def test_useless_columns_are_named() -> None:
    generator = np.random.default_rng(0)
    sparse = np.full(200, np.nan)
    sparse[:4] = generator.normal(size=4)
    columns = {
        "empty": np.full(200, np.nan),
        "nothing": np.array([None] * 200, dtype=object),
        "constant": np.full(200, 3.0),
        "same": np.array(["x"] * 200, dtype=object),
        "name": np.array([f"Mr {index}" for index in range(200)], dtype=object),
        "number": generator.permutation(200).astype(np.float64),
        "sparse": sparse,
        "when": np.array(["2024-01-01"] * 200, dtype="datetime64[s]"),
        "fine": generator.normal(size=200),
    }
    found = findings_of(table_samples(columns, generator.normal(size=200)))
    assert found["empty-columns"].items == ("empty", "nothing")
    assert found["constant-columns"].items == ("constant", "same", "when")
    assert found["identifier-columns"].items == ("name (200 values in 200 rows)", "number (counts up by one)")
    assert found["mostly-missing-columns"].items == ("sparse (98.0% missing)",)
    assert set(found) == {"empty-columns", "constant-columns", "identifier-columns", "mostly-missing-columns"}


def test_columns_that_leak_a_number_are_named() -> None:
    generator = np.random.default_rng(0)
    price = generator.exponential(size=400).round(1) + 1
    columns = {
        "euro": price * 1.1 + generator.normal(size=400) * 1e-4,
        "log": np.log(price) ** 3,
        "band": np.array([f"{value:.1f}" for value in price.round()], dtype=object),
        "honest": price + generator.normal(size=400) * 0.1,
    }
    found = findings_of(table_samples(columns, price))
    assert [item.split(" (")[0] for item in found["leaking-columns"].items] == ["euro", "log"]


def test_columns_that_leak_a_class_are_named() -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, 600)
    refund = np.where(targets == 1, generator.normal(size=600), np.nan)
    word = np.array(["yes" if target else "no" for target in targets], dtype=object)
    score = targets + generator.normal(size=600) * 0.2
    noisy = targets + generator.normal(size=600)
    columns = {"refund": refund, "word": word, "score": score, "noisy": noisy}
    found = findings_of(table_samples(columns, targets, "classification"))
    assert [item.split(" (")[0] for item in found["leaking-columns"].items] == ["refund", "word", "score"]
    three = np.arange(600) % 3
    found = findings_of(table_samples({"code": three * 2.0, "noise": noisy}, three, "classification"))
    assert found["leaking-columns"].items == ("code (tells 100.0% of the classes)",)


def test_suspicious_files_and_telling_formats(tmp_path: Path) -> None:
    names = tuple(f"{index}.{'jpg' if index % 2 else 'png'}" for index in range(40))
    for index, name in enumerate(names):
        (tmp_path / name).write_bytes(b"x" * (10 if index == 7 else 5000))
    schema = Schema("pictures", "classification", "folder", ("cat", "dog"))
    samples = Samples(schema, names, np.arange(40) % 2, PictureFiles(tmp_path, names), digests=names)
    found = findings_of(samples)
    assert found["suspicious-file-sizes"].items == ("7.jpg: 0.0 kB",)
    assert found["format-tells-class"].items == (".jpg: dog", ".png: cat")
    assert "format-tells-class" not in findings_of(replace(samples, targets=np.arange(40) // 20))
