"""Pictures as a few numbers each, for the simple models that stand beside the net."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flambeau.stages.mixed.feed import ColumnPixels

BASELINE_SIDE = 16
MOST_PIXEL_ROWS = 20_000


def thin(rows: np.ndarray, seed: int) -> np.ndarray:
    """At most as many rows as a linear model on pixels is fitted on, so that no others are read."""
    if len(rows) <= MOST_PIXEL_ROWS:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, MOST_PIXEL_ROWS, replace=False))


def small_pixels(pixels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(n, height, width, channels) → (wanted rows, features) float32: means over a coarse grid, from 0 to 1."""
    scale = np.float32(65535 if pixels.dtype == np.uint16 else 255)
    rows = np.linspace(0, pixels.shape[1], min(BASELINE_SIDE, pixels.shape[1]) + 1).astype(int)[:-1]
    columns = np.linspace(0, pixels.shape[2], min(BASELINE_SIDE, pixels.shape[2]) + 1).astype(int)[:-1]
    areas = np.outer(np.diff([*rows, pixels.shape[1]]), np.diff([*columns, pixels.shape[2]]))
    blocks = []
    for start in range(0, len(wanted), 512):
        block = np.asarray(pixels[wanted[start : start + 512]], dtype=np.float32)
        sums = np.add.reduceat(np.add.reduceat(block, rows, axis=1), columns, axis=2)
        blocks.append((sums / (areas[None, :, :, None] * scale)).reshape(len(block), -1))
    return np.concatenate(blocks)


def small_columns(columns: Mapping[str, ColumnPixels], rows: int) -> np.ndarray:
    """(rows, features) float32 of the pictures of all columns; zeros where a row has none."""
    blocks = []
    for one in columns.values():
        there = one.places >= 0
        found = small_pixels(one.pixels, one.places[there])
        block = np.zeros((rows, found.shape[1]), dtype=np.float32)
        block[there] = found
        blocks.append(block)
    return np.concatenate(blocks, axis=1)
