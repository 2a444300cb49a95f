"""In which numbers, on which route and in which layout a step is computed. Weights always stay in fp32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.amp import GradScaler

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast_to(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which the forward pass runs: nothing for fp32, autocast for bf16 and fp16."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision: got {precision!r}, expected one of {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=PRECISIONS[precision])


def make_scaler(precision: str, device: torch.device) -> GradScaler | None:
    """What keeps small gradients above the smallest number of fp16 (Micikevicius et al. 2018); else None.

    Its state decides how training goes on, and so belongs into checkpoints.
    """
    return GradScaler(device.type) if precision == "fp16" else None


def lay_out(model: nn.Module, memory_format: str) -> nn.Module:
    """Give 4-D weights the layout "contiguous" or "channels_last"; convolutions then hand it on to activations."""
    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    if memory_format not in formats:
        raise ValueError(f"memory_format: got {memory_format!r}, expected one of {', '.join(formats)}")
    return model.to(memory_format=formats[memory_format])
