"""Folders of pictures are understood as people lay them out, and what is left out is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from flambeau.data.pictures.folder import find_class_folders, match_files, refuse_mixed_folders, scan_folder
from flambeau.data.pictures.source import open_folder
from flambeau.errors import DataError
from flambeau.recipe import Recipe


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".png", ".jpg"):
            Image.new("L", (2, 2)).save(path)
        else:
            path.write_text("text\n")
    return root


def codes(findings: Sequence[object]) -> list[str]:
    return [finding.code for finding in findings]  # type: ignore[attr-defined]  # findings have codes


def test_classes_are_the_first_folders_at_any_depth(tmp_path: Path) -> None:
    scan = scan_folder(put(tmp_path, "big cats/lion/1.PNG", "big cats/2.jpg", "chiens é/3.png", "stray.png"))
    found = find_class_folders(scan)
    assert found is not None
    assert found.classes == ("big cats", "big cats", "chiens é")
    assert found.parts is None
    assert found.findings[0].items == ("stray.png",)


@pytest.mark.parametrize("valid", ["valid", "val", "Validation"])
def test_parts_with_classes_in_them(tmp_path: Path, valid: str) -> None:
    put(
        tmp_path,
        "set/train/a/1.png",
        "set/train/b/2.png",
        f"set/{valid}/a/3.png",
        "set/test/b/4.png",
        "set/x/5.png",
    )
    found = find_class_folders(scan_folder(tmp_path))
    assert found is not None
    assert found.parts is not None
    by_name = dict(zip(found.names, zip(found.classes, found.parts.tolist(), strict=True), strict=True))
    assert by_name == {
        f"{valid}/a/3.png": ("a", "valid"),
        "test/b/4.png": ("b", "test"),
        "train/a/1.png": ("a", "train"),
        "train/b/2.png": ("b", "train"),
    }
    assert codes(found.findings) == ["beside-parts"]


def test_a_test_folder_without_classes_is_left_out(tmp_path: Path) -> None:
    found = find_class_folders(scan_folder(put(tmp_path, "train/a/1.png", "train/b/2.png", "test/3.png")))
    assert found is not None
    assert found.parts is None
    assert found.classes == ("a", "b")
    assert codes(found.findings) == ["pictures-without-class"]


def test_hidden_and_other_files_are_left_out_and_told(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/2.png", "b/notes.doc", ".secret/3.png", "__MACOSX/a/._1.png", "a/.thumb.png")
    scan = scan_folder(tmp_path)
    assert scan.pictures == ("a/1.png", "b/2.png")
    assert codes(scan.findings) == ["other-files", "hidden-folders"]
    assert scan.findings[1].items == (".secret (1 pictures)",)
    assert "rename" in scan.findings[1].message


def test_single_folders_are_entered_but_one_class_is_not(tmp_path: Path) -> None:
    assert scan_folder(put(tmp_path / "one", "data/set/a/1.png", "data/set/b/2.png")).root.name == "set"
    assert scan_folder(put(tmp_path / "two", "cats/1.png")).pictures == ("cats/1.png",)
    labelled = scan_folder(put(tmp_path / "three", "set/images/1.png", "set/labels.csv", "set/README.csv"))
    assert (labelled.root.name, labelled.tables) == ("set", ("labels.csv",))
    assert find_class_folders(labelled) is None


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(scan_folder(tmp_path).pictures) == 2


def test_nothing_to_read_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        scan_folder(tmp_path / "empty")
    assert "an empty folder" in str(error.value)
    with pytest.raises(DataError, match="no pictures and no tables") as error:
        scan_folder(put(tmp_path / "packed", "photos.zip"))
    assert error.value.command.endswith("photos.zip")


def test_files_are_matched_by_path_name_and_stem() -> None:
    names = ["images/001.png", "images/two.png", "other/two.png", "b.c.jpg"]
    values = [
        "images/001.png",
        "001.png",
        "1",
        "two",
        "other\\two.png",
        "./images/two.png",
        "b.c",
        None,
        "no",
    ]
    assert match_files(values, names) == [0, 0, 0, None, 2, 1, 3, None, None]


def test_a_folder_of_several_data_sets_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    put(
        tmp_path,
        "houses/1.jpg",
        "houses/2.jpg",
        "scans/ill/1.dcm",
        "nii/a/1.nii.gz",
        "titanic.csv",
        "news.csv",
    )
    with pytest.raises(DataError, match="several data sets") as told:
        open_folder(tmp_path, Recipe(), None)
    assert told.value.got == (
        "houses: 2 pictures; nii: 1 NIfTI scan; scans: 1 DICOM scan; beside them news.csv, titanic.csv"
    )
    assert told.value.command == f"flambeau check {tmp_path / 'houses'}"


@pytest.mark.parametrize(
    "names", [("a/1.dcm", "a/1.jpg", "b/2.jpg"), ("a/1.nii", "b/1.nii.gz"), ("a/1.png", "b/1.tif")]
)
def test_classes_with_a_kind_of_files_in_common_are_no_data_sets(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    scan = scan_folder(put(tmp_path, *names))
    found = find_class_folders(scan)
    assert found is not None
    refuse_mixed_folders(scan, found)
