"""Models of time series: shapes, what they may see, and the closed form against gradient steps and scikit-learn."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from flambeau.data.series.windows import gather_past, target_tensor
from flambeau.models.forecast import (
    DLinearForecast,
    LinearForecast,
    LSTMForecast,
    PatchTransformerForecast,
    TCNForecast,
)
from flambeau.models.forecast_ridge import (
    Moments,
    RidgeForecast,
    moments_without,
    ridge_weights,
    solve_ridge,
    window_moments,
)

MODELS = (LinearForecast, DLinearForecast, TCNForecast, LSTMForecast, PatchTransformerForecast, RidgeForecast)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("lookback", [5, 40])
def test_shapes(kind: type[nn.Module], lookback: int) -> None:
    model = kind(
        channels=4, targets=2, lookback=lookback, horizon=7, quantiles=2, future=5, calendar=4
    ).eval()
    past, known = torch.randn(3, lookback, 4), torch.randn(3, 7, 5)
    assert model(past, known).shape == (3, 7 * 2 * 3)
    alone = kind(channels=2, targets=2, lookback=lookback, horizon=7).eval()
    assert alone(past[:, :, :2]).shape == (3, 14)


@pytest.mark.parametrize("kind", MODELS)
def test_a_centred_forecast_moves_with_the_level(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind(channels=2, targets=2, lookback=24, horizon=3).eval()
    past = torch.randn(4, 24, 2)
    if isinstance(model, RidgeForecast):
        nn.init.normal_(model.weight)
    assert torch.allclose(model(past + 10), model(past) + 10, atol=1e-4)


def windows(rows: int = 120, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    scaled = torch.randn(rows, channels, generator=generator).cumsum(0) / 5
    return scaled, torch.zeros(rows, 0)


def test_ridge_is_that_of_scikit_learn() -> None:
    scaled, nothing = windows()
    gather = gather_past(scaled, nothing, lookback=6, horizon=2)
    targets = target_tensor(scaled[:, :1], 2)
    rows = torch.arange(5, 100)
    model = RidgeForecast(channels=3, targets=1, lookback=6, horizon=2, centre=False)
    moments = window_moments(model, gather, targets, rows)
    weights = ridge_weights(moments, 0.1)
    inputs = gather(rows)[0][:, :, 0].double()
    strength = (0.1 + 1e-9) * float(inputs.square().mean()) * len(rows) + 1e-12
    other = Ridge(alpha=strength).fit(inputs.numpy(), targets[rows][:, :, 0].double().numpy())
    assert torch.allclose(weights[0, :-1], torch.from_numpy(other.coef_.T), atol=1e-8)
    assert torch.allclose(weights[0, -1], torch.from_numpy(other.intercept_), atol=1e-8)


def test_a_large_penalty_ends_at_the_last_value() -> None:
    scaled, nothing = windows()
    gather = gather_past(scaled, nothing, lookback=6, horizon=2)
    targets = target_tensor(scaled[:, :1], 2)
    model = RidgeForecast(channels=3, targets=1, lookback=6, horizon=2)
    solve_ridge(model, gather, targets, torch.arange(5, 100), torch.arange(100, 110), penalty=1e6)
    rows = torch.arange(100, 110)
    last = scaled[rows, :1].repeat(1, 2)
    assert torch.equal(
        model(*gather(rows)), last
    )  # nothing is left of the weights, so that no direction is noise


def test_quantiles_are_those_of_validation_errors() -> None:
    scaled, nothing = windows(600)
    gather = gather_past(scaled, nothing, lookback=6, horizon=2)
    targets = target_tensor(scaled[:, :1], 2)
    model = RidgeForecast(channels=3, targets=1, lookback=6, horizon=2, quantiles=2)
    valid = torch.arange(400, 590)
    solve_ridge(model, gather, targets, torch.arange(5, 390), valid, penalty=0.01, quantiles=(0.1, 0.9))
    numbers = model(*gather(valid)).reshape(190, 2, 1, 3)
    inside = (targets[valid] >= numbers[..., 1]) & (targets[valid] <= numbers[..., 2])
    assert 0.78 < inside.float().mean() < 0.82


def test_quantiles_without_validation_windows_are_of_errors_unseen() -> None:
    noise = torch.randn(160, 1, generator=torch.Generator().manual_seed(0))
    gather = gather_past(noise, noise[:, 1:], lookback=60, horizon=1)
    targets = target_tensor(noise, 1)
    model = RidgeForecast(channels=1, targets=1, lookback=60, horizon=1, quantiles=2, centre=False)
    rows = torch.arange(59, 159)
    solve_ridge(model, gather, targets, rows, rows[:0], penalty=1e-4, quantiles=(0.1, 0.9))
    weights = model.weight.clone()
    # 60 weights learn 100 windows half by heart; unseen windows lie further off than noise of 1 does
    assert model.spread[0, 0, 1] - model.spread[0, 0, 0] > 2.56
    solve_ridge(model, gather, targets, rows, rows[:30], penalty=1e-4, quantiles=(0.1, 0.9))
    assert torch.equal(weights, model.weight) and model.spread[0, 0, 1] - model.spread[0, 0, 0] < 2.0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot see other columns"):
        RidgeForecast(channels=3, targets=2, lookback=6, horizon=2, shared=True, cross=1)
    with pytest.raises(ValueError, match="at most the lookback"):
        RidgeForecast(channels=3, targets=2, lookback=2, horizon=2, cross=3)
    with pytest.raises(ValueError, match="multiple of 4 heads"):
        PatchTransformerForecast(channels=1, targets=1, lookback=20, horizon=1, width=30)


@pytest.mark.parametrize("size", [1e6, 1e12])
def test_quantiles_without_validation_windows_bear_a_stretch_of_huge_values(size: float) -> None:
    scaled = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    scaled[90:100] *= size
    gather = gather_past(scaled, torch.zeros(200, 0), lookback=8, horizon=2)
    model = RidgeForecast(channels=3, targets=1, lookback=8, horizon=2, cross=4, quantiles=2)
    targets = target_tensor(scaled[:, :1], 2)
    rows = torch.arange(8, 190)
    solve_ridge(model, gather, targets, rows, rows[:0], penalty=0.1, quantiles=(0.1, 0.9))
    assert model.weight.isfinite().all() and model.spread.isfinite().all()


def test_a_subtraction_that_leaves_rounding_is_not_made() -> None:
    def sums(size: float) -> Moments:
        return Moments(size * torch.eye(3)[None].double(), torch.ones(1, 3, 2), 10)

    assert moments_without(sums(5e6), sums(5e6 - 1)) is None
    left = moments_without(sums(5.0), sums(2.0))
    assert left is not None and left.inputs[0, 0, 0] == 3.0 and left.windows == 0
