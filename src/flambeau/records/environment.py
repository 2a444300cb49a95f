"""The machine and the versions that a run was made with, found without importing the libraries."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from flambeau import __version__

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "pillow", "pyarrow", "safetensors")


def environment(device: str | None = None, threads: int | None = None, command: str = "") -> dict[str, Any]:
    """Versions (None where not installed), system, CPU, usable cores, memory in GB and the command.

    Args:
        device: what the run computes on.
        threads: how many CPU threads it uses.
        command: what the person typed.
    """
    return {
        "flambeau": __version__,
        **{name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "device": device,
        "threads": threads,
        "command": command,
    }


def usable_cores() -> int:
    """Cores that this process may run on; fewer than the machine's in a container or under taskset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name as the system tells it, or its kind where the system does not."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "Hardware") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
