"""The plain network: layers of units, one after the other."""

from __future__ import annotations

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
NORMALISATIONS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class MLP(nn.Module):
    """A multilayer perceptron: Linear → normalisation → activation → dropout, `depth` times, then one linear layer.

    Args:
        inputs: numbers a row.
        outputs: classes, labels, or 1 for a regression.
        width: units of each hidden layer.
        depth: hidden layers; 0 leaves a linear model.
        dropout: share of units dropped in training.
        activation: relu, leaky_relu, elu, gelu, silu or tanh.
        normalisation: none, batch or layer.

    Shapes: (batch, inputs) → (batch, outputs).

    Raises:
        ValueError: an unknown activation or normalisation.
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
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got '{activation}'")
        if normalisation not in ("none", *NORMALISATIONS):
            raise ValueError(f"normalisation must be none, batch or layer, got '{normalisation}'")
        layers: list[nn.Module] = []
        for layer in range(depth):
            layers.append(nn.Linear(width if layer else inputs, width))
            if normalisation != "none":
                layers.append(NORMALISATIONS[normalisation](width))
            layers.append(ACTIVATIONS[activation]())
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear(width if depth else inputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.hidden(features))
