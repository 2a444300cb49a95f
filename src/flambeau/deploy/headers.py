"""What files of tensors hold, by their headers alone: nothing of the tensors is read."""

from __future__ import annotations

import json
from pathlib import Path

from flambeau.deploy.files import WEIGHTS
from flambeau.errors import RunError

LONGEST_HEADER = 100_000_000


def count_weights(path: Path) -> int:
    """How many numbers a file of safetensors holds, from its header alone. Raises RunError for a damaged header."""
    total = 0
    for shape in _shapes(path).values():
        size = 1
        for side in shape:
            size *= side
        total += size
    return total


def count_kept_rows(path: Path) -> int:
    """How many training rows the largest bank of familiar.safetensors holds; 0 where there is none."""
    shapes = _shapes(path) if path.is_file() else {}
    return max((shape[0] for name, shape in shapes.items() if name.endswith(".bank") and shape), default=0)


def _shapes(path: Path) -> dict[str, list[int]]:
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            text = stream.read(min(length, LONGEST_HEADER))
        if len(text) != length:
            raise ValueError("the header is cut off")
        header = json.loads(text)
        return {
            name: [int(side) for side in entry["shape"]]
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (
        *(OSError, ValueError, TypeError, KeyError, AttributeError),
        *(OverflowError, RecursionError),
    ) as error:
        what = "the weights cannot be read" if path.name == WEIGHTS else "this file of the bundle is damaged"
        raise RunError(what, where=path, got=str(error)[:200]) from error
