"""Starting weights by name, for models that are built from convolutions and linear layers."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def initialise_weights(model: nn.Module, name: str, generator: torch.Generator | None = None) -> None:
    """Draw the weights of every convolution and linear layer anew; biases become zero.

    Normalisation layers and embeddings keep what they have.

    Args:
        model: changed in place.
        name: "kaiming" (He et al. 2015, normal, by fan-out), "xavier" (Glorot and Bengio 2010, uniform) or
            "orthogonal" (Saxe et al. 2014).
        generator: where the numbers come from; torch's own where None.

    Raises:
        ValueError: for another name.
    """
    if name not in ("kaiming", "xavier", "orthogonal"):
        raise ValueError(f"unknown initialisation '{name}'; known are kaiming, xavier, orthogonal")
    for module in model.modules():
        if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            continue
        if name == "kaiming":
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif name == "xavier":
            nn.init.xavier_uniform_(module.weight, generator=generator)
        else:
            nn.init.orthogonal_(module.weight, generator=generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
