"""Texts that read pictures and scans, by the kinds of files that a run was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.text import literal
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.scan import ScanReading


def pixels_at_once(facts: RunFacts) -> int:
    """Pixels of one sample as `stages.validating.batch_of` counts them: of volumes, whose channels are slices, more."""
    preparation = facts.bundle.preparation
    if not isinstance(preparation, PicturePreparation):
        return 0
    return math.prod(preparation.size) * max(1, preparation.channels // 4)


def loader_lines(preparation: PicturePreparation, kinds: Sequence[str]) -> str:
    """The body of a function path → pixels, for the kinds of files that there are."""
    options = {name: value for name, value in preparation.load_options.items() if name != "scan"}
    scan = preparation.scan or ScanReading()
    calls = {
        "dicom": ("load_dicom", {**options, **scan.dicom_options}),
        "nifti": ("load_nifti", {**options, **scan.nifti_options}),
        "": ("load_picture", options),
    }
    lines = []
    if len(kinds) > 1:
        lines += ['with path.open("rb") as file:', "    start = file.read(132)"]
    wanted = [kind for kind in calls if kind in kinds]
    marks = {"dicom": "has_dicom_mark(start)", "nifti": 'path.name.lower().endswith((".nii", ".nii.gz"))'}
    for kind in wanted:
        name, arguments = calls[kind]
        call = (
            f"return {name}(path, {', '.join(f'{key}={literal(value)}' for key, value in arguments.items())})"
        )
        last = kind == wanted[-1]
        lines += [call] if last else [f"if {marks[kind]}:", f"    {call}"]
    return "\n".join(lines)
