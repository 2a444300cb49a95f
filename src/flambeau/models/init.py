"""Starting weights by name, for models that are built from convolutions and linear layers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

# As in vision transformers (Dosovitskiy et al. 2021); cut off at ±2, which is a hundred deviations.
TRUNCATED_STD = 0.02


@torch.no_grad()
def initialise_weights(model: nn.Module, name: str, generator: torch.Generator | None = None) -> None:
    """Draw the weights of every convolution and linear layer anew, by torch.nn.init; biases become zero.

    Normalisation layers, embeddings and parameters that a module holds by itself keep what they have.

    Args:
        model: changed in place.
        name: "xavier_uniform" or "xavier_normal" (Glorot and Bengio 2010), "kaiming_uniform" or "kaiming_normal" (He
            et al. 2015, for ReLU, by fan-in), "orthogonal" (Saxe et al. 2014), "trunc_normal" (deviation 0.02), or
            "dirac": each filter hands a channel on, as far as there are channels; filters beyond them, and linear
            layers, keep what they have (Zagoruyko and Komodakis 2017; Jordan 2024).
        generator: where the numbers come from; torch's own where None.

    Raises:
        ValueError: for another name.
    """
    for module in model.modules():
        if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            continue
        if name == "xavier_uniform":
            nn.init.xavier_uniform_(module.weight, generator=generator)
        elif name == "xavier_normal":
            nn.init.xavier_normal_(module.weight, generator=generator)
        elif name == "kaiming_uniform":
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu", generator=generator)
        elif name == "kaiming_normal":
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif name == "orthogonal":
            nn.init.orthogonal_(module.weight, generator=generator)
        elif name == "trunc_normal":
            nn.init.trunc_normal_(module.weight, std=TRUNCATED_STD, generator=generator)
        elif name == "dirac":
            hand_channels_on(module)
            continue
        else:
            raise ValueError(
                f"unknown initialisation '{name}'; known are xavier_uniform, xavier_normal, kaiming_uniform, "
                "kaiming_normal, orthogonal, trunc_normal, dirac"
            )
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def hand_channels_on(module: nn.Module) -> None:
    """Let the first filters of a convolution, as many as each group has channels, hand one channel on each."""
    if isinstance(module, nn.Linear):
        return
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    for filters in module.weight.data.chunk(module.groups):
        nn.init.dirac_(filters[: filters.shape[1]])
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def set_batch_norm_momentum(model: nn.Module, momentum: float) -> None:
    """Let the running statistics of every batch normalisation take over this share of each batch's."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = momentum
