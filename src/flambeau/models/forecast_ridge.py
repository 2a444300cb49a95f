"""Ridge regression on windows: each row to come is a linear function of the last rows, solved in closed form.

Centred on the last value, it scores with far larger nets (Zeng et al. 2023, "Are transformers effective for time series
forecasting?"; Toner and Darlow 2024, "An analysis of linear time series forecasting models").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

SOLVED_AT_ONCE = 2**22
# A penalty so large that nothing is left of the weights: forecasts stay at the last value, exactly.
NO_WEIGHTS = 1e6
# Stretches of the training windows that are forecast by the others, where there are no validation windows.
STRETCHES = 5
# Sums of squares of which less than this share is left by a subtraction are too much of rounding.
LEAST_LEFT = 1e-6


class RidgeForecast(nn.Module):
    """Forecasts of each target from its own last rows, the last rows of other columns, and what is known of the future.

    Args:
        channels: columns of the past; the targets are the first of them.
        targets: columns that are forecast.
        lookback: rows of the past.
        horizon: rows that are forecast.
        quantiles: numbers beside each forecast; see `set_spread`.
        future: columns known of the rows to come.
        calendar: how many of these, the first ones, are sines and cosines: of them only the next row's are seen, as
            those of all later rows are linear functions of them.
        centre: whether the past is seen as differences from the last value, which are forecast too.
        shared: one set of weights for all targets.
        cross: last rows of all other columns that a target is forecast from.
    """

    spread: Tensor

    def __init__(
        self,
        *,
        channels: int,
        targets: int,
        lookback: int,
        horizon: int,
        quantiles: int = 0,
        future: int = 0,
        calendar: int = 0,
        centre: bool = True,
        shared: bool = False,
        cross: int = 0,
    ) -> None:
        super().__init__()
        if shared and cross:
            raise ValueError(f"weights that targets share cannot see other columns: got cross={cross}")
        if cross > lookback:
            raise ValueError(f"cross: expected at most the lookback of {lookback} rows, got {cross}")
        self.targets, self.horizon, self.quantiles = targets, horizon, quantiles
        self.calendar, self.centre, self.cross = calendar, centre, cross
        self.features = lookback + cross * channels + calendar + (future - calendar) * horizon
        sets = 1 if shared else targets
        self.weight = nn.Parameter(torch.zeros(sets, self.features, horizon))
        self.bias = nn.Parameter(torch.zeros(sets, 1, horizon))
        self.register_buffer("spread", torch.zeros(horizon, targets, quantiles))

    def inputs_of(self, past: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(batch, targets, features) that the weights are for, and (batch, targets, 1) where forecasts begin."""
        own = past[:, :, : self.targets].transpose(1, 2)
        last = own[:, :, -1:] if self.centre else torch.zeros_like(own[:, :, -1:])
        parts = [own - last]
        if self.cross:
            others = past[:, past.shape[1] - self.cross :].flatten(1)
            parts.append(others[:, None].expand(-1, self.targets, -1))
        if known is not None:
            waves, columns = known[:, 0, : self.calendar], known[:, :, self.calendar :].flatten(1)
            parts.append(torch.cat([waves, columns], 1)[:, None].expand(-1, self.targets, -1))
        return torch.cat(parts, 2), last

    def forward(self, past: Tensor, known: Tensor | None = None) -> Tensor:
        """(batch, lookback, channels) and (batch, horizon, future) → (batch, horizon · targets · (1 + quantiles))."""
        features, last = self.inputs_of(past, known)
        points = torch.matmul(features.transpose(0, 1), self.weight) + self.bias
        points = (points.transpose(0, 1) + last).transpose(1, 2)
        if not self.quantiles:
            return points.flatten(1)
        return torch.cat([points[..., None], points[..., None] + self.spread], 3).flatten(1)


class Moments(NamedTuple):
    """Sums over windows, of each target: all that ridge needs to know of them.

    Args:
        inputs: (targets, features + 1, features + 1) products of the inputs, a constant last.
        outputs: (targets, features + 1, horizon) products of inputs and what is forecast.
        windows: how many they are.
    """

    inputs: Tensor
    outputs: Tensor
    windows: int


def window_moments(
    model: RidgeForecast, gather: Callable[[Tensor], tuple[Tensor, ...]], targets: Tensor, rows: Tensor
) -> Moments:
    """Sums in float64 over the windows of these rows.

    Args:
        model: says what the inputs are.
        gather: rows → past and known.
        targets: (all rows, horizon, targets).
        rows: (n,) int64 of the windows.
    """
    size = model.features + 1
    inputs = torch.zeros(model.targets, size, size, dtype=torch.float64, device=targets.device)
    outputs = torch.zeros(model.targets, size, model.horizon, dtype=torch.float64, device=targets.device)
    step = max(1, SOLVED_AT_ONCE // (model.targets * (size + model.horizon)))
    for some in rows.split(step):
        features, last = model.inputs_of(*gather(some))
        aims = targets.index_select(0, some.to(targets.device)).transpose(1, 2).double() - last.double()
        ones = torch.ones_like(features[:, :, :1])
        seen = torch.cat([features, ones], 2).double().transpose(0, 1)
        aims = aims.transpose(0, 1)
        inputs += seen.transpose(1, 2) @ seen
        outputs += seen.transpose(1, 2) @ aims
    return Moments(inputs, outputs, len(rows))


def ridge_weights(moments: Moments, penalty: float, *, shared: bool = False, drift: bool = False) -> Tensor:
    """The weights that make squared errors and the penalty least.

    Args:
        moments: of the training windows.
        penalty: as a share of the mean square of an input.
        shared: one set for all targets.
        drift: whether the constant is a drift from the last value, and is penalised too, so that a large penalty ends
            at the last value; a constant of levels is not penalised.

    Returns:
        (sets, features + 1, horizon) float64.
    """
    inputs, outputs = moments.inputs, moments.outputs
    if shared:
        inputs, outputs = inputs.sum(0, keepdim=True), outputs.sum(0, keepdim=True)
    size = inputs.shape[1] - 1
    diagonal = inputs.diagonal(dim1=1, dim2=2)[:, :size]
    # a floor far below any use keeps the system solvable where inputs repeat each other
    strength = (penalty + 1e-9) * diagonal.mean(1, keepdim=True) + 1e-12
    punished = torch.cat([strength.expand(-1, size), strength if drift else torch.zeros_like(strength)], 1)
    factor = torch.linalg.cholesky(inputs + torch.diag_embed(punished))
    return torch.cholesky_solve(outputs, factor)


def solve_ridge(
    model: RidgeForecast,
    gather: Callable[[Tensor], tuple[Tensor, ...]],
    targets: Tensor,
    train_rows: Tensor,
    valid_rows: Tensor,
    *,
    penalty: float,
    quantiles: Sequence[float] = (),
) -> None:
    """Give the model the weights of ridge regression on the training windows, and the spread of its errors.

    Args:
        model: changed in place.
        gather: rows → past and known.
        targets: (all rows, horizon, targets) scaled.
        train_rows: (n,) windows to solve on.
        valid_rows: windows that quantiles of the errors are taken from, where there are any; otherwise the training
            windows, each stretch of them forecast by weights that have not seen it.
        penalty: as a share of the mean square of an input.
        quantiles: of the forecast errors, for the quantiles that are forecast beside the mean.
    """
    with torch.no_grad():
        moments = window_moments(model, gather, targets, train_rows)
        shared = len(model.weight) < model.targets
        give_weights(model, moments, penalty, shared)
        if not quantiles:
            return
        if len(valid_rows):
            errors = point_errors(model, gather, targets, valid_rows)
        else:
            errors = unseen_errors(model, gather, targets, train_rows, moments, penalty)
            give_weights(model, moments, penalty, shared)
        model.spread.copy_(error_quantiles(errors, quantiles))


def give_weights(model: RidgeForecast, moments: Moments, penalty: float, shared: bool) -> None:
    """Put the weights of ridge regression into the model; exactly none for a penalty of `NO_WEIGHTS`."""
    weights = ridge_weights(moments, penalty, shared=shared, drift=model.centre)
    if model.centre and penalty >= NO_WEIGHTS:
        weights = torch.zeros_like(weights)
    model.weight.copy_(weights[:, :-1])
    model.bias.copy_(weights[:, -1:])


def moments_without(moments: Moments, part: Moments) -> Moments | None:
    """The sums over the windows outside of a part; None where the part is so large that nothing exact is left."""
    others = Moments(
        moments.inputs - part.inputs, moments.outputs - part.outputs, moments.windows - part.windows
    )
    left, taken = (one.inputs.diagonal(dim1=1, dim2=2)[:, :-1].sum(1) for one in (others, part))
    return None if bool((left < LEAST_LEFT * taken).any()) else others


def unseen_errors(
    model: RidgeForecast,
    gather: Callable[[Tensor], tuple[Tensor, ...]],
    targets: Tensor,
    rows: Tensor,
    moments: Moments,
    penalty: float,
) -> Tensor:
    """(n, horizon, targets) errors of windows by weights of the windows outside of their stretch (cross-conformal
    prediction, Vovk 2015). Leaves the weights of the last stretch in the model.

    Args:
        model, gather, targets, penalty: as for `solve_ridge`.
        rows: (n,) training windows in the order of the data.
        moments: of all of them.
    """
    errors = []
    for some in rows.tensor_split(min(STRETCHES, len(rows))):
        others = moments_without(moments, window_moments(model, gather, targets, some))
        if others is None:  # little but rounding is left of the sums of the others
            apart = (rows < some[0]) | (rows > some[-1])
            others = window_moments(model, gather, targets, rows[apart])
        if others.windows:
            give_weights(model, others, penalty, len(model.weight) < model.targets)
        # windows at the borders share rows of their targets with the stretch beside them
        inner = (some >= some[0] + model.horizon - 1) & (some <= some[-1] - model.horizon + 1)
        errors.append(point_errors(model, gather, targets, some[inner] if inner.any() else some))
    return torch.cat(errors)


def point_errors(
    model: RidgeForecast, gather: Callable[[Tensor], tuple[Tensor, ...]], targets: Tensor, rows: Tensor
) -> Tensor:
    """(n, horizon, targets) float64: how far what came lay above the point forecasts of these windows."""
    model.spread.zero_()
    errors = []
    for some in rows.split(1024):
        flat = model(*gather(some))
        points = flat.reshape(len(some), model.horizon, model.targets, 1 + model.quantiles)[..., 0]
        errors.append(targets.index_select(0, some.to(targets.device)) - points)
    return torch.cat(errors).double()


def error_quantiles(errors: Tensor, quantiles: Sequence[float]) -> Tensor:
    """(horizon, targets, quantiles) float64 of errors (n, horizon, targets).

    Those of windows that were not trained on hold on new ones as often as they say, as far as these are alike (split
    conformal prediction, Vovk et al. 2005).
    """
    wanted = torch.tensor(list(quantiles), dtype=torch.float64, device=errors.device)
    # one row of the horizon at a time: torch.quantile takes at most 16 million numbers
    found = [torch.quantile(errors[:, step], wanted, dim=0) for step in range(errors.shape[1])]
    return torch.stack(found).permute(0, 2, 1)
