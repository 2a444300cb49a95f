"""A small table to learn from, and options with which that takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

QUICK: dict[str, Any] = {"threads": 1, "folds": 0, "baselines": False, "training.bags": 1}


def make_things(path: Path, rows: int = 120, first: int = 0) -> Path:
    """A table whose class follows from its size, so that a model learns it in no time."""
    lines = ["size,colour,kind"]
    for index in range(first, first + rows):
        size = (index * 37 % 1009) / 100
        lines.append(f"{size:.2f},{('red', 'blue')[index % 2]},{'large' if size > 5 else 'small'}")
    path.write_text("\n".join(lines) + "\n")
    return path
