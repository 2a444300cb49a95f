"""familiar.safetensors, what a bundle knows of its training data: written, read, and tried on the bundle's model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from flambeau.deploy.bundle import Bundle
from flambeau.deploy.familiar.familiar import USUAL_SHARE, Familiar, Inputs, View
from flambeau.deploy.files import FAMILIAR
from flambeau.errors import RunError
from flambeau.records.files import write_bytes
from flambeau.records.runs import is_run
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TablePreparation

FORMAT = "1"

# By kind; the first must be there.
VIEWS = {
    "pictures": ("features", "looks"),
    "texts": ("features",),
    "table": ("values", "combinations"),
}

# Far above what `familiar_fit` keeps; whatever is larger was made to fill the memory.
MOST_FAMILIAR_BYTES = 256 * 2**20
TRIAL_ROWS = 2


def save_familiar(folder: Path, familiar: Familiar) -> None:
    """Write familiar.safetensors, atomically. Raises RunError where the folder cannot be written to."""
    tensors: dict[str, Tensor] = {}
    for name, view in familiar.views.items():
        tensors[f"{name}.bank"] = view.bank.half() if name == "features" else view.bank
        for part in ("codes", "centre", "matrix"):
            value = getattr(view, part)
            if value is not None:
                tensors[f"{name}.{part}"] = value.int() if part == "codes" else value
    views = {
        name: {"neighbours": view.neighbours, "threshold": view.threshold}
        for name, view in familiar.views.items()
    }
    metadata = {
        "format": FORMAT,
        "kind": familiar.kind,
        "layer": familiar.layer,
        "usual_share": str(USUAL_SHARE),
        "views": json.dumps(views),
    }
    write_bytes(
        folder / FAMILIAR, save_tensors({k: v.contiguous().clone() for k, v in tensors.items()}, metadata)
    )


def load_familiar(folder: Path, bundle: Bundle) -> Familiar | None:
    """Read familiar.safetensors of a loaded bundle; None where it has none.

    It is tried on inputs of zeros, so that what is of another model is told here and not with somebody's question.

    Raises:
        RunError: a damaged one, or one that does not fit the bundle.
    """
    familiar = read_familiar(folder)
    if familiar is None:
        return None
    try:
        _try(familiar, bundle)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error
    return familiar


def read_familiar(folder: Path) -> Familiar | None:
    """Read familiar.safetensors by itself; None where there is none. Raises RunError for a damaged one."""
    path = folder / FAMILIAR
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MOST_FAMILIAR_BYTES:
            raise ValueError(f"more than {MOST_FAMILIAR_BYTES:,} bytes")
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        if metadata.get("format") != FORMAT:
            raise ValueError(f"format {metadata.get('format')}, expected {FORMAT}")
        kind, views = metadata["kind"], json.loads(metadata["views"])
        if kind not in VIEWS or VIEWS[kind][0] not in views or not views.keys() <= set(VIEWS[kind]):
            raise ValueError(f"the views {list(views)} of {kind}")
        return Familiar(
            kind, {name: _read_view(name, tensors, facts) for name, facts in views.items()}, metadata["layer"]
        )
    except (
        *(SafetensorError, OSError, KeyError, ValueError, TypeError),
        *(AttributeError, OverflowError, RecursionError),
    ) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> RunError:
    return RunError(
        "what this bundle knows of its training data is damaged",
        where=folder / FAMILIAR,
        got=str(error)[:200],
        command=f"flambeau verify {folder.parent}" if is_run(folder.parent) else "",
    )


def _try(familiar: Familiar, bundle: Bundle) -> None:
    """Compare inputs of zeros. Raises ValueError, or what torch raises, where it does not fit the bundle."""
    preparation = bundle.preparation
    inputs: Inputs
    if isinstance(preparation, PicturePreparation):
        kind = "pictures"
        inputs = (torch.zeros(TRIAL_ROWS, preparation.channels, *preparation.size),)
    elif not isinstance(preparation, TablePreparation):
        raise ValueError("it is of inputs that are not compared")
    elif not preparation.has_cells:
        kind = "texts"
        inputs = (torch.ones(TRIAL_ROWS, 1, dtype=torch.int32),)
    else:
        kind = "table"
        inputs = (
            torch.zeros(TRIAL_ROWS, len(preparation.numbers)),
            torch.zeros(TRIAL_ROWS, len(preparation.categories), dtype=torch.int64),
        )
    if familiar.kind != kind:
        raise ValueError(f"it is of {familiar.kind}, the bundle of {kind}")
    device = next((weights.device for weights in bundle.module.parameters()), torch.device("cpu"))
    features = familiar.features(bundle.module, tuple(part.to(device) for part in inputs))
    for name, view in familiar.views.items():
        widths = [(features[name].shape, view.bank)]
        if view.codes is not None:
            widths.append((features["codes"].shape, view.codes))
        for shape, kept in widths:
            if shape != (TRIAL_ROWS, kept.shape[1]):
                raise ValueError(f"the view '{name}' is of {kept.shape[1]} values a row, not {tuple(shape)}")
    distances = familiar.distances(features)
    if distances.shape != (TRIAL_ROWS,) or not np.isfinite(distances).all():
        raise ValueError("it gives no finite distances")


def _read_view(name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, float]) -> View:
    codes, centre, matrix = (tensors.get(f"{name}.{part}") for part in ("codes", "centre", "matrix"))
    for part in (tensors[f"{name}.bank"], centre, matrix):
        if part is not None and part.dtype not in (torch.float16, torch.float32):
            raise ValueError(f"the view '{name}' has values of {part.dtype}")
    bank = tensors[f"{name}.bank"].float()
    neighbours, threshold = int(facts["neighbours"]), float(facts["threshold"])
    width = bank.shape[-1]
    fits = (
        bank.ndim == 2
        and 1 <= neighbours <= len(bank)
        and math.isfinite(threshold)
        and threshold > 0
        and (codes is None or (codes.dtype == torch.int32 and codes.ndim == 2 and len(codes) == len(bank)))
        and (centre is None) == (matrix is None)
        and (
            centre is None or matrix is None or (centre.shape == (width,) and matrix.shape == (width, width))
        )
    )
    if not fits or not all(
        bool(part.isfinite().all()) for part in (bank, centre, matrix) if part is not None
    ):
        raise ValueError(f"the view '{name}' does not fit together")
    return View(bank, neighbours, threshold, None if codes is None else codes.float(), centre, matrix)
