"""Losses of forecasts against their definitions, and their gradients against differences."""

from __future__ import annotations

import pytest
import torch

from flambeau.training.forecast_losses import (
    forecast_directional_loss,
    forecast_huber_loss,
    forecast_l1_loss,
    forecast_mse_loss,
    forecast_quantile_loss,
    forecast_sharpe_loss,
    pinball,
)
from flambeau.training.names import LOSSES, loss_function

OPTIONS = {"delta": 0.7, "quantile": 0.3}


def example(quantiles: int, first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(5, 3 + first, 2, dtype=torch.float64, generator=generator)
    outputs = torch.randn(5, 3 * 2 * (1 + quantiles), dtype=torch.float64, generator=generator)
    return outputs.requires_grad_(), targets


@pytest.mark.parametrize("name", LOSSES["forecast"])
def test_gradients(name: str) -> None:
    finance = name in ("directional", "sharpe")
    quantiles = () if finance else (0.1, 0.9)
    outputs, targets = example(len(quantiles), int(finance))
    loss = loss_function("forecast", name, quantiles=quantiles, **OPTIONS)
    assert torch.autograd.gradcheck(lambda numbers: loss(numbers, targets), (outputs,))


def test_points_are_scored_as_their_names_say() -> None:
    outputs, targets = example(0)
    errors = outputs.reshape(5, 3, 2) - targets
    assert torch.isclose(forecast_mse_loss(outputs, targets), errors.square().mean())
    assert torch.isclose(forecast_l1_loss(outputs, targets), errors.abs().mean())
    huber = torch.where(errors.abs() < 0.7, errors.square() / 2, 0.7 * (errors.abs() - 0.35))
    assert torch.isclose(forecast_huber_loss(outputs, targets, delta=0.7), huber.mean())
    below = torch.where(errors < 0, -0.3 * errors, 0.7 * errors)
    assert torch.isclose(forecast_quantile_loss(outputs, targets, quantile=0.3), below.mean())


def test_pinball_is_least_at_the_quantile() -> None:
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(1))
    candidates = torch.linspace(-2, 2, 81)
    losses = [float(pinball(torch.full((10_000, 1), float(c)), values, (0.9,))) for c in candidates]
    assert abs(float(candidates[losses.index(min(losses))]) - float(torch.quantile(values, 0.9))) < 0.06


def test_the_right_side_costs_less() -> None:
    targets = torch.tensor([[[1.0], [2.0]], [[1.0], [0.0]]])  # up, down
    right, wrong = torch.tensor([[1.5], [0.5]]), torch.tensor([[0.5], [1.5]])
    for loss in (forecast_directional_loss, forecast_sharpe_loss):
        assert loss(right, targets) < loss(wrong, targets)


def test_a_mean_over_windows_does_not_change_with_accumulation() -> None:
    outputs, targets = example(2)
    for loss in (forecast_mse_loss, forecast_l1_loss):
        whole = loss(outputs, targets, quantiles=(0.2, 0.8))
        parts = [loss(outputs[i : i + 1], targets[i : i + 1], quantiles=(0.2, 0.8)) for i in range(5)]
        assert torch.isclose(whole, torch.stack(parts).mean())
