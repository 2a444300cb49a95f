"""Losses of forecasts: (outputs, targets) → a scalar that is a mean over windows.

Outputs are (batch, horizon · targets · (1 + quantiles)), targets (batch, horizon, targets): of each row to come the
forecast, and behind it its quantiles, whose pinball losses are added. The losses of trading take targets
(batch, 1 + horizon, targets), the first row of which is the last known one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from flambeau.training.losses import in_full

LEAST_VARIANCE = 1e-8


def forecast_parts(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Forecasts (batch, horizon, targets) and their quantiles (batch, horizon, targets, quantiles)."""
    numbers = in_full(outputs).reshape(*targets.shape, -1)
    return numbers[..., 0], numbers[..., 1:]


def pinball(forecasts: Tensor, targets: Tensor, quantiles: Sequence[float]) -> Tensor:
    """The mean pinball loss of quantiles (..., quantiles) of targets (...), which is least at the true quantiles."""
    levels = torch.tensor(list(quantiles), dtype=forecasts.dtype, device=forecasts.device)
    above = targets[..., None] - forecasts
    return torch.maximum(levels * above, (levels - 1) * above).mean()


def with_quantiles(loss: Tensor, forecasts: Tensor, targets: Tensor, quantiles: Sequence[float]) -> Tensor:
    """A loss of the points, and that of the quantiles where there are any."""
    return loss + pinball(forecasts, targets, quantiles) if len(quantiles) else loss


def forecast_mse_loss(outputs: Tensor, targets: Tensor, *, quantiles: Sequence[float] = ()) -> Tensor:
    """Mean squared error in scaled units."""
    points, spread = forecast_parts(outputs, targets)
    return with_quantiles(F.mse_loss(points, targets), spread, targets, quantiles)


def forecast_l1_loss(outputs: Tensor, targets: Tensor, *, quantiles: Sequence[float] = ()) -> Tensor:
    """Mean absolute error in scaled units."""
    points, spread = forecast_parts(outputs, targets)
    return with_quantiles(F.l1_loss(points, targets), spread, targets, quantiles)


def forecast_huber_loss(
    outputs: Tensor, targets: Tensor, *, delta: float, quantiles: Sequence[float] = ()
) -> Tensor:
    """Half the squared error, from `delta` on a straight line (Huber 1964), in scaled units."""
    points, spread = forecast_parts(outputs, targets)
    return with_quantiles(F.huber_loss(points, targets, delta=delta), spread, targets, quantiles)


def forecast_quantile_loss(
    outputs: Tensor, targets: Tensor, *, quantile: float, quantiles: Sequence[float] = ()
) -> Tensor:
    """The pinball loss of one quantile (Koenker and Bassett 1978) as the forecast itself."""
    points, spread = forecast_parts(outputs, targets)
    return with_quantiles(pinball(points[..., None], targets, (quantile,)), spread, targets, quantiles)


def forecast_directional_loss(outputs: Tensor, targets: Tensor, *, sharpness: float = 20.0) -> Tensor:
    """A forecast on the wrong side of the last value costs as much as the price moved; the size of errors costs little.

    With the move m = y − last and the forecast move f, the mean of |m| · softplus(−sharpness · sign(m) · f), and a
    tenth of the squared error, which keeps forecasts in the range of prices.

    Args:
        outputs: (batch, horizon · targets).
        targets: (batch, 1 + horizon, targets), the last known row first.
        sharpness: how soon a forecast counts as one of a rise, in deviations of the target.
    """
    last, aims = targets[:, :1], targets[:, 1:]
    points, _ = forecast_parts(outputs, aims)
    moves, forecast = aims - last, points - last
    wrong = F.softplus(-sharpness * moves.sign() * forecast)
    return (moves.abs() * wrong).mean() + 0.1 * F.mse_loss(points, aims)


def forecast_sharpe_loss(outputs: Tensor, targets: Tensor, *, sharpness: float = 20.0) -> Tensor:
    """Minus the Sharpe ratio of holding tanh(sharpness · forecast move) of the asset (Moody and Saffell 2001).

    It compares the windows of a batch with each other, so it is no mean over windows: a batch accumulated in parts is
    another loss than the whole batch.

    Args:
        outputs, targets, sharpness: as for `forecast_directional_loss`.
    """
    last, aims = targets[:, :1], targets[:, 1:]
    points, _ = forecast_parts(outputs, aims)
    gains = torch.tanh(sharpness * (points - last)) * (aims - last)
    gains = gains.flatten(1).mean(1)
    spread = (gains.square().mean() - gains.mean().square()).clamp(min=0) + LEAST_VARIANCE
    return -gains.mean() / spread.sqrt()
