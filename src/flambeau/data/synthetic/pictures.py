"""Made pictures: shapes in noise, lesions in 16-bit scans, and pictures beside other columns."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = ("circle", "cross", "square", "triangle")

_SIDE = 28
_SCAN_SIDE = 64
_SCAN_BITS = 12


def shape_pixels(shape: str, random: np.random.Generator, noise: float) -> np.ndarray:
    """One shape of random place, size, turn and brightness in noise: (28, 28) uint8."""
    centre, radius = random.uniform(9, _SIDE - 9, 2), random.uniform(4, 8)
    turn = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] - centre[:, None, None]
    along = (np.cos(turn) * x + np.sin(turn) * y) / radius
    across = (np.cos(turn) * y - np.sin(turn) * x) / radius
    inside = {
        "circle": along**2 + across**2 < 0.8,
        "square": np.maximum(abs(along), abs(across)) < 0.8,
        "cross": (np.minimum(abs(along), abs(across)) < 0.3) & (np.maximum(abs(along), abs(across)) < 1),
        "triangle": (across > -0.6) & (across + 1.8 * abs(along) < 0.9),
    }[shape]
    light = 70 + random.uniform(40, 120) * inside
    return np.clip(light + random.normal(0, 32 * noise, light.shape), 0, 255).astype(np.uint8)


def make_image(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """Grey pictures of 28×28 in one folder for each of four shapes."""
    for shape in SHAPES:
        (folder / shape).mkdir()
    for number in range(count):
        shape = SHAPES[number % len(SHAPES)]
        pixels = shape_pixels(shape, random, noise)
        Image.fromarray(pixels).save(folder / shape / f"{number:06d}.png")


def make_mixed(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """A table whose columns are a picture's path, a text, a number and a category; each knows a part of the price.

    Some pictures, texts and numbers are missing.
    """
    (folder / "pictures").mkdir()
    words = {0: ("plain", "simple", "small"), 1: ("bright", "generous", "renovated")}
    places = {"harbour": 40.0, "centre": 25.0, "hills": 10.0, "suburb": 0.0}
    with (folder / "homes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["picture", "description", "area", "place", "price"])
        for number in range(count):
            shape = int(random.integers(len(SHAPES)))
            kind = int(random.integers(2))
            area = float(random.uniform(30, 150))
            place = str(random.choice(list(places)))
            name = f"pictures/{number:06d}.png"
            Image.fromarray(shape_pixels(SHAPES[shape], random, noise)).save(folder / name)
            told = " ".join(str(word) for word in random.choice(words[kind], 2))
            text = f"a {told} home near the {random.choice(['park', 'river', 'school', 'station'])}"
            price = 50 + area + places[place] + 30 * shape + 40 * kind + random.normal(0, 15 * noise)
            gone = random.uniform(size=3) < 0.03
            row = [name, text, f"{area:.1f}"]
            shown = ["" if missing else value for value, missing in zip(row, gone, strict=True)]
            writer.writerow([*shown, place, f"{price:.2f}"])


def scan_pixels(sick: bool, random: np.random.Generator, noise: float) -> np.ndarray:
    """A round body with ribs, and a blurred lesion in it where sick: (64, 64) uint16 of 12 bits."""
    y, x = np.mgrid[0:_SCAN_SIDE, 0:_SCAN_SIDE] / _SCAN_SIDE - 0.5
    body = x**2 / random.uniform(0.15, 0.2) + y**2 / random.uniform(0.17, 0.23) < 1
    ribs = 0.15 * np.sin(2 * np.pi * (y * random.uniform(6, 8) + random.uniform()))
    light = np.where(body, 0.45 + ribs, 0.05)
    if sick:
        place = random.uniform(-0.2, 0.2, 2)
        width = random.uniform(0.03, 0.06)
        light += random.uniform(0.12, 0.3) * np.exp(
            -((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * width**2)
        )
    light += random.normal(0, 0.1 * noise, light.shape)
    return (np.clip(light, 0, 1) * (2**_SCAN_BITS - 1)).astype(np.uint16)


def make_scans(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """DICOM files of 12 bits, two or three of each patient, in a folder for each finding.

    Raises:
        ImportError: pydicom is not installed.
    """
    for name in ("healthy", "lesion"):
        (folder / name).mkdir()
    number, patient = 0, 0
    while number < count:
        patient += 1
        # one patient in three has a finding
        sick = patient % 3 == 0
        for _ in range(int(random.integers(2, 4))):
            if number == count:
                break
            number += 1
            place = folder / ("lesion" if sick else "healthy") / f"scan{number:05d}.dcm"
            write_dicom(place, scan_pixels(sick, random, noise), patient=patient, number=number)


def write_dicom(path: Path, pixels: np.ndarray, *, patient: int, number: int) -> None:
    """One grey slice as a DICOM file, explicit little endian, with rescale, window and a made patient's name.

    Args:
        path: the file.
        pixels: (height, width) uint16 of 12 bits.
        patient, number: of the patient and of the file, from 1.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    # 1.2.826.0.1.3680043.10.543 is the root that the standard's examples leave to testing
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.826.0.1.3680043.10.543.{patient}.{number}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.PatientID, made.PatientName, made.Modality = f"made{patient:04d}", f"Made^{patient:04d}", "OT"
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.RescaleSlope, made.RescaleIntercept = 1, -1024
    made.WindowCenter, made.WindowWidth = 1024, 4096
    made.PixelData = pixels.astype("<u2").tobytes()
    made.save_as(path, enforce_file_format=True)
