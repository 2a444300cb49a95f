"""Who belongs together: patients by their DICOM tag or by names of files, as numbers that tell nothing of a person.

The identifier of a patient is hashed at once, and not even the hash is written anywhere: it is a number in memory that
keeps files on one side of a split.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from flambeau.data.listing import MOST_LISTED
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
    tags, series, burned = _read_tags(pictures)
    told += _tell_series(series, tags)
    if burned:
        message = (
            f"{number_of(len(burned), 'DICOM file')} say that words are burned into their pixels, often names: pixels "
            "go into the cache and into the report's thumbnails as they are"
        )
        told.append(Finding("warning", "burned-in-words", message, burned[:MOST_LISTED]))
    for keys, of_tags in ((tags, "patients"), (series, "series"), (name_keys(tails), "")):
        named = [key for key in keys if key]
        distinct = len(set(named))
        if not named or len(named) < _MOST * len(keys):
            continue
        if distinct == 1 and of_tags == "patients" and len(named) > 1:
            message = (
                "all DICOM files name one patient, so nothing keeps patients apart (anonymised, perhaps)"
            )
            told.append(Finding("warning", "one-patient", message))
        if 1 < distinct < len(named):
            words = f"DICOM tags tell {distinct:,} {of_tags}"
            if not of_tags:
                words = f"file names tell {distinct:,} values of '{named[0].split()[0]}'"
            message = f"{words}; pictures of one stay on one side of the split ({SWITCH_OFF})"
            shown = () if of_tags else tuple(sorted(set(named))[:MOST_LISTED])
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


def _tell_series(series: Sequence[str], patients: Sequence[str]) -> list[Finding]:
    """Say that slices of one series, a file each, are samples of their own and no volumes."""
    counts = Counter(one for one in series if one)
    slices = {one: count for one, count in counts.items() if count > 1}
    if not slices:
        return []
    people = len({who for who, one in zip(patients, series, strict=True) if one in slices and who})
    of_people = f" of {number_of(people, 'patient')}" if people else ""
    message = (
        f"{sum(slices.values()):,} DICOM files belong to {len(slices):,} series{of_people}, of several files each "
        "(slices or views): every file is a sample of its own, and slices are not joined into volumes. For one answer "
        "a volume, convert each series into one NIfTI file (dcm2niix does)"
    )
    return [Finding("info", "dicom-series", message)]


def _read_tags(pictures: PictureFiles) -> tuple[list[str], list[str], tuple[str, ...]]:
    """Digests of each file's patient and series, "" without one; the names of files with words burned in."""
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(_read_tag, (pictures.path(i) for i in range(len(pictures))), chunksize=64))
    burned = tuple(name for name, (*_, words) in zip(pictures.names, found, strict=True) if words)
    return [patient for patient, *_ in found], [series for _, series, _ in found], burned


def _read_tag(path: Path) -> tuple[str, str, bool]:
    if scan_kind(path) != "dicom":
        return "", "", False
    dicom_functions()
    from flambeau.data.scans.dicom import dicom_tags

    try:
        header = dicom_tags(path, ["PatientID", "SeriesInstanceUID", "BurnedInAnnotation"])
        patient, series = (str(header.get(name) or "").strip() for name in ("PatientID", "SeriesInstanceUID"))
        burned = str(header.get("BurnedInAnnotation") or "") == "YES"
    except Exception:  # pydicom raises anything for a damaged file; decoding tells of it, by its name
        return "", "", False
    return _digest(patient), _digest(series), burned


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest() if text else ""
