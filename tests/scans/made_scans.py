"""Made-up scans: DICOM files by pydicom and NIfTI files by nibabel, with a patient's name to look for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

NAME = "Quetzalcoatl^Ximena"
CLASSES = ("clear", "opaque")


def dicom_of(pixels: np.ndarray, *, patient: str = "P1", **elements: Any) -> Dataset:
    """A data set with these stored pixels: (rows, columns), (frames, rows, columns) or (rows, columns, 3)."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.PatientName, made.PatientID, made.PatientBirthDate = NAME, patient, "19410203"
    made.ReferringPhysicianName, made.InstitutionName = "Doctor^" + NAME, "Hospital of " + NAME
    made.Modality = "OT"
    coloured = pixels.ndim == 3 and pixels.shape[-1] == 3
    if pixels.ndim == 3 and not coloured:
        made.NumberOfFrames = len(pixels)
    made.Rows, made.Columns = pixels.shape[:2] if coloured else pixels.shape[-2:]
    made.SamplesPerPixel = 3 if coloured else 1
    made.PhotometricInterpretation = "RGB" if coloured else "MONOCHROME2"
    if coloured:
        made.PlanarConfiguration = 0
    bits = 8 * pixels.itemsize
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in elements.items():
        if name == "PixelData":
            made.PixelData = value
        else:
            setattr(made, name, value)
    if "PixelData" not in made:
        made.PixelData = pixels.tobytes()
        made["PixelData"].VR = "OB" if bits == 8 else "OW"
    return made


def write_dicom(path: Path, pixels: np.ndarray, **elements: Any) -> Path:
    """A DICOM file of these pixels; see `dicom_of`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom_of(pixels, **elements).save_as(path, enforce_file_format=True)
    return path


def scan_pixels(generator: np.random.Generator, kind: int, side: int = 24) -> np.ndarray:
    """(side, side) uint16 of 12 bits: noise, with a bright disc in the second class."""
    picture = generator.normal(1200, 120, (side, side))
    if kind:
        rows, columns = np.mgrid[:side, :side]
        centre = generator.uniform(side * 0.35, side * 0.65, 2)
        picture[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < (side / 5) ** 2] += 700
    return np.clip(picture, 0, 4095).astype(np.uint16)


def dicom_folders(root: Path, *, patients: int = 20, scans: int = 3, seed: int = 0) -> Path:
    """A folder for each class of 12-bit DICOM files, some without suffix; `scans` of each patient."""
    generator = np.random.default_rng(seed)
    for patient in range(patients):
        kind = patient % 2
        for number in range(scans):
            suffix = (".dcm", "", ".IMA")[number % 3]
            write_dicom(
                root / CLASSES[kind] / f"{patient * 7 % 97:02d}-{number}{suffix}",
                scan_pixels(generator, kind),
                patient=f"{NAME} {patient}",
                BitsStored=12,
                HighBit=11,
            )
    return root


def volume_of(
    generator: np.random.Generator, kind: int, shape: tuple[int, int, int] = (20, 18, 16)
) -> np.ndarray:
    """int16 noise, with a bright ball in the second class."""
    volume = generator.normal(200, 30, shape)
    if kind:
        places = np.mgrid[: shape[0], : shape[1], : shape[2]]
        distance = sum((place - side / 2) ** 2 for place, side in zip(places, shape, strict=True))
        volume[distance < (min(shape) / 4) ** 2] += 250
    return volume.astype(np.int16)


def nifti_folders(root: Path, *, count: int = 24, seed: int = 0) -> Path:
    """A folder for each class of NIfTI volumes, every second one compressed."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        kind = number % 2
        folder = root / CLASSES[kind]
        folder.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(volume_of(generator, kind), np.diag([-1.0, 1.0, 2.0, 1.0]))
        image.header["descrip"] = NAME.encode()
        nibabel.save(image, folder / f"volume{number}.nii{'.gz' if number % 4 < 2 else ''}")
    return root
