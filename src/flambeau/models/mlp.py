"""The plain network for tables: embedded features, then layers of units, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from flambeau.models.embeddings import TableFeatures

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
NORMALISATIONS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class MLP(nn.Module):
    """A multilayer perceptron: Linear → normalisation → activation → dropout, `depth` times, then one linear layer.

    Args:
        number_features: numbers a row; 0 for none.
        cardinalities: indices of each category column; empty for none.
        outputs: classes, labels, or 1 for a regression.
        width: units of each hidden layer.
        depth: hidden layers; 0 leaves a linear model.
        dropout: share of units dropped in training.
        bins: bins of the piecewise-linear embedding of a number; 0 for none.
        embedding_width: length of the vector of one number, where bins is not 0.
        activation: relu, gelu or silu.
        normalisation: none, batch or layer.

    Shapes: numbers (batch, number_features), categories (batch, columns) int64 → (batch, outputs).

    Raises:
        ValueError: an unknown activation or normalisation.
    """

    def __init__(
        self,
        number_features: int,
        cardinalities: Sequence[int],
        outputs: int,
        *,
        width: int = 256,
        depth: int = 2,
        dropout: float = 0.0,
        bins: int = 0,
        embedding_width: int = 8,
        activation: str = "relu",
        normalisation: str = "none",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got '{activation}'")
        if normalisation not in ("none", *NORMALISATIONS):
            raise ValueError(f"normalisation must be none, batch or layer, got '{normalisation}'")
        self.features = TableFeatures(
            number_features, cardinalities, bins=bins, embedding_width=embedding_width
        )
        layers: list[nn.Module] = []
        for layer in range(depth):
            layers.append(nn.Linear(width if layer else self.features.width, width))
            if normalisation != "none":
                layers.append(NORMALISATIONS[normalisation](width))
            layers.append(ACTIVATIONS[activation]())
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear(width if depth else self.features.width, outputs)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return self.head(self.hidden(self.features(numbers, categories)))
