"""A loss that is no longer finite: the first layer that is to blame is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flambeau.data.batches import Batches, gather_tensors
from flambeau.evaluation.validation import Validation
from flambeau.training.loop import Technique
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_sgd, parameter_groups
from flambeau.training.session import Session, run_session

ROWS, BATCH = 40, 10
CPU = torch.device("cpu")


class Log(nn.Module):
    """A logarithm, which is NaN below zero."""

    def forward(self, values: Tensor) -> Tensor:
        return values.log()


class Root(nn.Module):
    """A square root, whose slope at zero is infinite."""

    def forward(self, values: Tensor) -> Tensor:
        return (values * (values > 0)).sqrt()


class Body(nn.Module):
    """A module with a logarithm of its own between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)

    def forward(self, values: Tensor) -> Tensor:
        return self.second(self.first(values)) / 0.0


def layers(middle: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Module()
    model.features = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), middle)
    model.head = nn.Linear(4, 2)
    model.forward = lambda values: model.head(model.features(values))  # type: ignore[method-assign]
    return model


def trained(
    folder: Path,
    model: nn.Module,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = classification_loss,
    spoil: Callable[[Tensor], None] = lambda inputs: None,
    micro_batch: int = 0,
    lr: float = 0.01,
    **session: Any,
) -> list[str]:
    """The notes of a training, and its error as the last of them."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, 4, generator=generator)
    spoil(inputs)
    targets = torch.randint(0, 2, (ROWS,), generator=generator)
    batches = Batches(gather_tensors(inputs), targets, torch.arange(ROWS), BATCH, seed=0)
    optimizer = make_sgd(parameter_groups(model, lr=lr, weight_decay=0.0), momentum=0.0, device=CPU)
    notes: list[str] = []

    def listen(record: dict[str, Any]) -> None:
        if record["kind"] == "note":
            notes.append(record["text"])

    technique = Technique(2, lambda done: 1.0, micro_batch=micro_batch)
    with pytest.raises(ArithmeticError, match="half the learning rate did not help") as raised:
        run_session(model, batches, optimizer, loss, technique, Session(folder, listen=listen, **session))
    return [*notes, str(raised.value)]


@pytest.mark.parametrize("micro_batch", [0, 3])
def test_the_layer_with_the_first_bad_output_is_named(tmp_path: Path, micro_batch: int) -> None:
    told = trained(tmp_path, layers(Log()), micro_batch=micro_batch)
    assert len(told) == 4
    for text in told:
        assert text.startswith(
            "the loss became nan at epoch 1, step 1; first not finite: the output of 'features.2' (Log); "
        )
    assert "back to the start of the epoch at 0.5 of the learning rate" in told[0]


def test_a_module_that_computes_it_by_itself_is_named(tmp_path: Path) -> None:
    told = trained(tmp_path, layers(Body()))
    assert "first not finite: the output of 'features.2' (Body)" in told[-1]


def test_a_layer_whose_gradient_is_not_finite_is_named(tmp_path: Path) -> None:
    told = trained(tmp_path, layers(Root()))
    # the loss of the first step is finite, the weights after it are not
    assert told[-1].startswith(
        "the loss became nan at epoch 1, step 2; first not finite: the gradient that 'features.2'"
    )


def test_weights_that_grow_without_bound_name_the_layer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    told = trained(tmp_path, model, loss=lambda o, t: o.square().mean(), lr=1e6)
    assert "first not finite: the " in told[0]
    assert "(Linear)" in told[0]


def test_values_in_the_data_are_named(tmp_path: Path) -> None:
    def spoil(inputs: Tensor) -> None:
        inputs[7, 2] = float("inf")

    told = trained(tmp_path, nn.Sequential(nn.Linear(4, 2)), spoil=spoil)
    assert "first not finite: the inputs of the model; " in told[-1]


def test_a_loss_that_is_to_blame_itself_is_named(tmp_path: Path) -> None:
    told = trained(tmp_path, nn.Linear(4, 2), loss=lambda o, t: o.sum() * float("nan"))
    assert "first not finite: the loss itself, of finite outputs; " in told[-1]


def test_a_loss_that_only_once_was_bad_is_told_so(tmp_path: Path) -> None:
    calls = [0]

    def once(outputs: Tensor, targets: Tensor) -> Tensor:
        calls[0] += 1
        value = classification_loss(outputs, targets)
        return value * float("inf") if calls[0] in (3, 20, 40, 60, 80) else value

    model = nn.Linear(4, 2)
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(ROWS, 4, generator=generator), torch.zeros(ROWS, dtype=torch.int64)
    batches = Batches(gather_tensors(inputs), targets, torch.arange(ROWS), BATCH, seed=0)
    optimizer = make_sgd(parameter_groups(model, lr=0.01, weight_decay=0.0), momentum=0.0, device=CPU)
    notes: list[dict[str, Any]] = []
    state = run_session(
        model,
        batches,
        optimizer,
        once,
        Technique(1, lambda done: 1.0),
        Session(tmp_path, listen=notes.append),
    )
    assert state.rollbacks == 1
    assert "when its steps were repeated, everything was finite" in next(
        n["text"] for n in notes if "text" in n
    )


def test_a_validation_that_is_not_finite_names_the_layer(tmp_path: Path) -> None:
    """Only in evaluation mode does this model go wrong: batch statistics of the training are finite."""
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    bad = torch.full((3, 4), float("inf"))

    def validate(module: nn.Module) -> Validation:
        module.eval()
        with torch.inference_mode():
            value = module[1:](bad).sum().item() if module(torch.ones(3, 4)).isfinite().all() else 0.0
        return Validation(value, value)

    told = trained(tmp_path, model, validate=validate)
    assert told[-1].startswith(
        "the validation loss of epoch 1 is nan; first not finite: the output of '1' (BatchNorm1d)"
    )


def test_hooks_are_gone_afterwards(tmp_path: Path) -> None:
    model = layers(Log())
    trained(tmp_path, model)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
