"""Windows in own units to what a forecasting model takes, and its outputs back again, inside an exported graph.

The arithmetic is that of `flambeau.transforms.series`, in float64; tests compare both.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flambeau.deploy.export.normal import float64
from flambeau.evaluation.evaluate import outputs_to_predictions
from flambeau.transforms.series import LARGEST_LOG_VALUE, MONDAY, SECONDS_A_WEEK, SeriesPreparation, Wave


class SeriesWindows(nn.Module):
    """Raw windows to scaled ones; equal to `SeriesPreparation.transform` and `transform_future`.

    Args:
        preparation: of the bundle.

    Shapes: past (batch, lookback, channels) float64; then times (batch, horizon) int64, seconds since 1970 of the rows
    to come, where the preparation has waves; then future (batch, horizon, known) float64, where it has known channels
    → past (batch, lookback, channels) float32, and (batch, horizon, future) float32 where there is anything.
    """

    mean: Tensor
    std: Tensor
    logs: Tensor

    def __init__(self, preparation: SeriesPreparation) -> None:
        super().__init__()
        channels = preparation.channels
        self.waves, self.known = preparation.waves, preparation.known
        self.any_log = any(channel.log for channel in channels)
        self.register_buffer("mean", torch.tensor([one.mean for one in channels], dtype=torch.float64))
        self.register_buffer("std", torch.tensor([one.std for one in channels], dtype=torch.float64))
        self.register_buffer("logs", torch.tensor([one.log for one in channels]))

    def forward(self, past: Tensor, *ahead: Tensor) -> tuple[Tensor, ...]:
        scaled = self._scale(past, 0)
        if not ahead:
            return (scaled,)
        blocks = []
        if self.waves:
            blocks.append(
                torch.stack([one for wave in self.waves for one in wave_features(ahead[0], wave)], dim=2)
            )
        if self.known:
            blocks.append(self._scale(ahead[-1], len(self.mean) - self.known))
        return scaled, torch.cat([block.to(torch.float32) for block in blocks], dim=2)

    def _scale(self, values: Tensor, first: int) -> Tensor:
        """Scaled float32 of the channels from `first` on."""
        if self.any_log:
            nothing = torch.full_like(values, math.nan)
            logarithms = torch.log(torch.where(values > 0.0, values, nothing))
            values = torch.where(self.logs[first:], logarithms, values)
        return ((values - self.mean[first:]) / self.std[first:]).to(torch.float32)


def wave_features(times: Tensor, wave: Wave) -> list[Tensor]:
    """(batch, horizon) int64 times → sin 1, cos 1, sin 2, … of one period, each float64; as `wave_values`."""
    shifted = times - (MONDAY if wave.period == SECONDS_A_WEEK else 0)
    phase = torch.remainder(shifted, wave.period).to(torch.float64) / float64(wave.period)
    return [
        turn(float64(2 * math.pi * order) * phase)
        for order in range(1, wave.orders + 1)
        for turn in (torch.sin, torch.cos)
    ]


class ForecastAnswer(nn.Module):
    """Prepared windows to forecasts in own units, as `SeriesPreparation.restore` gives them.

    Args:
        model: the trained module.
        preparation: of the bundle.

    Shapes: the model's inputs → (batch, horizon, targets, 1 + quantiles) float64.
    """

    mean: Tensor
    std: Tensor
    logs: Tensor

    def __init__(self, model: nn.Module, preparation: SeriesPreparation) -> None:
        super().__init__()
        self.model = model
        targets = preparation.channels[: preparation.targets]
        self.quantiles = len(preparation.quantiles)
        self.shape = (preparation.horizon, preparation.targets, 1 + self.quantiles)
        self.any_log = any(channel.log for channel in targets)
        for name, values in (("mean", [one.mean for one in targets]), ("std", [one.std for one in targets])):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64)[:, None])
        self.register_buffer("logs", torch.tensor([one.log for one in targets])[:, None])

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs = outputs_to_predictions(self.model(*inputs), "forecast").to(torch.float64)
        values = outputs.reshape(-1, *self.shape) * self.std + self.mean
        if self.any_log:
            values = torch.where(self.logs, torch.exp(values.minimum(float64(LARGEST_LOG_VALUE))), values)
        if self.quantiles < 2:
            return values
        return torch.stack([values[..., 0], *sorted_columns(values[..., 1:])], dim=-1)


def sorted_columns(values: Tensor) -> list[Tensor]:
    """The slices of the last dimension, sorted value by value: pairs are exchanged, which every format can.

    Odd and even neighbours in turn, as many rounds as there are slices (Knuth, "The Art of Computer Programming",
    volume 3, section 5.3.4).
    """
    columns = list(values.unbind(-1))
    for round_number in range(len(columns)):
        for place in range(round_number % 2, len(columns) - 1, 2):
            low, high = columns[place], columns[place + 1]
            columns[place], columns[place + 1] = torch.minimum(low, high), torch.maximum(low, high)
    return columns
