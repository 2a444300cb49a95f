"""Nets that forecast windows of time series: linear ones, a convolutional, a recurrent and an attentive one.

All take the past (batch, lookback, channels), whose first channels are the targets, and what is known of the rows to
come (batch, horizon, future), and give (batch, horizon · targets · (1 + quantiles)): of each row to come and each
target the forecast, then its quantiles.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FutureEffect(nn.Module):
    """What is known of a row to come adds to its forecast, linearly; nothing where nothing is known.

    Args:
        future: columns known of the rows to come.
        targets: columns that are forecast.
        numbers: of each forecast: itself and its quantiles.
    """

    def __init__(self, future: int, targets: int, numbers: int) -> None:
        super().__init__()
        self.effect = nn.Linear(future, targets * numbers) if future else None
        if self.effect is not None:
            nn.init.zeros_(self.effect.weight)
            nn.init.zeros_(self.effect.bias)

    def forward(self, forecasts: Tensor, known: Tensor | None) -> Tensor:
        """(batch, horizon, targets, numbers) and (batch, horizon, future) → the first, changed."""
        if self.effect is None or known is None:
            return forecasts
        return forecasts + self.effect(known).reshape(forecasts.shape)


def begin_at_last(past: Tensor, centre: bool) -> tuple[Tensor, Tensor]:
    """The past as differences from its last row, if it is to be centred, and that row (batch, 1, channels) or zeros."""
    last = past[:, -1:] if centre else torch.zeros_like(past[:, -1:])
    return past - last, last


def from_last(forecasts: Tensor, last: Tensor) -> Tensor:
    """(batch, horizon, targets, numbers) from the last row (batch, 1, channels) on, as (batch, outputs)."""
    return (forecasts + last[:, :, : forecasts.shape[2], None]).flatten(1)


class LinearForecast(nn.Module):
    """One linear layer from the last rows of a target to its rows to come, the same one for all targets.

    Centred on the last value it is NLinear (Zeng et al. 2023, "Are transformers effective for time series
    forecasting?").

    Args:
        channels, targets, lookback, horizon, quantiles, future: as said above.
        calendar: how many columns of the future are calendar features; of no effect here.
        centre: whether the past is seen as differences from its last row.
    """

    def __init__(
        self, *, channels: int, targets: int, lookback: int, horizon: int, quantiles: int = 0, future: int = 0,
        calendar: int = 0, centre: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.targets, self.horizon, self.numbers, self.centre = targets, horizon, 1 + quantiles, centre
        self.layer = nn.Linear(lookback, horizon * self.numbers)
        self.future = FutureEffect(future, targets, self.numbers)
        begin_even(self.layer)

    def forward(self, past: Tensor, known: Tensor | None = None) -> Tensor:
        """See the top of this file."""
        window, last = begin_at_last(past, self.centre)
        rows = self.layer(window[:, :, : self.targets].transpose(1, 2))
        forecasts = rows.unflatten(2, (self.horizon, self.numbers)).transpose(1, 2)
        return from_last(self.future(forecasts, known), last)


def begin_even(layer: nn.Linear) -> None:
    """Let a layer begin as the mean of its inputs, as the linear forecasters of Zeng et al. do."""
    nn.init.constant_(layer.weight, 1 / layer.in_features)
    nn.init.zeros_(layer.bias)


class DLinearForecast(nn.Module):
    """Trend and rest, each by a linear layer (DLinear, Zeng et al. 2023).

    Args:
        channels, targets, lookback, horizon, quantiles, future, calendar, centre: as for `LinearForecast`.
        kernel: rows of the moving average that is taken for the trend.
    """

    def __init__(
        self, *, channels: int, targets: int, lookback: int, horizon: int, quantiles: int = 0, future: int = 0,
        calendar: int = 0, centre: bool = True, kernel: int = 25,
    ) -> None:  # fmt: skip
        super().__init__()
        self.targets, self.horizon, self.numbers, self.centre = targets, horizon, 1 + quantiles, centre
        self.kernel = min(kernel, lookback)
        self.trend = nn.Linear(lookback, horizon * self.numbers)
        self.rest = nn.Linear(lookback, horizon * self.numbers)
        self.future = FutureEffect(future, targets, self.numbers)
        begin_even(self.trend)
        begin_even(self.rest)

    def forward(self, past: Tensor, known: Tensor | None = None) -> Tensor:
        """See the top of this file."""
        window, last = begin_at_last(past, self.centre)
        own = window[:, :, : self.targets].transpose(1, 2)
        before = (self.kernel - 1) // 2
        padded = torch.cat(
            [
                own[:, :, :1].expand(-1, -1, before),
                own,
                own[:, :, -1:].expand(-1, -1, self.kernel - 1 - before),
            ],
            2,
        )
        trend = F.avg_pool1d(padded, self.kernel, stride=1)
        rows = self.trend(trend) + self.rest(own - trend)
        forecasts = rows.unflatten(2, (self.horizon, self.numbers)).transpose(1, 2)
        return from_last(self.future(forecasts, known), last)


class CausalBlock(nn.Module):
    """Two convolutions that see no later row, and what came in added to what goes out (Bai et al. 2018).

    Args:
        width: channels.
        kernel: rows of a convolution.
        dilation: rows between those that it sees.
        dropout: share of values dropped in training.
    """

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.first = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.second = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.drop = nn.Dropout(dropout)

    def forward(self, rows: Tensor) -> Tensor:
        """(batch, width, rows) → the same shape."""
        inner = self.drop(F.relu(self.first(F.pad(rows, (self.reach, 0)))))
        inner = self.drop(F.relu(self.second(F.pad(inner, (self.reach, 0)))))
        return F.relu(rows + inner)


class TCNForecast(nn.Module):
    """A temporal convolutional net over all channels: each block sees twice as far back (Bai et al. 2018).

    Args:
        channels, targets, lookback, horizon, quantiles, future, calendar, centre: as for `LinearForecast`.
        width: channels of the net.
        depth: blocks, whose dilations are 1, 2, 4 and so on.
        dropout: share of values dropped in training.
    """

    def __init__(
        self, *, channels: int, targets: int, lookback: int, horizon: int, quantiles: int = 0, future: int = 0,
        calendar: int = 0, centre: bool = True, width: int = 32, depth: int = 5, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.targets, self.horizon, self.numbers, self.centre = targets, horizon, 1 + quantiles, centre
        self.begin = nn.Conv1d(channels, width, 1)
        self.blocks = nn.Sequential(*(CausalBlock(width, 3, 2**level, dropout) for level in range(depth)))
        self.head = nn.Linear(width, horizon * targets * self.numbers)
        self.future = FutureEffect(future, targets, self.numbers)

    def forward(self, past: Tensor, known: Tensor | None = None) -> Tensor:
        """See the top of this file."""
        window, last = begin_at_last(past, self.centre)
        seen = self.blocks(self.begin(window.transpose(1, 2)))[:, :, -1]
        forecasts = self.head(seen).unflatten(1, (self.horizon, self.targets, self.numbers))
        return from_last(self.future(forecasts, known), last)


class LSTMForecast(nn.Module):
    """A long short-term memory over all channels, and a linear layer on what it holds at the end (Hochreiter 1997).

    Args:
        channels, targets, lookback, horizon, quantiles, future, calendar, centre: as for `LinearForecast`.
        width: units of a layer.
        depth: layers.
        dropout: share of values dropped between the layers and before the last one, in training.
    """

    def __init__(
        self, *, channels: int, targets: int, lookback: int, horizon: int, quantiles: int = 0, future: int = 0,
        calendar: int = 0, centre: bool = True, width: int = 64, depth: int = 1, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.targets, self.horizon, self.numbers, self.centre = targets, horizon, 1 + quantiles, centre
        self.memory = nn.LSTM(channels, width, depth, batch_first=True, dropout=dropout if depth > 1 else 0.0)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, horizon * targets * self.numbers)
        self.future = FutureEffect(future, targets, self.numbers)

    def forward(self, past: Tensor, known: Tensor | None = None) -> Tensor:
        """See the top of this file."""
        window, last = begin_at_last(past, self.centre)
        held = self.memory(window)[0][:, -1]
        forecasts = self.head(self.drop(held)).unflatten(1, (self.horizon, self.targets, self.numbers))
        return from_last(self.future(forecasts, known), last)


class PatchBlock(nn.Module):
    """Attention over patches and a feed-forward layer, each behind a normalisation (pre-norm transformer).

    Args:
        width: numbers a patch.
        heads: of the attention.
        dropout: share of values dropped in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.mixed = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.before_layers = nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, patches: Tensor) -> Tensor:
        """(rows, patches, width) → the same shape."""
        parts = self.mixed(self.before_attention(patches)).unflatten(2, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        patches = patches + self.drop(self.joined(seen))
        return patches + self.drop(self.layers(self.before_layers(patches)))


class PatchTransformerForecast(nn.Module):
    """A transformer over patches of each target by itself (Nie et al. 2023, PatchTST).

    Args:
        channels, targets, lookback, horizon, quantiles, future, calendar, centre: as for `LinearForecast`.
        width: numbers a patch.
        depth: blocks.
        dropout: share of values dropped in training.
        patch: rows of a patch; they overlap by half.
        heads: of the attention.
    """

    def __init__(
        self, *, channels: int, targets: int, lookback: int, horizon: int, quantiles: int = 0, future: int = 0,
        calendar: int = 0, centre: bool = True, width: int = 64, depth: int = 2, dropout: float = 0.2, patch: int = 16,
        heads: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        if width % heads:
            raise ValueError(f"width: expected a multiple of {heads} heads, got {width}")
        self.targets, self.horizon, self.numbers, self.centre = targets, horizon, 1 + quantiles, centre
        self.patch = min(patch, lookback)
        self.stride = max(1, self.patch // 2)
        count = (lookback - self.patch) // self.stride + 1
        self.skipped = lookback - self.patch - (count - 1) * self.stride
        self.embed = nn.Linear(self.patch, width)
        self.places = nn.Parameter(torch.randn(count, width) * 0.02)
        self.blocks = nn.Sequential(*(PatchBlock(width, heads, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(count * width, horizon * self.numbers)
        self.future = FutureEffect(future, targets, self.numbers)

    def forward(self, past: Tensor, known: Tensor | None = None) -> Tensor:
        """See the top of this file."""
        window, last = begin_at_last(past, self.centre)
        own = window[:, self.skipped :, : self.targets].transpose(1, 2)
        patches = own.unfold(2, self.patch, self.stride).flatten(0, 1)
        seen = self.norm(self.blocks(self.embed(patches) + self.places))
        rows = self.head(self.drop(seen.flatten(1)))
        forecasts = (
            rows.unflatten(1, (self.horizon, self.numbers)).unflatten(0, (-1, self.targets)).transpose(1, 2)
        )
        return from_last(self.future(forecasts, known), last)
