"""How grey values of a scan become pixels: windows, and which part of a scan is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional as F

WindowKind = Literal["auto", "file", "percentile", "full", "range"]
ScanAxis = Literal["axial", "coronal", "sagittal"]

# A few pixels of metal or of nothing must not decide what the rest looks like.
PERCENTILES = (0.5, 99.5)
MOST_VALUES_RANKED = 2**20


@dataclass(frozen=True)
class ScanReading:
    """How scans are read, the same in training and in use.

    Args:
        window: which grey values become black and white: "file" as the file says, "percentile" of the scan's own
            values, "full" all that the file's type can hold, "range" from `low` to `high`; "auto" takes the file's
            window, then "full" for 8 bits and fewer, "percentile" for more.
        low, high: of "range", in the scan's own units after its rescaling, such as Hounsfield units.
        frame: of a DICOM file with several, counted from 0; -1 for the middle one.
        axis: along which slices of a NIfTI volume are counted: up, forwards or to the right of the body.
        position: of the slice along that axis as a share, 0.5 for the middle one.
        depth: slices of a whole volume; 0 for one slice or frame as a picture.
    """

    window: WindowKind = "auto"
    low: float = 0.0
    high: float = 0.0
    frame: int = -1
    axis: ScanAxis = "axial"
    position: float = 0.5
    depth: int = 0

    @property
    def dicom_options(self) -> dict[str, Any]:
        """What `load_dicom` takes by name."""
        return {name: getattr(self, name) for name in ("window", "low", "high", "frame", "depth")}

    @property
    def nifti_options(self) -> dict[str, Any]:
        """What `load_nifti` takes by name."""
        return {name: getattr(self, name) for name in ("window", "low", "high", "axis", "position", "depth")}


def percentile_window(values: np.ndarray) -> tuple[float, float]:
    """The values below and above which half a percent lies, found among at most a million evenly spread ones."""
    flat = values.ravel()
    step = max(1, flat.size // MOST_VALUES_RANKED)
    low, high = np.percentile(flat[::step], PERCENTILES)
    return float(low), float(high)


def window_scan(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Grey values as float64 shares: 0 up to `low`, 1 from `high` on, a straight line between.

    A window without width is a threshold: what exceeds it is 1.
    """
    if high <= low:
        return (values > low).astype(np.float64)
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def scan_to_pixels(shares: np.ndarray, bits: int) -> np.ndarray:
    """Shares from 0 to 1 as whole numbers of 8 or 16 bits, rounded; what is no number is black."""
    largest = 2**bits - 1
    numbers = np.rint(np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0) * largest)
    return numbers.astype(np.uint8 if bits == 8 else np.uint16)


def spread_places(count: int, wanted: int) -> list[int]:
    """At most `wanted` places of `count`, evenly spread; all of them where there are no more."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, wanted)).round()]


def fit_depth(pixels: np.ndarray, depth: int) -> np.ndarray:
    """(height, width, slices) → (height, width, depth) of the same dtype, resampled linearly with antialiasing."""
    height, width, slices = pixels.shape
    if slices == depth:
        return pixels
    rows = torch.from_numpy(pixels.reshape(1, 1, height * width, slices).astype(np.float64))
    size = (height * width, depth)
    resized = F.interpolate(rows, size=size, mode="bilinear", antialias=True, align_corners=False)
    numbers = resized.round_().clamp_(0, np.iinfo(pixels.dtype).max).numpy()
    return np.ascontiguousarray(numbers.reshape(height, width, depth), dtype=pixels.dtype)
