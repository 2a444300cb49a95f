"""The plain network for tables: layers of units, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flambeau.models.embeddings import CategoryEmbedding, PiecewiseLinearEmbedding

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
NORMALISATIONS: dict[str, type[nn.Module]] = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class MLP(nn.Module):
    """Linear → normalisation → activation → dropout, `depth` times, then one linear layer.

    Args:
        inputs, outputs: lengths of the first and last vectors.
        width: units of each hidden layer.
        depth: hidden layers; 0 leaves a linear model.
        dropout: share of units dropped in training.
        activation: relu, gelu or silu.
        normalisation: none, batch or layer.

    Shapes: (batch, inputs) → (batch, outputs).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 256,
        depth: int = 2,
        dropout: float = 0.0,
        activation: str = "relu",
        normalisation: str = "none",
    ) -> None:
        super().__init__()
        for given, known in ((activation, ACTIVATIONS), (normalisation, NORMALISATIONS)):
            if given not in known:
                raise ValueError(f"expected one of {', '.join(known)}, got '{given}'")
        layers: list[nn.Module] = []
        for layer in range(depth):
            layers.append(nn.Linear(inputs if layer == 0 else width, width))
            if normalisation != "none":
                layers.append(NORMALISATIONS[normalisation](width))
            layers.append(ACTIVATIONS[activation]())
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear(width if depth else inputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.hidden(features))
