"""Who belongs together: patients by their DICOM tag or by names of files, as numbers that tell nothing of a person.

The identifier of a patient is hashed at once, and not even the hash is written anywhere: it is a number in memory that
keeps files on one side of a split.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from flambeau.data.pictures.folder import name_keys
from flambeau.data.samples import PictureFiles
from flambeau.data.scans.scans import dicom_functions, scan_kind
from flambeau.data.tables.spelling import number_of
from flambeau.schema import Finding

SWITCH_OFF = "--set split.patients=false switches this off"

# Codes of people begin here, so that those of two sources can be compared, and no other numbers be taken for them.
_FIRST_CODE = 2**62
_MOST = 0.9
_THREADS = min(8, (os.cpu_count() or 1) + 2)
_SHOWN = 20


def find_patients(
    pictures: PictureFiles, tails: Sequence[str], *, wanted: bool
) -> tuple[np.ndarray | None, tuple[Finding, ...]]:
    """Patients or scenes as one integer a file; None where neither tags nor names tell plainly, or nobody wants it.

    Args:
        pictures: the files.
        tails: their names without the folders of parts and classes.
        wanted: the option split.patients.
    """
    if not wanted:
        return None, ()
    told: list[Finding] = []
    tags, burned = _read_tags(pictures)
    if burned:
        message = (
            f"{number_of(len(burned), 'DICOM file')} say that words are burned into their pixels, often names: pixels "
            "go into the cache and into the report's thumbnails as they are"
        )
        told.append(Finding("warning", "burned-in-words", message, burned[:_SHOWN]))
    for keys, source in ((tags, "DICOM tags tell"), (name_keys(tails), "file names tell")):
        named = [key for key in keys if key]
        distinct = len(set(named))
        if not named or len(named) < _MOST * len(keys):
            continue
        if distinct == 1 and source.startswith("DICOM") and len(named) > 1:
            message = (
                "all DICOM files name one patient, so nothing keeps patients apart (anonymised, perhaps)"
            )
            told.append(Finding("warning", "one-patient", message))
        if 1 < distinct < len(named):
            word = "patients" if source.startswith("DICOM") else f"values of '{named[0].split()[0]}'"
            message = (
                f"{source} {distinct:,} {word}; pictures of one stay on one side of the split ({SWITCH_OFF})"
            )
            shown = () if source.startswith("DICOM") else tuple(sorted(set(named))[:_SHOWN])
            told.append(Finding("info", "groups", message, shown))
            return person_codes(keys, pictures.names), tuple(told)
    return None, tuple(told)


def person_codes(keys: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """(n,) int64: equal for equal keys, in whatever source; a file without a key stands alone."""
    texts = [f"person {key}" if key else f"file {name}" for key, name in zip(keys, names, strict=True)]
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return np.array([_FIRST_CODE | int.from_bytes(one) >> 2 for one in digests], dtype=np.int64)


def are_person_codes(groups: np.ndarray | None) -> bool:
    """Whether these groups came from `person_codes`, so that they mean the same in another source."""
    return groups is not None and len(groups) > 0 and int(groups.min()) >= _FIRST_CODE


def _read_tags(pictures: PictureFiles) -> tuple[list[str], tuple[str, ...]]:
    """A digest of each file's patient, "" without one; and the names of files that say that words are burned in."""
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(_read_tag, (pictures.path(i) for i in range(len(pictures))), chunksize=64))
    burned = tuple(name for name, (_, words) in zip(pictures.names, found, strict=True) if words)
    return [patient for patient, _ in found], burned


def _read_tag(path: Path) -> tuple[str, bool]:
    if scan_kind(path) != "dicom":
        return "", False
    dicom_functions()
    from flambeau.data.scans.dicom import dicom_tags

    try:
        header = dicom_tags(path, ["PatientID", "BurnedInAnnotation"])
        patient = str(header.get("PatientID") or "").strip()
        burned = str(header.get("BurnedInAnnotation") or "") == "YES"
    except Exception:  # pydicom raises anything for a damaged file; decoding tells of it, by its name
        return "", False
    return hashlib.blake2b(patient.encode(), digest_size=16).hexdigest() if patient else "", burned
