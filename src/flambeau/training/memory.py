"""Memory of the device: how its end is recognised, and how much of it was taken."""

from __future__ import annotations

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    return "not enough memory" in text or "can't allocate memory" in text or "out of memory" in text


def peak_of_device(device: torch.device) -> float | None:
    """The most memory of the GPU that this process's tensors took so far, in GB (10⁹ bytes); None without a GPU."""
    return torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
