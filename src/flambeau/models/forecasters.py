"""From the name of a model of time series to the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from flambeau.models.forecast import (
    DLinearForecast,
    LinearForecast,
    LSTMForecast,
    PatchTransformerForecast,
    TCNForecast,
)
from flambeau.models.forecast_ridge import RidgeForecast

FORECASTERS: dict[str, Callable[..., nn.Module]] = {
    "ridge": RidgeForecast,
    "linear": LinearForecast,
    "nlinear": LinearForecast,
    "dlinear": DLinearForecast,
    "tcn": TCNForecast,
    # texts have an lstm of their own
    "lstm_forecast": LSTMForecast,
    "patchtst": PatchTransformerForecast,
}


def build_forecaster(name: str, arguments: dict[str, Any]) -> nn.Module:
    """The model of that name with fresh weights. Raises KeyError for an unknown name."""
    return FORECASTERS[name](**arguments)
