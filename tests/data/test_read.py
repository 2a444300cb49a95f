"""Whole sources become samples, and every mistake is answered with what to type next."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flambeau.data.read import read, read_test
from flambeau.data.read_inputs import read_inputs
from flambeau.data.samples import PictureArray, PictureFiles, Samples
from flambeau.data.tables.rows import digest_rows, rows_as_columns
from flambeau.errors import DataError
from flambeau.recipe import Recipe
from flambeau.recipe.options import DataOptions, SplitOptions

ROWS = "size,colour,price\n" + "".join(
    f"{i * 7 % 31},{'red' if i % 2 else 'blue'},{i * 1.5}\n" for i in range(30)
)


def recipe(target: str | None = None, group: str | None = None) -> Recipe:
    return Recipe(data=DataOptions(target=target), split=SplitOptions(group=group))


def picture(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (3, 2), value).save(path)


def photos(root: Path) -> Path:
    for i in range(6):
        picture(root / "cat dog"[(i % 2) * 4 :][:3] / f"{i}.png", 10 * i)
    return root


def codes(samples: Samples) -> list[str]:
    return [finding.code for finding in samples.findings]


def test_a_folder_with_classes(tmp_path: Path) -> None:
    photos(tmp_path)
    (tmp_path / "cat" / "9.jpg").write_text("my notes")
    samples = read(str(tmp_path), Recipe())
    assert samples.schema.classes == ("cat", "dog")
    assert samples.ids[0] == "cat/0.png"
    assert samples.ids[3] == "cat/9.jpg"
    assert samples.targets.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert samples.schema.picture is not None
    assert (samples.schema.picture.channels, samples.schema.picture.height) == (1, 2)
    assert len(set(samples.digests)) == 7
    assert isinstance(samples.pictures, PictureFiles)
    assert samples.pictures.path(0).is_file()


def test_a_zip_of_it_is_the_same(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as packed:
        for path in (tmp_path / "photos").rglob("*.png"):
            packed.write(path, path.relative_to(tmp_path))
    packed_samples, plain = (
        read(str(tmp_path / "photos.zip"), Recipe()),
        read(str(tmp_path / "photos"), Recipe()),
    )
    assert packed_samples.digests == plain.digests
    assert packed_samples.ids == plain.ids


def test_a_folder_with_a_table_of_labels(tmp_path: Path) -> None:
    for i in range(5):
        picture(tmp_path / "images" / f"00{i}.png", i)
    rows = "file,count,who\n" + "".join(f"{i},{i * 1.5},{'ab'[i // 3]}\n" for i in range(4)) + "77,1.5,a\n"
    (tmp_path / "labels.csv").write_text(rows)
    samples = read(str(tmp_path), recipe("count", group="who"))
    assert samples.schema.task == "regression"
    assert samples.targets.tolist() == [0, 1.5, 3, 4.5]
    assert samples.groups is not None
    assert samples.groups.tolist() == [0, 0, 0, 1]
    assert {"rows-without-picture", "pictures-without-row"} <= set(codes(samples))
    with pytest.raises(DataError, match="which column is to be predicted") as error:
        read(str(tmp_path), Recipe())
    assert "--target count" in str(error.value)


def test_several_columns_are_several_labels(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / f"{i}.png", i)
    (tmp_path / "labels.csv").write_text("file,red,round\n0.png,1,0\n1.png,1,1\n2.png,0,0\n3.png,0,1\n")
    samples = read(str(tmp_path), recipe("red,round"))
    assert samples.schema.task == "multilabel"
    assert samples.targets.tolist() == [[1, 0], [1, 1], [0, 0], [0, 1]]


def test_paths_alone_are_pictures_and_beside_other_columns_a_table(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / f"{i}.png", i)
    (tmp_path / "one.csv").write_text(
        "path,n,y\n" + "".join(f"{i}.png,{i},{'ab'[i % 2]}\n" for i in range(4))
    )
    beside = read(str(tmp_path / "one.csv"), recipe("y"))
    assert beside.schema.source == "table"
    assert [(column.name, column.kind) for column in beside.schema.used_columns] == [
        ("path", "image"),
        ("n", "number"),
    ]
    (tmp_path / "alone.csv").write_text(
        "path,id,y\n" + "".join(f"{i}.png,{i},{'ab'[i % 2]}\n" for i in range(4))
    )
    options = Recipe.model_validate({"data": {"target": "y", "columns": {"id": "identifier"}}})
    samples = read(str(tmp_path / "alone.csv"), options)
    assert samples.schema.source == "pictures"
    assert "columns-beside-pictures" in codes(samples)
    (tmp_path / "two.csv").write_text(
        "p,q,n,y\n" + "".join(f"{i}.png,{i}.png,{i % 3},{'ab'[i % 2]}\n" for i in range(4))
    )
    table = read(str(tmp_path / "two.csv"), recipe("y"))
    assert table.schema.source == "table"
    assert table.schema.picture_columns == ("p", "q")


def test_arrays_and_built_in_data(tmp_path: Path) -> None:
    pixels = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.eye(3, dtype=np.uint8)[[0, 1, 2, 0, 1, 2]])
    samples = read(str(tmp_path / "a.npz"), Recipe())
    assert samples.targets.tolist() == [0, 1, 2, 0, 1, 2]
    assert samples.ids[0] == "picture 1"
    digits = read("digits", Recipe())
    assert isinstance(digits.pictures, PictureArray)
    assert digits.pictures.pixels.shape == (1797, 8, 8, 1)
    assert digits.pictures.pixels.max() == 255
    assert read("diabetes", Recipe()).schema.task == "regression"
    assert read("iris", Recipe()).schema.classes == ("setosa", "versicolor", "virginica")


def test_a_table_with_missing_targets_and_groups(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(ROWS + "4,red,\n5,red,?\n")
    samples = read(str(tmp_path / "t.csv"), recipe("price", group="colour"))
    assert len(samples) == 30
    assert samples.ids[-1] == "row 30"
    assert samples.columns is not None
    assert list(samples.columns) == ["size"]
    assert samples.groups is not None
    assert samples.groups[:3].tolist() == [0, 1, 0]
    assert "missing-targets" in codes(samples)


def test_digests_of_rows_know_values_not_targets_order_or_process(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n1,x,1.5\n1.0, x,2.5\n1,,3.5\n2,x,4.5\n")
    digests = read(str(tmp_path / "t.csv"), recipe("y")).digests
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    columns = {"a": np.array([1.0, np.nan, -0.0]), "b": np.array(["x", None, "y"], dtype=object)}
    expected = digest_rows(columns, 3)
    assert digest_rows(dict(reversed(columns.items())), 3) == expected
    swapped = {"b": columns["a"], "a": columns["b"]}
    assert digest_rows(swapped, 3)[0] != expected[0]
    code = (
        "import numpy as np; from flambeau.data.tables.rows import digest_rows; print(digest_rows({'a': "
        "np.array([1.0, np.nan, 0.0]), 'b': np.array(['x', None, 'y'], dtype=object)}, 3))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == str(expected)


def test_a_separate_test_source_keeps_the_classes(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("n,y\n" + "1,<=50K\n2,>50K\n" * 10)
    (tmp_path / "test.csv").write_text("y,n,extra\n>50K.,3,1\n<=50K.,4,1\n")
    samples = read(str(tmp_path / "train.csv"), recipe("y"))
    test = read_test(str(tmp_path / "test.csv"), samples.schema, recipe("y"))
    assert test.schema == samples.schema
    assert test.targets.tolist() == [1, 0]
    assert codes(test) == ["class-spelling"]
    (tmp_path / "test.csv").write_text("y,n\n>60K,3\n")
    with pytest.raises(DataError, match="'>60K' is not a class of this model"):
        read_test(str(tmp_path / "test.csv"), samples.schema, recipe("y"))
    photos(tmp_path / "photos")
    schema = read(str(tmp_path / "photos"), Recipe()).schema
    picture(tmp_path / "more" / "dog" / "1.png")
    assert read_test(str(tmp_path / "more"), schema, Recipe()).targets.tolist() == [1]


def test_inputs_to_predict_from_tables_and_json(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(ROWS)
    schema = read(str(tmp_path / "t.csv"), recipe("price")).schema
    (tmp_path / "new.csv").write_text("colour,extra,size\nred,9,1\ngreen,9,x\n")
    inputs = read_inputs([str(tmp_path / "new.csv")], schema, Recipe())
    assert inputs.columns is not None
    assert inputs.ids == ("row 1", "row 2")
    assert np.isnan(inputs.targets).all()
    rows = rows_as_columns([{"size": "1", "colour": "red "}, {"size": None, "colour": "green"}], schema)
    for name, values in inputs.columns.items():
        np.testing.assert_array_equal(values, rows[name])
    (tmp_path / "less.csv").write_text("colour,sise\nred,9\n")
    with pytest.raises(DataError, match="needs 1 more column: size") as error:
        read_inputs([str(tmp_path / "less.csv")], schema, Recipe())
    assert "'sise' was given; did you mean 'size'?" in str(error.value)


def test_inputs_to_predict_from_pictures(tmp_path: Path) -> None:
    schema = read(str(photos(tmp_path / "photos")), Recipe()).schema
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    inputs = read_inputs([str(tmp_path / "photos"), str(broken)], schema, Recipe())
    assert len(inputs) == 7
    assert inputs.ids[-1] == str(broken)
    assert isinstance(inputs.pictures, PictureFiles)
    assert all(inputs.pictures.path(i).is_file() for i in range(7))
    np.save(tmp_path / "new.npy", np.zeros((3, 4, 4), np.uint8))
    assert isinstance(read_inputs([str(tmp_path / "new.npy")], schema, Recipe()).pictures, PictureArray)
    for paths, sentence in (([], "nothing to predict"), ([str(tmp_path / "brocken.jpg")], "there is no")):
        with pytest.raises(DataError, match=sentence):
            read_inputs(paths, schema, Recipe())


MISTAKES: Sequence[tuple[str, str | None, str, str]] = [
    ("phots", None, "there is no ", "did you mean 'photos'?"),
    ("t.csv", None, "which column", "t.csv --target price"),
    ("t.csv", "prise", "--target names a column", "did you mean 'price'?"),
    ("single", None, "one class only: 'cats'", "at least two classes"),
    ("two", None, "several tables", "train.csv --test"),
    ("flat", None, "the pictures have no labels", "one folder for each class"),
    ("photos", "age", "no table here has 'age'", "one folder for each class"),
    ("photos/cat/0.png", None, "no source of samples", "can be predicted"),
    ("alone.csv", "y", "no column to learn from", "data.columns"),
]


def test_a_misspelt_maker_of_data_is_named() -> None:
    with pytest.raises(DataError, match="did you mean 'synthetic:text'") as error:
        read("syntetic:text", Recipe())
    assert "train synthetic:text" in str(error.value)


@pytest.mark.parametrize(("name", "target", "sentence", "advice"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_mistakes_are_answered(
    tmp_path: Path, name: str, target: str | None, sentence: str, advice: str
) -> None:
    photos(tmp_path / "photos")
    picture(tmp_path / "single" / "cats" / "1.png")
    picture(tmp_path / "flat" / "1.png")
    (tmp_path / "two").mkdir()
    for path in ("t.csv", "two/train.csv", "two/test.csv"):
        (tmp_path / path).write_text(ROWS)
    (tmp_path / "alone.csv").write_text("y\n" + "a\nb\n" * 5)
    with pytest.raises(DataError) as error:
        read(str(tmp_path / name), recipe(target))
    assert sentence in str(error.value)
    assert advice in str(error.value)


@pytest.mark.slow
def test_real_sources(shared_data: Path) -> None:
    expected = [
        ("tables/titanic.csv", "Survived", "classification", 891),
        ("tables/adult/train.csv", "income", "classification", 10_000),
        ("tables/california_housing.csv", "median_house_value", "regression", 20_640),
        ("tables/wine_quality_white.csv", "quality", "regression", 4_898),
        ("tables/sonar.csv", "object", "classification", 208),
        ("mixed/houses/houses.csv", "price_usd", "regression", 400),
        ("medical/blood_cells", "white_cells", "regression", 364),
        ("images/cifar10_small", None, "classification", 2_500),
        ("images/sign_digits", None, "classification", 1_200),
        ("images/photos_small", None, "classification", 60),
        ("images/mnist_10k", None, "classification", 10_000),
        ("medical/pneumonia_xray_28.zip", None, "classification", 5_856),
    ]
    for name, target, task, count in expected:
        samples = read(str(shared_data / name), recipe(target))
        assert (name, samples.schema.task, len(samples)) == (name, task, count)
    wine = read(str(shared_data / "tables/wine_quality_white.csv"), recipe("quality"))
    assert len(wine) - len(set(wine.digests)) == 937
