"""The options of medical scans: which grey values, which slice or frame, or the whole volume."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flambeau.recipe.fields import Auto, Section


class ScanOptions(Section):
    """How DICOM and NIfTI files become pictures."""

    window: Auto[Literal["file", "percentile", "full"]] = None
    """Which grey values become black and white: as each file says, by its percentiles, or all that its type holds."""
    low: float | None = None
    """The grey value that becomes black in every scan, such as -1000 Hounsfield units; instead of window."""
    high: float | None = None
    """The grey value that becomes white in every scan."""
    frame: Annotated[int, Field(ge=0)] | None = None
    """Which frame of a DICOM file with several, counted from 0; otherwise the middle one."""
    axis: Literal["axial", "coronal", "sagittal"] = "axial"
    """The axis of the body along which slices of a NIfTI volume are counted."""
    position: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Where on that axis the slice lies: 0 for the first one, 1 for the last."""
    volume: Auto[bool] = None
    """Learn from whole volumes by a 3-D net, and not from one slice each."""
    depth: Auto[Annotated[int, Field(ge=4, le=64)]] = None
    """Slices of a volume that the net sees."""
