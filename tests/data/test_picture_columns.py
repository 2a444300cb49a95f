"""Tables that name pictures: which paths are used, which are refused and named, and what one row then is."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image

from flambeau.data.pictures.paths import PictureFile, picture_files, picture_values
from flambeau.data.read import read
from flambeau.data.read_inputs import read_inputs
from flambeau.data.samples import PictureFiles, Samples
from flambeau.errors import DataError
from flambeau.recipe import Recipe

ROWS = 24


def write_table(folder: Path, *, columns: Sequence[str] = ("front", "back"), **others: Any) -> Path:
    """A table of `ROWS` rows with columns of pictures, a number and a target."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    path = folder / "homes.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, *others, "price"])
        for row in range(ROWS):
            names = []
            for column in columns:
                name = f"images/{row}_{column}.png"
                pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / name)
                names.append(name)
            writer.writerow([*names, *(values[row] for values in others.values()), 100.5 + row])
    return path


def sizes() -> list[float]:
    return [1.5 + row * row for row in range(ROWS)]


def read_table(path: Path, **data: Any) -> Samples:
    recipe = Recipe.model_validate({"source": str(path), "data": {"target": "price", **data}})
    return read(str(path), recipe)


def edit(path: Path, row: int, name: str) -> None:
    """Put another path into the first column of a row."""
    lines = path.read_text().splitlines()
    lines[row + 1] = ",".join([name, *lines[row + 1].split(",")[1:]])
    path.write_text("\n".join(lines) + "\n")


def test_pictures_beside_numbers_are_columns_of_a_table(tmp_path: Path) -> None:
    samples = read_table(write_table(tmp_path, size=sizes()))
    assert samples.schema.source == "table"
    assert samples.schema.picture_columns == ("front", "back")
    assert samples.schema.picture is not None and samples.schema.picture.channels == 3
    assert samples.columns is not None
    first = samples.columns["front"][0]
    assert isinstance(first, PictureFile) and first.path.is_file() and str(first) == "images/0_front.png"


def test_one_column_of_pictures_alone_is_a_source_of_pictures(tmp_path: Path) -> None:
    samples = read_table(write_table(tmp_path, columns=["front"]))
    assert samples.schema.source == "pictures" and isinstance(samples.pictures, PictureFiles)
    dropped = read_table(write_table(tmp_path / "b", columns=["front"], size=sizes()), drop=["size"])
    assert dropped.schema.source == "pictures"


def test_several_columns_of_pictures_alone_are_a_table(tmp_path: Path) -> None:
    samples = read_table(write_table(tmp_path))
    assert samples.schema.source == "table" and len(samples.schema.picture_columns) == 2


def test_bad_paths_are_counted_named_and_their_rows_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    path = write_table(folder, size=sizes())
    outside = tmp_path / "secret.png"
    Image.new("RGB", (4, 4)).save(outside)
    (folder / "images" / "link.png").symlink_to(outside)
    edit(path, 0, "images/gone.png")
    edit(path, 1, str(outside))
    edit(path, 2, "../secret.png")
    edit(path, 3, "images/link.png")
    edit(path, 4, "")
    edit(path, 5, r"C:\photos\a.png")
    samples = read_table(path)
    assert len(samples) == ROWS and samples.columns is not None
    assert [value is None for value in samples.columns["front"][:7]] == [True] * 6 + [False]
    told = {f.message: f.items for f in samples.findings if f.code == "pictures-not-used"}
    ((message, items),) = told.items()
    assert "6 rows without a picture (" in message and "1 by empty cells)" in message
    for words in ("2 by absolute paths", "2 by paths that climb, or links that lead,", "1 by files that"):
        assert words in message
    assert set(items) == {
        str(outside),
        r"C:\photos\a.png",
        "../secret.png",
        "images/link.png",
        "images/gone.png",
    }


def test_no_usable_picture_stops_and_says_what_to_type(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    path = write_table(folder, size=sizes())
    text = path.read_text().replace("images/", f"{folder}/images/")
    path.write_text(text)
    with pytest.raises(DataError, match="no picture that column 'front' names can be used") as caught:
        read_table(path)
    assert "data.drop" in str(caught.value)


def test_rows_are_equal_where_pictures_are_equal_whatever_their_names(tmp_path: Path) -> None:
    path = write_table(tmp_path, columns=["front", "back"], size=[7.5, 7.5, *sizes()[2:]])
    for side in ("front", "back"):
        content = (tmp_path / "images" / f"0_{side}.png").read_bytes()
        (tmp_path / "images" / f"1_{side}.png").write_bytes(content)
    samples = read_table(path)
    assert samples.digests[0] == samples.digests[1] != samples.digests[2]


def test_inputs_are_relative_to_their_own_table(tmp_path: Path) -> None:
    samples = read_table(write_table(tmp_path / "a", size=sizes()))
    other = write_table(tmp_path / "b", size=sizes())
    edit(other, 3, "../a/images/3_front.png")
    inputs = read_inputs([str(other)], samples.schema, Recipe())
    assert inputs.columns is not None
    assert inputs.columns["front"][0].root == tmp_path / "b"
    assert inputs.columns["front"][3] is None
    assert any(finding.code == "pictures-not-used" for finding in inputs.findings)


def test_values_from_python(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(file)
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    found = picture_values([str(file), file, None, "", file.read_bytes(), pixels], "front")
    assert isinstance(found[0], PictureFile) and found[2] is None and found[3] is None
    assert isinstance(found[4], bytes) and found[5] is pixels
    with pytest.raises(DataError, match="there is no picture"):
        picture_values(["gone.png"], "front")
    with pytest.raises(DataError, match="something else"):
        picture_values([3.5], "front")


def test_a_column_is_checked_once_a_path(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    found, refused = picture_files(["a.png", "a.png", None], tmp_path)
    assert found[0] is found[1] and found[2] is None and refused == {}


def test_postal_codes_are_categories(tmp_path: Path) -> None:
    codes = [10000 + 7 * (row % 5) for row in range(ROWS)]
    samples = read_table(write_table(tmp_path, zipcode=codes, size=sizes()))
    assert samples.schema.column("zipcode").kind == "category"
    assert samples.schema.column("size").kind == "number"


def test_a_path_that_no_file_can_have_is_missing(tmp_path: Path) -> None:
    names = [f"pics/{'x' * 300}.png", "y" * 5000, None]
    found, refused = picture_files(pyarrow.array(names), tmp_path)
    assert [one is None for one in found] == [True] * 3 and list(refused) == ["missing"]
    with pytest.raises(DataError, match="no picture"):
        picture_values([names[0]], "pic")
