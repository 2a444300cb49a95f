"""Learning what training data looks like, so that an input of another kind can be told; see `familiar`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from flambeau.deploy.familiar.familiar import (
    USUAL_SHARE,
    Familiar,
    Features,
    Inputs,
    View,
    compared,
    listening,
)
from flambeau.models.backbone import find_head

FEWEST_ROWS, MOST_ROWS, MOST_BYTES = 50, 2_000, 900_000
FEWEST_PICTURES, MOST_PIXELS = 300, 2**22
# One neighbour would take an outlier of the training data for a place where inputs are usual. A picture has many
# of its class around it, a row of a table few.
PICTURE_NEIGHBOURS, ROW_NEIGHBOURS = 5, 2
WIDEST_WHITENING = 256
SMALLEST_THRESHOLD = 1e-6
SHRINKAGE = 0.01


def fit_familiar(module: nn.Module, batches: Iterable[Inputs], kind: str) -> Familiar:
    """Learn what training rows look like.

    Args:
        module: on the device of the inputs; put into evaluation mode.
        batches: prepared inputs of training rows, without random changes; those after `MOST_ROWS` are not read.
        kind: "pictures", "texts" or "table".

    Raises:
        ValueError: fewer than `FEWEST_ROWS` rows, or features that are not finite.
    """
    module.eval()
    layer: str | None = "" if kind == "table" else None
    parts: list[Features] = []
    rows = 0
    for inputs in batches:
        heard: list[Tensor] = []
        if kind != "table":
            exact = tuple(part.float() if part.is_floating_point() else part for part in inputs)
            with torch.inference_mode(), torch.autocast(exact[0].device.type, enabled=False):
                layer = _find_layer(module, exact) if layer is None else layer
                with listening(module, layer, heard):
                    module(*exact)
        parts.append(compared(kind, inputs, heard[0] if heard else None))
        rows += len(inputs[0])
        if rows >= MOST_ROWS:
            break
    if rows < FEWEST_ROWS:
        raise ValueError(f"expected at least {FEWEST_ROWS} training rows to compare with, got {rows}")
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if not all(bool(part.isfinite().all()) for part in joined.values()):
        raise ValueError("expected finite features of the training rows, got NaN or infinity")
    if kind == "table":
        views = {"values": _fit_view(joined["values"], ROW_NEIGHBOURS, codes=joined["codes"])}
        if 1 < joined["combinations"].shape[1] <= WIDEST_WHITENING:
            views["combinations"] = _fit_view(joined["combinations"], ROW_NEIGHBOURS, whiten=True)
    else:
        # Halves are kept, so halves are what the threshold is measured on.
        views = {"features": _fit_view(joined["features"].half(), PICTURE_NEIGHBOURS)}
        if "looks" in joined:
            views["looks"] = _fit_view(joined["looks"], PICTURE_NEIGHBOURS, whiten=True)
    share = (1 - USUAL_SHARE) / len(views)
    return Familiar(
        kind, {name: _set_threshold(view, 1 - share) for name, view in views.items()}, layer or ""
    )


def rows_to_compare(rows: np.ndarray, pixels: int = 0) -> np.ndarray:
    """Evenly spaced ones of these rows, few enough that the model's pass over them takes a small part of an epoch.

    Args:
        rows: (n,) positions of training samples.
        pixels: of one picture; 0 for a table.
    """
    most = min(MOST_ROWS, max(FEWEST_PICTURES, MOST_PIXELS // pixels)) if pixels else MOST_ROWS
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(np.int64))]


def _find_layer(module: nn.Module, inputs: Inputs) -> str:
    """Name of the head, if a call of the module passes through it row by row; else "", for the outputs."""
    try:
        name = find_head(module)
    except ValueError:
        return ""
    heard: list[Tensor] = []
    with listening(module, name, heard):
        module(*(part[:2] for part in inputs))
    rows = len(inputs[0][:2])
    return name if heard and heard[0].ndim > 1 and len(heard[0]) == rows else ""


def _fit_view(values: Tensor, neighbours: int, *, codes: Tensor | None = None, whiten: bool = False) -> View:
    """The view of these training rows (rows, width), at most as many as fit into `MOST_BYTES`; no threshold yet."""
    bytes_a_row = values.shape[1] * values.element_size() + (0 if codes is None else 4 * codes.shape[1])
    most = max(FEWEST_ROWS, MOST_BYTES // max(1, bytes_a_row))
    kept = torch.linspace(0, len(values) - 1, min(len(values), most)).round().long().unique()
    bank = values[kept].float()
    if not whiten:
        return View(bank, neighbours, 0.0, None if codes is None else codes[kept])
    centre, matrix = _whitening(bank)
    return View((bank - centre) @ matrix, neighbours, 0.0, None, centre, matrix)


def _whitening(values: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (width,) and matrix (width, width) that give rows (rows, width) a covariance of nearly the identity."""
    exact = values.double()
    centre = exact.mean(0)
    covariance = (exact - centre).T @ (exact - centre) / len(exact)
    width = len(centre)
    # Values that depend on others, or do not vary, would otherwise be divided by nothing.
    ridge = max(SHRINKAGE * float(covariance.trace()) / width, SMALLEST_THRESHOLD)
    inverse = torch.linalg.inv(covariance + ridge * torch.eye(width, dtype=torch.float64))
    return centre.float(), torch.linalg.cholesky((inverse + inverse.T) / 2).float()


def _set_threshold(view: View, share: float) -> View:
    """The same view; its threshold is what this share of its rows keeps to the others."""
    kept = torch.quantile(view.distances(view.bank, view.codes, own=True), share)
    return replace(view, threshold=max(float(kept), SMALLEST_THRESHOLD))
