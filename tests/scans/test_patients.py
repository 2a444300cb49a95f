"""Samples of one patient stay on one side, and nothing of a patient is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_scans import NAME, dicom_folders, scan_pixels, write_dicom
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from flambeau.data.check import check_parts
from flambeau.data.duplicates import find_duplicates
from flambeau.data.join import join_test
from flambeau.data.pictures.image import TooManyPixelsError
from flambeau.data.read import read, read_test
from flambeau.data.samples import PictureFiles
from flambeau.data.scans.dicom import dicom_tags
from flambeau.data.scans.patients import find_patients
from flambeau.recipe import Recipe
from flambeau.schema import Finding


def named(names: list[str], *, wanted: bool = True) -> tuple[np.ndarray | None, tuple[Finding, ...]]:
    return find_patients(PictureFiles(Path("nowhere"), tuple(names)), names, wanted=wanted)


def numbered(groups: np.ndarray | None) -> list[int]:
    assert groups is not None
    firsts: dict[int, int] = {}
    return [firsts.setdefault(int(one), len(firsts)) for one in groups]


def test_groups_only_from_plain_words() -> None:
    names = [f"a/Patient{i // 3:03}_{i}.png" for i in range(9)]
    groups, findings = named(names)
    assert numbered(groups) == [0] * 3 + [1] * 3 + [2] * 3
    assert "3 values of 'patient'" in findings[0].message
    assert "split.patients=false" in findings[0].message
    assert named(names, wanted=False) == (None, ())
    assert numbered(named(["subject_7_a.png", "subject_7_b.png", "subject_71_b.png"])[0]) == [0, 0, 1]
    assert numbered(named(["sub-01/a.nii", "sub-01/b.nii", "sub-02/a.nii"])[0]) == [0, 0, 1]
    assert named([f"IMG_{i // 3}_{i}.png" for i in range(9)]) == (None, ())
    assert named([f"case{i}.png" for i in range(9)]) == (None, ())
    assert named([f"showcase1_{i}.png" for i in range(9)]) == (None, ())


def test_patients_of_dicom_tags_stay_together(tmp_path: Path) -> None:
    samples = read(str(dicom_folders(tmp_path / "scans", patients=6)), Recipe())
    assert samples.schema.picture is not None and samples.schema.picture.scans == "dicom"
    assert samples.groups is not None
    of_patient: dict[str, set[int]] = {}
    for name, group in zip(samples.ids, samples.groups.tolist(), strict=True):
        of_patient.setdefault(name.rpartition("-")[0], set()).add(group)
    assert len(of_patient) == 6 and all(len(groups) == 1 for groups in of_patient.values())
    (told,) = [one for one in samples.findings if one.code == "groups"]
    assert "DICOM tags tell 6 patients" in told.message
    assert NAME.split("^")[0] not in repr(samples.findings)


def test_one_patient_in_all_files_is_told(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(12):
        kind = number % 2
        path = tmp_path / "scans" / str(kind) / f"{number}.dcm"
        write_dicom(path, scan_pixels(generator, kind), patient="ANON", BurnedInAnnotation="YES")
    samples = read(str(tmp_path / "scans"), Recipe())
    assert samples.groups is None
    codes = {one.code for one in samples.findings}
    assert {"one-patient", "burned-in-words"} <= codes


@pytest.mark.parametrize("shared", [True, False])
def test_a_patient_on_two_sides_of_given_parts_is_told(tmp_path: Path, shared: bool) -> None:
    generator = np.random.default_rng(0)
    for part, patients in (("train", range(8)), ("test", range(7 if shared else 8, 12))):
        for patient in patients:
            for number in range(2):
                name = f"{part}/{patient % 2}/{patient}-{number}.dcm"
                write_dicom(tmp_path / name, scan_pixels(generator, patient % 2), patient=f"P{patient}")
    samples = read(str(tmp_path), Recipe())
    leaks = [
        one
        for one in check_parts(samples, find_duplicates(samples), None)
        if one.code == "leak-between-splits"
    ]
    assert bool(leaks) == shared
    if shared:
        assert "1 group of samples that belong together" in leaks[0].message
        assert any("7-0.dcm" in name for name in leaks[0].items)


def test_patients_are_known_across_two_sources(tmp_path: Path) -> None:
    dicom_folders(tmp_path / "one", patients=6, seed=0)
    dicom_folders(tmp_path / "two", patients=4, seed=1)
    recipe = Recipe()
    first = read(str(tmp_path / "one"), recipe)
    joined = join_test(first, read_test(str(tmp_path / "two"), first.schema, recipe))
    leaks = check_parts(joined, find_duplicates(joined), None)
    assert any("4 groups" in one.message for one in leaks)
    apart = join_test(first, replace(read_test(str(tmp_path / "two"), first.schema, recipe), groups=None))
    assert not [one for one in check_parts(apart, find_duplicates(apart), None) if "group" in one.message]


def test_a_bomb_is_not_unpacked_for_its_patient(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.ones((4, 4), dtype=np.uint8))
    made = dcmread(path)
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    made.add_new(0x00091010, "OB", bytes(2**27))
    made.save_as(path, enforce_file_format=True)
    assert path.stat().st_size < 2**20
    with pytest.raises(TooManyPixelsError, match="unpacks to more"):
        dicom_tags(path, ["PatientID"])
    groups, told = find_patients(PictureFiles(tmp_path, ("a.dcm",)), ["a.dcm"], wanted=True)
    assert groups is None and not told


@pytest.mark.parametrize("patients", [4, 1, 0])
def test_slices_of_series_are_told_and_stay_together(tmp_path: Path, patients: int) -> None:
    generator = np.random.default_rng(0)
    for number in range(24):
        series = number // 4
        who = f"P{series % patients}" if patients else ""
        path = tmp_path / str(series % 2) / f"IM{number:04d}.dcm"
        uid = f"1.2.826.0.1.{series}"
        write_dicom(path, scan_pixels(generator, series % 2), patient=who, SeriesInstanceUID=uid)
    samples = read(str(tmp_path), Recipe())
    (told,) = [one.message for one in samples.findings if one.code == "dicom-series"]
    people = {4: " of 4 patients", 1: " of 1 patient", 0: ""}[patients]
    assert told.startswith(f"24 DICOM files belong to 6 series{people}, of several files each")
    assert "1.2.826" not in repr(samples.findings)
    groups = [one.message for one in samples.findings if one.code == "groups"]
    assert ("tell 4 patients" if patients == 4 else "tell 6 series") in groups[0]
    assert samples.groups is not None and len(set(samples.groups.tolist())) == (4 if patients == 4 else 6)


def test_single_files_are_no_series(tmp_path: Path) -> None:
    samples = read(str(dicom_folders(tmp_path / "scans", patients=6)), Recipe())
    assert not [one for one in samples.findings if one.code == "dicom-series"]
