"""What the numbers in a DICOM file mean: rescaling, windows and tables of grey values, palettes (PS3.3 C.7, C.11)."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from flambeau.transforms.scan import WindowKind, percentile_window, scan_to_pixels, window_scan


def is_coloured(elements: Dataset) -> bool:
    """Whether the file holds colours, by three samples a pixel or by a palette."""
    return int(elements.get("SamplesPerPixel") or 1) == 3 or (
        str(elements.get("PhotometricInterpretation", "")) == "PALETTE COLOR"
    )


def colours_of(stored: np.ndarray, elements: Dataset, bits: int) -> np.ndarray:
    """(rows, columns, 3) uint8 or uint16; the depth that a palette or the file declares is stretched to these bits."""
    depth = int(elements.get("BitsStored") or 8)
    if stored.ndim == 2:
        stored = apply_color_lut(stored, elements)[..., :3]
        depth = 8 * stored.dtype.itemsize
    if stored.dtype == np.uint8 and bits == 8 and depth == 8:
        return np.ascontiguousarray(stored)
    return scan_to_pixels(np.clip(stored / (2**depth - 1), 0, 1), bits)


def grey_shares(
    stored: np.ndarray, elements: Dataset, window: WindowKind, low: float, high: float
) -> np.ndarray:
    """Stored values (rows, columns, frames) as shares of white from 0 to 1.

    Args:
        stored: as pydicom unpacks them.
        elements: of the file.
        window, low, high: see `ScanReading`.
    """
    values, ends = _rescaled(stored, elements)
    kind = window
    if kind in ("auto", "file"):
        shares = _window_of_file(values, elements)
        if shares is None:
            shallow = int(elements.get("BitsStored") or 16) <= 8
            kind = "full" if shallow and ends is not None else "percentile"
    if kind == "range":
        shares = window_scan(values, low, high)
    elif kind == "full" and ends is not None:
        shares = window_scan(values, ends[0], ends[1])
    elif kind in ("full", "percentile"):
        black, white = percentile_window(values)
        shares = window_scan(values, black, white)
    assert shares is not None
    return 1.0 - shares if elements.get("PhotometricInterpretation") == "MONOCHROME1" else shares


def _rescaled(stored: np.ndarray, elements: Dataset) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Values in the units of the modality, and the smallest and largest that the file's type can hold."""
    if elements.get("ModalityLUTSequence"):
        table, depth, first = _look_up_table(elements.ModalityLUTSequence[0])
        return table[np.clip(stored.astype(np.int64) - first, 0, len(table) - 1)], (0.0, 2.0**depth - 1)
    slope = float(elements.get("RescaleSlope") or 1.0)
    intercept = float(elements.get("RescaleIntercept") or 0.0)
    values = stored.astype(np.float64) * slope + intercept
    bits = int(elements.get("BitsStored") or 0)
    if stored.dtype.kind == "f" or not bits:
        return values, None
    signed = int(elements.get("PixelRepresentation") or 0) == 1
    ends = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    low, high = sorted(end * slope + intercept for end in ends)
    return values, (low, high)


def _window_of_file(values: np.ndarray, elements: Dataset) -> np.ndarray | None:
    """Shares as the file's first window or table of grey values says (PS3.3 C.11.2); None where it has none."""
    if elements.get("VOILUTSequence"):
        table, depth, first = _look_up_table(elements.VOILUTSequence[0])
        places = np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)
        return np.clip(table[places] / (2.0**depth - 1), 0.0, 1.0)
    if elements.get("WindowCenter") is None or elements.get("WindowWidth") is None:
        return None
    centre, width = (float(np.atleast_1d(elements.get(name))[0]) for name in ("WindowCenter", "WindowWidth"))
    function = str(elements.get("VOILUTFunction") or "LINEAR")
    if not (np.isfinite(centre) and np.isfinite(width)) or width <= 0:
        return None
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))
    if function == "LINEAR_EXACT":
        return window_scan(values, centre - width / 2, centre + width / 2)
    # both ends of the standard's line are shown values, so that a window of 256 has 256 of them
    return window_scan(values, centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)


def _look_up_table(item: Dataset) -> tuple[np.ndarray, int, int]:
    """A table of values as float64, the bits of its entries, and the stored value that its first entry is for."""
    first, depth = (int(item.LUTDescriptor[place]) for place in (1, 2))
    data = item.LUTData
    entries = np.frombuffer(data, dtype="<u2") if isinstance(data, bytes) else np.atleast_1d(np.asarray(data))
    return entries.astype(np.float64), depth, first
