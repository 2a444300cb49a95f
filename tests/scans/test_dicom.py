"""DICOM files become the pixels that the standard says, and what cannot be read is told in plain words."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from made_scans import NAME, dicom_of, write_dicom
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_windowing
from pydicom.uid import RLELossless

from flambeau.data.pictures.image import TooManyPixelsError
from flambeau.data.scans.dicom import decode_dicom, dicom_size, load_dicom
from flambeau.data.scans.scans import is_unnamed_scan, load_any, scan_kind, size_of_any

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 65


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    return write_dicom(tmp_path / "ramp.dcm", RAMP, BitsStored=12, HighBit=11)


def test_twelve_bits_are_kept(ramp: Path) -> None:
    assert dicom_size(ramp) == (8, 8, 1, 16, 1)
    pixels = decode_dicom(ramp, bits=16, window="full")
    assert pixels.dtype == np.uint16 and pixels.shape == (8, 8, 1)
    assert np.array_equal(pixels[..., 0], np.rint(RAMP / 4095 * 65535))
    assert len(np.unique(decode_dicom(ramp, bits=16))) > 60


def test_window_is_that_of_the_standard(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a.dcm", RAMP, BitsStored=12, HighBit=11, WindowCenter=[2000, 9], WindowWidth=[1500, 9]
    )
    whole = dcmread(path)
    expected = apply_windowing(RAMP, whole, index=0) / 4095  # pydicom's own, on its own scale
    got = decode_dicom(path, bits=16)[..., 0] / 65535
    assert np.abs(got - expected).max() < 1e-4


def test_rescaled_before_the_window(tmp_path: Path) -> None:
    stored = np.array([[0, 1024], [2048, 4095]], dtype=np.uint16)
    path = write_dicom(tmp_path / "ct.dcm", stored, RescaleSlope=1, RescaleIntercept=-1024)
    pixels = decode_dicom(path, bits=8, window="range", low=-1024, high=1024)
    assert pixels[..., 0].tolist() == [[0, 128], [255, 255]]


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    plain = write_dicom(tmp_path / "a.dcm", RAMP)
    inverted = write_dicom(tmp_path / "b.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")
    for window in ("full", "percentile"):
        one, other = (decode_dicom(path, bits=16, window=window).astype(int) for path in (plain, inverted))
        assert np.abs(one + other - 65535).max() <= 1


def test_look_up_tables_of_modality_and_window(tmp_path: Path) -> None:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [4, 10, 8], [0, 50, 100, 255]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    stored = np.array([[0, 10], [11, 99]], dtype=np.uint8)
    windowed = write_dicom(tmp_path / "voi.dcm", stored, VOILUTSequence=[item])
    assert decode_dicom(windowed, bits=8)[..., 0].tolist() == [[0, 0], [50, 255]]
    rescaled = write_dicom(tmp_path / "modality.dcm", stored, ModalityLUTSequence=[item])
    assert decode_dicom(rescaled, bits=8, window="range", low=0, high=100)[..., 0].tolist() == [
        [0, 0],
        [128, 255],
    ]


def test_frames_and_volumes(tmp_path: Path) -> None:
    frames = np.stack([np.full((6, 5), 10 * number, dtype=np.uint8) for number in range(5)])
    path = write_dicom(tmp_path / "frames.dcm", frames)
    assert size_of_any(path).depth == 5
    assert decode_dicom(path, bits=8).max() == 20  # the middle one
    assert decode_dicom(path, bits=8, frame=4).max() == 40
    with pytest.raises(ValueError, match="it has 5 frames, and frame 5"):
        decode_dicom(path, bits=8, frame=5)
    volume = load_dicom(path, size=(6, 5), channels=5, bits=8, depth=5)
    assert volume[0, 0].tolist() == [0, 10, 20, 30, 40]


def test_colours_and_one_bit(tmp_path: Path, shared_data: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    path = write_dicom(tmp_path / "rgb.dcm", colours)
    assert np.array_equal(decode_dicom(path, bits=8), colours)
    folder = shared_data / "medical" / "dicom"
    assert set(np.unique(decode_dicom(folder / "liver_1frame.dcm", bits=8))) == {0, 255}
    assert decode_dicom(folder / "examples_palette.dcm", bits=8).shape == (350, 800, 3)


def test_every_shared_file_is_read_and_compression_changes_nothing(shared_data: Path) -> None:
    folder = shared_data / "medical" / "dicom"
    files = sorted(folder.glob("*.dcm"))
    assert len(files) == 8
    for path in files:
        pixels = load_any(path, size=(64, 64), channels=1, bits=16)
        assert pixels.shape == (64, 64, 1) and pixels.dtype == np.uint16 and np.ptp(pixels) > 0
    plain, packed = (decode_dicom(folder / f"MR_small{end}.dcm", bits=16) for end in ("", "_RLE"))
    assert np.array_equal(plain, packed)
    overlaid = dcmread(folder / "examples_overlay.dcm")
    for element in [one for one in overlaid if 0x6000 <= one.tag.group <= 0x60FF]:
        del overlaid[element.tag]
    without = io.BytesIO()
    overlaid.save_as(without)
    without.seek(0)
    assert np.array_equal(
        decode_dicom(without, bits=16), decode_dicom(folder / "examples_overlay.dcm", bits=16)
    )


def test_known_by_its_mark_and_read_from_a_stream(ramp: Path, tmp_path: Path) -> None:
    unnamed = tmp_path / "IM000001"
    unnamed.write_bytes(ramp.read_bytes())
    numbered = tmp_path / "1.2.840.113"
    numbered.write_bytes(ramp.read_bytes())
    (tmp_path / "notes").write_text("no scan at all")
    assert is_unnamed_scan(unnamed) and is_unnamed_scan(numbered)
    assert not is_unnamed_scan(tmp_path / "notes") and not is_unnamed_scan(tmp_path / "absent")
    assert scan_kind(io.BytesIO(ramp.read_bytes())) == "dicom"
    options = {"size": (8, 8), "channels": 1, "bits": 16}
    from_stream = load_any(io.BytesIO(ramp.read_bytes()), **options)
    assert np.array_equal(from_stream, load_any(unnamed, **options))


def test_what_cannot_be_read_says_why_and_nothing_of_the_patient(ramp: Path, tmp_path: Path) -> None:
    report = dicom_of(RAMP)
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    bare = dicom_of(RAMP)
    del bare.PixelData
    bare.save_as(tmp_path / "bare.dcm", enforce_file_format=True)
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "text.dcm").write_text("x" * 300)
    lossless = dcmread(ramp)
    lossless.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.80"
    lossless.PixelData = encapsulate([lossless.PixelData])
    lossless.save_as(tmp_path / "jpegls.dcm")
    whole = ramp.read_bytes()
    expected = {
        "report.dcm": "without a picture",
        "bare.dcm": "without pixels",
        "empty.dcm": "the file is empty",
        "text.dcm": "the mark DICM does not stand at byte 128",
        "jpegls.dcm": r"JPEG-LS Lossless Image Compression \(1\.2\.840\.10008\.1\.2\.4\.80\)",
        "none.dcm": "No such file",
    }
    for name, reason in expected.items():
        with pytest.raises((ValueError, FileNotFoundError), match=reason) as error:
            decode_dicom(tmp_path / name, bits=8)
        assert name in str(error.value)
    for end in [*range(132, len(whole), 7), len(whole) - 1]:
        with pytest.raises(ValueError, match="DICOM") as error:
            decode_dicom(io.BytesIO(whole[:end]), bits=8)
        assert NAME.split("^")[0] not in str(error.value)


def test_no_flipped_byte_ends_in_anything_but_a_value_error(ramp: Path) -> None:
    generator = np.random.default_rng(1)
    whole = ramp.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        for place in generator.integers(132, len(whole), 3):
            damaged[place] = generator.integers(256)
        try:
            pixels = decode_dicom(io.BytesIO(bytes(damaged)), bits=8, max_pixels=10_000)
        except ValueError as error:
            assert "Quetzal" not in str(error)
        else:
            assert pixels.dtype == np.uint8


def test_lying_sizes_are_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    huge = write_dicom(tmp_path / "huge.dcm", RAMP, Rows=60_000, Columns=60_000)
    with pytest.raises(TooManyPixelsError, match="more than the limit"):
        decode_dicom(huge, bits=8)
    larger = write_dicom(tmp_path / "larger.dcm", RAMP, Rows=9)
    with pytest.raises(ValueError, match="damaged or cut off"):
        decode_dicom(larger, bits=8)
    packed = dicom_of(RAMP)
    packed.compress(RLELossless)
    packed.Rows = packed.Columns = 4000
    packed.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        decode_dicom(tmp_path / "rle.dcm", bits=8)


def test_more_pixels_than_the_header_says_are_not_read(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.ones((1, 1), dtype=np.uint8), PixelData=bytes(2))
    with path.open("r+b") as file:  # a hole, which takes no room on the disk
        file.truncate(2**30)
    with pytest.raises(TooManyPixelsError, match="more than 1 x 1 pixels"):
        decode_dicom(path, bits=8)


def test_a_deflated_bomb_is_refused(ramp: Path) -> None:
    whole = ramp.read_bytes()
    plain = b"1.2.840.10008.1.2.1\0"
    assert plain in whole
    inflated = whole.replace(plain, b"1.2.840.10008.1.2.1.99", 1)
    place = inflated.index(b"1.2.840.10008.1.2.1.99") - 2
    inflated = inflated[:place] + (22).to_bytes(2, "little") + inflated[place + 2 :]
    length = int.from_bytes(inflated[140:144], "little") + 2
    inflated = inflated[:140] + length.to_bytes(4, "little") + inflated[144:]
    begin = 144 + length
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(inflated[begin:]) + deflate.flush()
    assert np.array_equal(
        decode_dicom(io.BytesIO(inflated[:begin] + body), bits=16), decode_dicom(ramp, bits=16)
    )
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflate.compress(inflated[begin:] + bytes(2**28)) + deflate.flush()
    with pytest.raises(TooManyPixelsError, match="unpacks to more than"):
        decode_dicom(io.BytesIO(inflated[:begin] + bomb), bits=8, max_pixels=1000)
