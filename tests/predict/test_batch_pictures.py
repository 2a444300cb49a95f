"""Predictions of pictures into a file: folders of any depth, broken pictures, archives and arrays."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from small_runs import draw, mixed_run, picture_run

from flambeau.data import listing
from flambeau.data.read_inputs import read_inputs
from flambeau.deploy.answer import answer_samples
from flambeau.deploy.batch.job import BatchOptions, predict_to_file
from flambeau.deploy.batch.predictors import picture_batch
from flambeau.deploy.bundle import load_bundle
from flambeau.deploy.predict import predict as predict_in_memory
from flambeau.errors import DataError, UsageError
from flambeau.recipe import Recipe
from flambeau.records import RunFolder


def predict(run: RunFolder, *paths: Path, **options: Any) -> pyarrow.Table:
    target = run.path.parent / "out.parquet"
    predict_to_file(run, [str(path) for path in paths], target, BatchOptions(**options))
    return parquet.read_table(target)


def check_equal(run: RunFolder, *paths: Path, batch: int = 4) -> pyarrow.Table:
    """Names, errors and probabilities against those of the path in memory."""
    found = predict(run, *paths, batch=batch)
    bundle = load_bundle(run.model)
    samples = read_inputs([str(path) for path in paths], bundle.schema, Recipe())
    assert found["input"].to_pylist() == list(samples.ids)
    columns = [name for name in found.column_names if name.startswith("p(")]
    written = np.stack([found[name].to_numpy() for name in columns], axis=1)
    errors = found["error"].to_pylist()
    for answer in answer_samples(bundle, samples, batch=batch):
        assert np.array_equal(written[answer.rows], answer.predictions.astype(np.float32))
        for row, reason in answer.problems:
            assert errors[row] == reason
            assert np.isnan(written[row]).all()
            errors[row] = None
    assert errors == [None] * len(errors)
    return found


def fill(folder: Path) -> Path:
    names = [
        "b/1.png",
        "a-b/2.PNG",
        "a/deep/er/3.png",
        "a/4.jpg",
        "5.png",
        ".hidden/6.png",
        "a/.7.png",
        "z.png",
    ]
    for seed, name in enumerate(names):
        draw(folder / name, seed)
    (folder / "a" / "notes.txt").write_text("no picture")
    (folder / "broken.png").write_bytes((folder / "5.png").read_bytes()[:60])
    (folder / "empty.jpg").touch()
    return folder


def test_a_folder_with_broken_pictures_is_that_of_the_path_in_memory(
    tmp_path: Path, pictures: RunFolder
) -> None:
    folder = fill(tmp_path / "photos")
    found = check_equal(pictures, folder)
    names = [name.removeprefix(f"{folder.as_posix()}/") for name in found["input"].to_pylist()]
    assert names == sorted(names)
    assert names == [
        "5.png", "a-b/2.PNG", "a/4.jpg", "a/deep/er/3.png", "b/1.png", "broken.png", "empty.jpg", "z.png"
    ]  # fmt: skip
    assert [name for name, error in zip(names, found["error"].to_pylist(), strict=True) if error] == [
        "broken.png",
        "empty.jpg",
    ]
    assert found["label"].to_pylist()[5] is None


def test_one_picture_and_several_sources(tmp_path: Path, pictures: RunFolder) -> None:
    folder = fill(tmp_path / "photos")
    check_equal(pictures, folder / "z.png", folder / "a", folder / "z.png")
    with pytest.raises(DataError, match="there is no"):
        predict(pictures, folder, tmp_path / "photo")


def test_links_in_a_circle_are_followed_once(tmp_path: Path, pictures: RunFolder) -> None:
    folder = fill(tmp_path / "photos")
    (folder / "a" / "deep" / "up").symlink_to(folder)
    (folder / "c").symlink_to(folder / "b")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    found = check_equal(pictures, folder)
    names = found["input"].to_pylist()
    assert len(names) == 9
    assert sum(name.endswith("1.png") for name in names) == 1
    assert found["error"].to_pylist()[names.index(f"{folder.as_posix()}/loop.png")] is not None


def test_a_folder_that_cannot_be_listed_is_told(
    tmp_path: Path, pictures: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "photos")
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if Path(path).name in ("b", "closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(listing.os, "scandir", closed)
    told: list[dict[str, Any]] = []
    summary = predict_to_file(pictures, [str(folder)], tmp_path / "out.csv", listener=told.append)
    assert summary.rows == 7
    (finding,) = [record for record in told if record["kind"] == "finding"]
    assert finding["message"] == f"left out: 1 folder below {folder} that cannot be listed"
    assert finding["items"] == ("b/: Permission denied",)
    (tmp_path / "closed").mkdir()
    with pytest.raises(DataError, match="cannot be listed") as raised:
        predict(pictures, tmp_path / "closed")
    assert raised.value.got == "Permission denied"


def test_an_empty_folder_is_told(tmp_path: Path, pictures: RunFolder) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(DataError, match="no pictures and no tables"):
        predict(pictures, tmp_path / "empty")
    assert not (pictures.path.parent / "out.parquet.parts").exists()


def test_pictures_in_an_archive_have_their_names_there(tmp_path: Path, pictures: RunFolder) -> None:
    folder = fill(tmp_path / "photos")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as packed:
        for path in sorted(folder.rglob("*.*")):
            if path.is_file():
                packed.write(path, f"set/{path.relative_to(folder)}")
    found = check_equal(pictures, tmp_path / "photos.zip")
    prefix = f"{tmp_path.as_posix()}/photos.zip/set/"
    assert found["input"][0].as_py() == f"{prefix}5.png"
    broken = found["error"].to_pylist()[5]
    assert f"{prefix}broken.png" in broken
    assert "archives" not in broken
    told = list(predict_in_memory(pictures, [str(tmp_path / "photos.zip")]))
    assert [one["input"] for one in told] == found["input"].to_pylist()
    assert told[5]["error"] == broken


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_arrays(tmp_path: Path, pictures: RunFolder, name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (11, 9, 9, 3), dtype=np.uint8)
    if name == "x.npy":
        np.save(tmp_path / name, images)
    else:
        np.savez(tmp_path / name, images=images)
    assert check_equal(pictures, tmp_path / name).num_rows == 11
    with pytest.raises(DataError, match="arrays are predicted alone"):
        predict(pictures, tmp_path / name, tmp_path / name)


def test_a_name_that_is_no_utf_8_is_written_with_its_bytes(tmp_path: Path, pictures: RunFolder) -> None:
    draw(tmp_path / "photos" / "1.png", 0)
    strange = os.fsdecode(os.fsencode(tmp_path / "photos") + b"/\xff\n.png")
    try:
        Path(strange).write_bytes((tmp_path / "photos" / "1.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    found = predict(pictures, tmp_path / "photos")
    assert found["input"].to_pylist()[1].endswith("\\xff\n.png")
    assert found["error"].to_pylist() == [None, None]


def test_a_picture_that_vanishes_is_a_row_with_an_error(tmp_path: Path, pictures: RunFolder) -> None:
    folder = fill(tmp_path / "photos")

    def remove(record: dict[str, Any]) -> None:
        if record["kind"] == "rows":
            (folder / "z.png").unlink(missing_ok=True)

    summary = predict_to_file(pictures, [str(folder)], tmp_path / "out.parquet", listener=remove)
    assert (summary.rows, summary.errors) == (8, 3)


def test_pictures_have_no_columns(tmp_path: Path, pictures: RunFolder) -> None:
    with pytest.raises(UsageError, match="no columns to keep"):
        predict(pictures, fill(tmp_path / "photos"), keep=("id",))


def test_multilabel_and_regression(tmp_path: Path) -> None:
    for task in ("multilabel", "regression"):
        run = picture_run(tmp_path / task / "run", task)
        draw(tmp_path / "1.png", 0)
        (tmp_path / "2.png").write_bytes(b"no")
        found = predict(run, tmp_path / "2.png", tmp_path / "1.png", tmp_path / "2.png", batch=1)
        name = "label" if task == "multilabel" else "value"
        assert [value is None for value in found[name].to_pylist()] == [True, False, True]


def test_larger_pictures_come_in_smaller_batches() -> None:
    assert [picture_batch((side, side)) for side in (8, 64, 128, 224, 512, 2000)] == [64, 64, 64, 16, 4, 1]


@pytest.mark.parametrize(
    ("recipe", "strange"), [("seed: 0\n", [False, False]), ("data: {max_pixels: 400}\n", [False, True])]
)
def test_pictures_of_rows_have_the_limit_of_the_recipe(
    recipe: str, strange: list[bool], tmp_path: Path
) -> None:
    run = mixed_run(tmp_path / "run", recipe)
    draw(tmp_path / "small.png", 1)
    draw(tmp_path / "large.png", 2, (40, 40))
    (tmp_path / "rows.csv").write_text("front\nsmall.png\nlarge.png\n")
    told = predict(run, tmp_path / "rows.csv")["strange"].to_pylist()
    assert ["no picture that can be read" in (one or "") for one in told] == strange, told
