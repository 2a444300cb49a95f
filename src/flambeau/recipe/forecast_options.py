"""Options of forecasts of time series."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flambeau.recipe.fields import Auto, Section

Quantile = Annotated[float, Field(gt=0, lt=1)]


class ForecastOptions(Section):
    """What is forecast of a time series, and from what."""

    horizon: Auto[Annotated[int, Field(ge=1, le=10_000)]] = None
    """Rows that are forecast."""
    lookback: Auto[Annotated[int, Field(ge=1, le=100_000)]] = None
    """Rows that a forecast is made from."""
    time: Auto[str] = None
    """The column that tells the time, or several with commas (date and hour); "none" where rows are just in order."""
    series: Auto[str] = None
    """The column that names the series; "none" where there is one series only."""
    known: list[str] = []
    """Columns whose future is known when a forecast is made, such as holidays and planned prices."""
    season: Auto[Annotated[int, Field(ge=0, le=100_000)]] = None
    """Rows after which things repeat, such as 24 of an hourly series; 0 for none."""
    waves: Auto[Annotated[int, Field(ge=0, le=20)]] = None
    """Sines and cosines of the day, the week and the year (or of the season) that a model sees of the rows to come."""
    differences: Auto[Literal["none", "difference", "log_difference"]] = None
    """What is learnt: levels, differences from the last value, or differences of logarithms, which are log-returns."""
    quantiles: Auto[Annotated[list[Quantile], Field(max_length=20)]] = None
    """Quantiles that are forecast beside the mean, such as [0.1, 0.9]; [] for none."""
    penalty: Auto[Annotated[float, Field(ge=0)]] = None
    """Of ridge: the penalty on squared weights, as a share of the mean square of the inputs."""
    shared: Auto[bool] = None
    """Of ridge: one set of weights for all targets, instead of one for each."""
    cross: Auto[Annotated[int, Field(ge=0, le=1000)]] = None
    """Of ridge: last rows of the other columns that a target is forecast from, beside its own."""
    embargo: Auto[Annotated[int, Field(ge=0, le=100_000)]] = None
    """Further rows left out between parts, where neighbouring rows tell of each other longer than the horizon."""
    fee: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """Of prices: share of the price that a change from out to in, or back, costs in the back-test."""
