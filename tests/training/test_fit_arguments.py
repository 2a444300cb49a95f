"""What `fit` refuses before the first step, and what it leaves behind: no trace of a trial, no foreign gradients."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flambeau.training.fit import fit

INPUTS, TARGETS = torch.randn(4, 3), torch.zeros(4)


def make_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))


def make_batches() -> list[tuple[Tensor, Tensor]]:
    inputs = torch.randn(48, 3, generator=torch.Generator().manual_seed(0))
    targets = inputs[:, 0] * 2 - inputs[:, 1]
    return list(zip(inputs.split(16), targets.split(16), strict=True))


def walked_for_ever() -> Any:
    class Endless:
        def __iter__(self) -> Any:
            while True:
                yield INPUTS, TARGETS

    return Endless()


def test_an_iterable_without_an_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambeau.training.own_batches.MOST_COUNTED", 50)
    with pytest.raises(ValueError, match="train_batches: got no end after 50 batches"):
        fit(make_module(), walked_for_ever(), loss=F.mse_loss)


def test_lbfgs_on_filters_that_lie_channels_last_is_told() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(1))
    pictures = torch.randn(4, 3, 5, 5)
    module(pictures)
    module.to(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="LBFGS takes all gradients as one row of numbers"):
        fit(module, [(pictures, TARGETS)], loss=F.mse_loss, optimizer="lbfgs")


class Remembering(nn.Module):
    """It keeps the first table that it makes, as modules with rotary positions do, and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(()))
        self.table: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        if not self.training and self.table is None:
            self.table = torch.ones(3)
        table = 1.0 if self.table is None else self.table
        scale = self.layer.weight.mean() * table
        return self.layer(self.drop(inputs) * scale)


def test_tables_that_a_module_makes_in_a_validation_serve_in_training() -> None:
    fitted = fit(Remembering(), make_batches(), make_batches(), loss=F.mse_loss, epochs=2)
    assert math.isfinite(fitted.epochs[-1]["loss"])


def test_the_loss_is_tried_before_the_first_step_without_a_trace() -> None:
    """Generators, buffers and weights are as they were when the loss is refused."""
    module, batches = Remembering(), make_batches()
    state = torch.get_rng_state()
    weight = module.layer.weight.detach().clone()
    with pytest.raises(ValueError, match="the loss does not depend on the outputs"):
        fit(module, batches, loss=lambda outputs, targets: torch.ones((), requires_grad=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert module.calls.item() == 0
    assert torch.equal(module.layer.weight, weight)


@pytest.mark.parametrize("other", [{"lr": 0.5}, {"epochs": 3}, {"optimizer": "sgd"}, {"loss": F.l1_loss}])
def test_a_folder_of_a_training_with_other_arguments_is_refused(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"loss": F.mse_loss, "epochs": 2, "lr": 0.1, "checkpoints": tmp_path}
    with pytest.raises(ValueError, match="lr: got 20"):
        fit(make_module(), make_batches(), **{**options, "lr": 20.0})
    first = fit(make_module(), make_batches(), **options)
    again = fit(make_module(), make_batches(), **options)
    assert torch.equal(first.module[0].weight, again.module[0].weight)
    assert again.epochs == []
    (name,) = other
    with pytest.raises(ValueError, match=f"checkpoints: .* holds a training with {name}="):
        fit(make_module(), make_batches(), **{**options, **other})


def test_gradients_of_what_the_optimizer_does_not_hold_do_not_pile_up() -> None:
    module = make_module()
    own = torch.optim.SGD(module[0].parameters(), lr=0.1)
    fit(module, make_batches(), loss=F.mse_loss, epochs=1, optimizer=own)
    assert all(parameter.grad is None for parameter in module.parameters())


def tokens(targets: Tensor) -> int:
    return int((targets != -100).sum())


def test_a_validation_is_the_mean_over_all_terms() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(6, 3), torch.randint(0, 2, (6,))
    targets[[0, 1, 2, 4, 5]] = -100
    targets[4] = 1
    batches = [(inputs[:2], targets[:2]), (inputs[2:4], targets[2:4]), (inputs[4:], targets[4:])]
    fitted = fit(nn.Linear(3, 2), batches, batches, loss=F.cross_entropy, epochs=1, lr=0.1, weight_of=tokens)
    expected = F.cross_entropy(fitted.module(inputs), targets).item()
    assert fitted.epochs[0]["valid_loss"] == pytest.approx(expected, rel=1e-6)
