"""What the headers of many pictures and scans have in common, and what is told of scans before they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from flambeau.data.scans.scans import FileSize
from flambeau.data.tables.spelling import number_of
from flambeau.schema import Finding, PictureFacts

AFFINES = {
    "silent": "whose affine tells no axes of the body: the usual order is assumed, so sides may be swapped",
    "oblique": "more than 30° off the axes of the body: turned to the nearest ones, and not resampled",
}


def common_facts(sizes: Sequence[FileSize]) -> PictureFacts:
    """Largest number of channels and bits, median size; the kind of scans, if any."""
    table = np.array([(one.height, one.width) for one in sizes])
    height, width = (int(side) for side in np.median(table, axis=0))
    kinds = {one.kind for one in sizes}
    scans: Literal["", "dicom", "nifti", "mixed"] = "mixed"
    if kinds == {""}:
        scans = ""
    elif kinds == {"dicom"}:
        scans = "dicom"
    elif kinds == {"nifti"}:
        scans = "nifti"
    return PictureFacts(
        channels=max(one.channels for one in sizes),
        bits=max(one.bits for one in sizes),
        height=height,
        width=width,
        varied=bool((table != table[0]).any()),
        scans=scans,
        depth=int(np.median([one.depth for one in sizes])),
    )


def scan_findings(sizes: Sequence[FileSize], names: Sequence[str]) -> tuple[Finding, ...]:
    """What is left out of files that hold more than one picture or volume.

    Args:
        sizes: of the headers that were read.
        names: of the same files.
    """
    findings = []
    several = [name for one, name in zip(sizes, names, strict=True) if one.volumes > 1]
    if several:
        message = (
            f"{number_of(len(several), 'NIfTI file')} with several volumes (a fourth dimension): the first volume "
            "of each is used"
        )
        findings.append(Finding("info", "several-volumes", message, tuple(several[:20])))
    for odd, told in AFFINES.items():
        names_of_odd = [name for one, name in zip(sizes, names, strict=True) if one.affine == odd]
        if names_of_odd:
            message = f"{number_of(len(names_of_odd), 'NIfTI volume')} {told}"
            findings.append(Finding("info", f"{odd}-affines", message, tuple(names_of_odd[:20])))
    framed = [name for one, name in zip(sizes, names, strict=True) if one.kind == "dicom" and one.depth > 1]
    if framed:
        message = (
            f"{number_of(len(framed), 'DICOM file')} with several frames: the middle frame of each is used, unless "
            "scan.frame names another or scan.volume takes them all"
        )
        findings.append(Finding("info", "several-frames", message, tuple(framed[:20])))
    kinds = {one.kind or "picture" for one in sizes}
    if len(kinds) > 1:
        message = (
            f"kinds of files are mixed ({', '.join(sorted(kinds))}): grey values of one kind may not mean the same "
            "in the other"
        )
        findings.append(Finding("warning", "mixed-scans", message))
    return tuple(findings)
