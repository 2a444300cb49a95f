"""The plain network does what its few parameters say."""

from __future__ import annotations

import pytest
import torch

from flambeau.models.mlp import ACTIVATIONS, MLP


def test_no_hidden_layer_is_a_linear_model() -> None:
    model = MLP(3, 2, depth=0)
    x = torch.randn(4, 3)
    torch.testing.assert_close(model(x), x @ model.head.weight.T + model.head.bias)


def test_one_hidden_layer_by_hand() -> None:
    model = MLP(3, 1, width=5, depth=1)
    first, last = model.hidden[0], model.head
    x = torch.randn(4, 3)
    hidden = (x @ first.weight.T + first.bias).clamp(min=0)
    torch.testing.assert_close(model(x), hidden @ last.weight.T + last.bias)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"])
@pytest.mark.parametrize("normalisation", ["none", "batch", "layer"])
def test_rows_are_independent_in_evaluation(activation: str, normalisation: str) -> None:
    model = MLP(6, 3, width=8, depth=3, dropout=0.5, activation=activation, normalisation=normalisation)
    model.train()
    model(torch.randn(32, 6))
    model.eval()
    x = torch.randn(7, 6)
    assert model(x).shape == (7, 3)
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]))


def test_dropout_acts_only_in_training() -> None:
    model = MLP(6, 3, width=64, depth=1, dropout=0.5)
    x = torch.randn(5, 6)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_unknown_words_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"activation must be one of relu, leaky_relu, .*, tanh, got 'swish'"
    ):
        MLP(3, 1, activation="swish")
    with pytest.raises(ValueError, match="normalisation must be none, batch or layer, got 'group'"):
        MLP(3, 1, normalisation="group")


def test_names_of_activations_are_torch_s() -> None:
    for name, module in ACTIVATIONS.items():
        x = torch.randn(5)
        torch.testing.assert_close(module()(x), getattr(torch.nn.functional, name)(x))
