"""Bundles that forecast, with drawn weights: every model, with and without calendar, known columns and quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from flambeau.deploy.bundle import Bundle
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, Schema, SeriesFacts, TimeUnit
from flambeau.transforms.series import fit_series
from flambeau.transforms.table import TargetScaler

NAMES = ("load", "price", "holiday")
LOOKBACK, HORIZON = 16, 5
MODELS = ("ridge", "linear", "nlinear", "dlinear", "tcn", "lstm_forecast", "patchtst")
SIZES: dict[str, dict[str, Any]] = {
    "ridge": {"shared": False, "cross": 3},
    "linear": {"centre": False},
    "tcn": {"width": 8, "depth": 2},
    "lstm_forecast": {"width": 8},
    "patchtst": {"width": 8, "depth": 1, "patch": 4},
}
WEEK = 604_800


def forecast_bundle(
    model: str = "dlinear",
    *,
    targets: int = 2,
    known: int = 0,
    quantiles: tuple[float, ...] = (0.1, 0.9),
    waves: tuple[tuple[int, int], ...] = (),
    logs: tuple[bool, ...] = (True, False, False),
    unit: TimeUnit = "second",
    several: bool = False,
) -> Bundle:
    """A bundle of three channels, `targets` of which are forecast."""
    random = np.random.default_rng(0)
    rows = np.exp(random.normal(3, 0.5, (200, 3)))
    preparation = fit_series(
        rows, NAMES, targets=targets, known=known, logs=logs, waves=waves,
        lookback=LOOKBACK, horizon=HORIZON, quantiles=quantiles,
    )  # fmt: skip
    facts = SeriesFacts(
        targets=NAMES[:targets],
        past=NAMES[targets : 3 - known],
        known=NAMES[3 - known :],
        time=() if unit == "row" else ("date",),
        series="shop" if several else "",
        names=("north", "south") if several else (),
        unit=unit,
        step=3600 if unit == "second" else 1,
        frequency="hour" if unit == "second" else unit,
        horizon=HORIZON,
        lookback=LOOKBACK,
        quantiles=quantiles,
    )
    columns = tuple(Column(name, "number", low=float(rows.min()), high=float(rows.max())) for name in NAMES)
    more = [Column(name, "date", False, "it tells the time") for name in facts.time]
    schema = Schema("series", "forecast", ",".join(facts.targets), columns=(*columns, *more), series=facts)
    arguments = {
        "channels": 3, "targets": targets, "lookback": LOOKBACK, "horizon": HORIZON, "quantiles": len(quantiles),
        "future": preparation.future, "calendar": preparation.calendar, "centre": True, **SIZES.get(model, {}),
    }  # fmt: skip
    spec = ModelSpec(model, arguments)
    torch.manual_seed(0)
    module = build_model(spec).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return Bundle(schema, spec, preparation, module, TargetScaler(0.0, 1.0))


def past_rows(count: int = 20, *, several: bool = False, ahead: int = 0) -> list[dict[str, Any]]:
    """Rows of the past, the oldest first, one an hour; `ahead` more without targets."""
    random = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    for name in ("north", "south") if several else ("",):
        for place in range(count + ahead):
            day, hour = divmod(place, 24)
            row: dict[str, Any] = {"date": f"2024-03-{day + 1:02d} {hour:02d}:00:00", "holiday": 1.0 + place}
            if place < count:
                row |= {"load": float(np.exp(random.normal(3, 0.3))), "price": float(random.normal(20, 3))}
            else:
                row |= {"load": None, "price": None}
            rows.append({**row, "shop": name} if several else row)
    return rows
