"""What every benchmark prints: machine, versions, commit; and how repeated figures are told."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from flambeau.records.environment import environment

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def print_header(title: str) -> None:
    """The machine and the versions, so that a figure can be placed."""
    facts = environment()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    print(f"# {title}")
    print(f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB; load {os.getloadavg()[0]:.1f}")
    print(
        f"flambeau {facts['flambeau']} ({commit or 'no commit'}), torch {facts['torch']}, Python {facts['python']}"
    )


def tell(values: Sequence[float], digits: int = 4) -> str:
    """The median, and the smallest and largest, of repeated figures."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f} (n=1)"
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}] (n={len(values)})"
