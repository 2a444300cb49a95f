"""NIfTI files become slices and volumes that are turned alike, and what cannot be read is told in plain words."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from made_scans import write_dicom
from PIL import Image

import flambeau.deploy.serve as serve
from flambeau.data.pictures.image import TooManyPixelsError
from flambeau.data.scans.facts import scan_findings
from flambeau.data.scans.nifti import affine_of_nifti, decode_nifti, load_nifti, nifti_size
from flambeau.data.scans.scans import load_any, scan_kind, size_of_any
from flambeau.deploy.serve.inputs import example_file
from flambeau.deploy.serve.models import _unreadable
from flambeau.schema import PictureFacts, Schema
from flambeau.transforms.scan import ScanReading

SHAPE = (5, 6, 7)
VALUES = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


def saved(path: Path, values: np.ndarray = VALUES, affine: np.ndarray | None = None) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


def test_odd_affines_are_counted(tmp_path: Path) -> None:
    half = np.sqrt(0.5)
    turned = np.array([[half, -half, 0, 0], [half, half, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    plain, silent = saved(tmp_path / "plain.nii", affine=np.diag([-1, 2, -3, 1.0])), tmp_path / "silent.nii"
    oblique = saved(tmp_path / "oblique.nii", affine=turned)
    header = bytearray(saved(silent).read_bytes())
    header[280:328] = np.full(12, np.nan, dtype="<f4").tobytes()
    silent.write_bytes(header)
    sizes = [size_of_any(path) for path in (plain, silent, oblique)]
    assert [size.affine for size in sizes] == ["", "silent", "oblique"]
    told = {finding.code: finding for finding in scan_findings(sizes, ("plain", "silent", "oblique"))}
    assert told["silent-affines"].message.startswith("1 NIfTI volume whose affine tells no axes")
    assert told["oblique-affines"].items == ("oblique",)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_volume_without_any_orientation_is_told(tmp_path: Path, kind: Any) -> None:
    """nibabel makes up an affine for it, which flips the first axis."""
    image = kind(VALUES, None)
    assert image.header["sform_code"] == 0 and image.header["qform_code"] == 0
    image.to_filename(tmp_path / "none.nii")
    assert affine_of_nifti(tmp_path / "none.nii") == "silent"
    image.header["qform_code"] = 1
    image.to_filename(tmp_path / "one.nii")
    assert affine_of_nifti(tmp_path / "one.nii") == ""


def test_slices_lie_as_radiologists_show_them(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii")
    assert nifti_size(path) == (6, 5, 16, 7, 1)
    assert scan_kind(path) == "nifti"
    axial = decode_nifti(path, bits=16, window="range", low=0, high=65535)[..., 0]
    assert np.array_equal(
        axial, np.flip(VALUES[:, :, 3].T)
    )  # the front at the top, the right side at the left
    coronal = decode_nifti(path, bits=16, window="range", low=0, high=65535, axis="coronal", position=0)
    assert np.array_equal(coronal[..., 0], np.flip(VALUES[:, 0, :].T))
    sagittal = decode_nifti(path, bits=16, window="range", low=0, high=65535, axis="sagittal", position=1)
    assert np.array_equal(sagittal[..., 0], np.flip(VALUES[4].T))


def test_one_body_stored_in_many_ways_gives_one_picture(tmp_path: Path) -> None:
    expected = decode_nifti(saved(tmp_path / "plain.nii"), bits=16)
    plain = nibabel.load(tmp_path / "plain.nii")
    for axes in ("LAS", "RPI", "SAR", "PIL"):
        ends = nibabel.orientations.axcodes2ornt(axes)
        start = nibabel.orientations.axcodes2ornt("RAS")
        turned = plain.as_reoriented(nibabel.orientations.ornt_transform(start, ends))
        assert nibabel.aff2axcodes(turned.affine) == tuple(axes)
        nibabel.save(turned, tmp_path / f"{axes}.nii.gz")
        assert np.array_equal(decode_nifti(tmp_path / f"{axes}.nii.gz", bits=16), expected)
        assert nifti_size(tmp_path / f"{axes}.nii.gz") == (6, 5, 16, 7, 1)


def test_big_endian_second_format_scaling_and_four_dimensions(tmp_path: Path) -> None:
    expected = decode_nifti(saved(tmp_path / "plain.nii"), bits=16)
    big = nibabel.Nifti1Image(VALUES, np.eye(4), nibabel.Nifti1Header(endianness=">"))
    nibabel.save(big, tmp_path / "big.nii")
    assert (tmp_path / "big.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
    nibabel.save(nibabel.Nifti2Image(VALUES, np.eye(4)), tmp_path / "second.nii")
    several = np.stack([VALUES, VALUES[::-1]], axis=-1)
    saved(tmp_path / "four.nii.gz", several)
    assert nifti_size(tmp_path / "four.nii.gz")[4] == 2
    for name in ("big.nii", "second.nii", "four.nii.gz"):
        assert np.array_equal(decode_nifti(tmp_path / name, bits=16), expected), name
    scaled = nibabel.Nifti1Image(VALUES, np.eye(4))
    scaled.header.set_slope_inter(2.0, -10.0)
    nibabel.save(scaled, tmp_path / "scaled.nii")
    got = decode_nifti(tmp_path / "scaled.nii", bits=16, window="range", low=-10, high=65525)
    assert np.array_equal(got[..., 0], 2 * np.flip(VALUES[:, :, 3].T))


def test_volumes_are_resampled_to_one_depth(tmp_path: Path) -> None:
    levels = np.broadcast_to(np.arange(16, dtype=np.uint8) * 10, (4, 4, 16)).copy()
    path = saved(tmp_path / "a.nii", levels)
    volume = load_nifti(path, size=(4, 4), channels=16, bits=8, depth=16)
    assert volume.shape == (4, 4, 16) and volume[0, 0].tolist() == (np.arange(16) * 10).tolist()
    half = load_nifti(path, size=(2, 2), channels=8, bits=8, depth=8)
    assert half.shape == (2, 2, 8)
    assert np.abs(half[0, 0].astype(int) - (np.arange(8) * 20 + 5)).max() <= 3


def test_shared_files_are_read(shared_data: Path) -> None:
    for name, slices in (("anatomical.nii", 25), ("example4d.nii.gz", 24)):
        path = shared_data / "medical" / "nifti" / name
        assert nifti_size(path)[3] == slices
        assert load_any(path, size=(40, 40), channels=1, bits=16).std() > 0
        with path.open("rb") as file:
            assert load_any(io.BytesIO(file.read()), size=(40, 40), channels=1, bits=8).shape == (40, 40, 1)


def test_odd_affines_and_values_are_read_as_they_stand(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.nii").read_bytes()
    for number in (np.nan, 0.0, np.inf):
        # the first three numbers of the affine's first row, at byte 280
        strange = whole[:280] + np.array([number] * 3, dtype="<f4").tobytes() + whole[292:]
        assert decode_nifti(io.BytesIO(strange), bits=8).shape == (6, 5, 1)
    holes = VALUES.astype(np.float32)
    holes[0], holes[1] = np.nan, np.inf
    assert np.isfinite(decode_nifti(saved(tmp_path / "holes.nii", holes), bits=8)).all()
    large = VALUES.astype(np.float64)
    large[0, 0, 0] = 1e300  # more than float32 holds
    assert decode_nifti(saved(tmp_path / "large.nii", large), bits=8).shape == (6, 5, 1)
    constant = saved(tmp_path / "one.nii", np.full(SHAPE, 7, dtype=np.int16))
    assert decode_nifti(constant, bits=8).max() == 0
    picture = saved(tmp_path / "two.nii", VALUES[:, :, 0])
    assert decode_nifti(picture, bits=8).shape == (6, 5, 1)


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii")
    whole = path.read_bytes()
    (tmp_path / "empty.nii").write_bytes(b"")
    (tmp_path / "text.nii").write_text("x" * 600)
    (tmp_path / "cut.nii").write_bytes(whole[:-5])
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(whole)[:-30])
    (tmp_path / "pair.nii").write_bytes(whole[:344] + b"ni1\0" + whole[348:])
    nibabel.save(nibabel.Nifti1Image(VALUES.astype(np.complex64), np.eye(4)), tmp_path / "complex.nii")
    expected = {
        "empty.nii": "the file is empty",
        "text.nii": "its mark is missing",
        "cut.nii": "it is cut off: 415 of 420 bytes",
        "cut.nii.gz": "damaged or cut off",
        "pair.nii": "save it as one .nii file",
        "complex.nii": "of the type complex64",
    }
    for name, reason in expected.items():
        with pytest.raises(ValueError, match=reason) as error:
            decode_nifti(tmp_path / name, bits=8)
        assert name in str(error.value)
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in generator.integers(0, 352, 3):
            damaged[place] = generator.integers(256)
        try:
            decode_nifti(io.BytesIO(bytes(damaged)), bits=8, max_pixels=10_000)
        except ValueError:
            continue


def test_a_small_file_that_says_it_is_huge_is_refused(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((3000, 3000, 3000))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4 + 2**24)))
    with pytest.raises(TooManyPixelsError, match="more than the limit"):
        decode_nifti(path, bits=8)


def test_junk_that_is_called_nifti_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bad.nii"
    path.write_bytes(bytes(range(200)) * 2)
    with pytest.raises(ValueError, match="it is no NIfTI file: the mark of its header is missing"):
        load_any(path, size=(8, 8), channels=8, bits=16)


def test_a_volume_model_takes_no_single_picture(tmp_path: Path) -> None:
    options: dict[str, Any] = {"size": (8, 8), "channels": 12, "bits": 16, "scan": ScanReading(depth=12)}
    assert load_any(saved(tmp_path / "volume.nii"), **options).shape == (8, 8, 12)
    flat = saved(tmp_path / "flat.nii", VALUES[:, :, :1])
    slice_of = write_dicom(tmp_path / "slice.dcm", np.full((8, 8), 7, dtype=np.uint16))
    words, photo = tmp_path / "README.md", tmp_path / "photo.png"
    words.write_text("words")
    Image.new("L", (8, 8)).save(photo)
    for path, told in (
        (flat, "a single slice"),
        (slice_of, "a single picture"),
        (words, "neither a NIfTI nor"),
        (photo, "neither a NIfTI nor"),
    ):
        with pytest.raises(ValueError, match=told) as error:
            load_any(path, **options)
        assert "12 slices" in str(error.value) and path.name in str(error.value)
    assert load_any(flat, size=(8, 8), channels=1, bits=16, scan=ScanReading()).shape == (8, 8, 1)


def test_a_server_of_scans_does_not_talk_of_photos() -> None:
    def schema(scans: Any) -> Schema:
        return Schema(
            "pictures", "classification", "folder", ("a", "b"), picture=PictureFacts(1, 8, 9, 9, scans=scans)
        )

    files = {scans: example_file(schema(scans))[0] for scans in ("", "dicom", "nifti", "mixed")}
    assert files == {"": "photo.jpg", "dicom": "scan.dcm", "nifti": "scan.nii.gz", "mixed": "scan.nii.gz"}
    told = _unreadable(ValueError("it is a single slice"), volume=True).to_json()
    assert "as a volume" in str(told) and "JPEG" not in str(told)
    script = (Path(serve.__file__).parent / "templates" / "picture.js").read_text(encoding="utf-8")
    assert "if (model.scans) return [];" in script and "Drop a picture" not in script
