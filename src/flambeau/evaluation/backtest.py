"""What forecasts of a price would have earned, after fees, and whether that is more than luck: mostly it is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.evaluation.forecast_intervals import block_length, block_means

TAIL = 0.025
FEWEST_TRADES = 20


def back_test(
    prices: np.ndarray,
    forecasts: np.ndarray,
    last: np.ndarray,
    *,
    fee: float,
    least: float = 0.0,
    series: np.ndarray | None = None,
    times: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Hold the asset where a rise is forecast, hold nothing otherwise; every change of position costs a fee.

    A position is held for the whole horizon, so only every horizon-th time is traded: no holdings overlap.

    Args:
        prices: (n, horizon) what came, of windows in the order of time, one series behind the other.
        forecasts: (n, horizon) what was forecast.
        last: (n,) the last known prices.
        fee: share of the price that a change from out to in, or back, costs.
        least: smaller moves say no direction, and hold nothing: they are the rounding of float32.
        series, times: (n,) of the windows, where there are several series: each is traded by itself, and what is held
            at the same time counts as one in the intervals and in the growth.
        resamples, seed: of the intervals.

    Returns:
        "trades", "fee"; means a holding of the strategy's net return, of holding always, and of what the strategy
        earned more than the better of holding always and never ("rival"), each {"value", "low", "high"}; "hits":
        directional accuracy with its interval, and "rises", how often the price rose; "said", how often a direction was
        forecast; "edge" and "sentence".

    Raises:
        ValueError: prices that are not above 0.
    """
    when = np.arange(len(last)) if times is None else times
    chosen = np.flatnonzero(np.isin(when, np.unique(when)[:: prices.shape[1]]))
    came, known, when = prices[chosen, -1], last[chosen], when[chosen]
    if not (came > 0).all() or not (known > 0).all():
        raise ValueError("prices: expected numbers above 0, got others")
    move = np.where(np.abs(forecasts[chosen, -1] - known) > least, forecasts[chosen, -1] - known, 0.0)
    returns = came / known - 1
    position = (move > 0).astype(np.float64)
    before = np.append(0.0, position[:-1])
    if series is not None:
        before[np.append(True, np.diff(series[chosen]) != 0)] = 0.0
    changes = np.abs(position - before)
    net = position * returns - fee * changes
    moved = came != known
    hits = np.where(moved & (move != 0), ((move > 0) == (came > known)).astype(np.float64), np.nan)
    rises = float((came > known)[moved].mean()) if moved.any() else 0.0
    held = float(returns.mean()) > 0
    together = np.stack(
        [net, returns, net - returns if held else net, hits, hits - max(rises, 1 - rises)], axis=1
    )
    block = block_length(1, len(np.unique(when)))
    drawn = block_means(together, block=block, resamples=resamples, seed=seed, times=when)
    names = ("strategy", "holding", "difference", "hits", "hits_above_chance")
    report: dict[str, Any] = {
        name: _interval(drawn[:, place], together[:, place]) for place, name in enumerate(names)
    }
    report |= {
        "trades": len(net),
        "fee": fee,
        "changes": int(changes.sum()),
        "said": float((move != 0).mean()),
        "rises": rises,
        "rival": "always" if held else "never",
        "growth": _growth(net, when),
        "growth_of_holding": _growth(returns, when),
    }
    report["edge"] = bool(
        len(net) >= FEWEST_TRADES
        and report["difference"]["low"] > 0
        and report["hits_above_chance"]["low"] > 0
    )
    report["sentence"] = _sentence(report)
    return report


def _growth(returns: np.ndarray, times: np.ndarray) -> float:
    """What 1 grows by, divided evenly among the series of each time."""
    _, places = np.unique(times, return_inverse=True)
    means = np.bincount(places, returns) / np.bincount(places)
    return float(np.prod(1 + means) - 1)


def _interval(drawn: np.ndarray, values: np.ndarray) -> dict[str, float]:
    value = float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
    defined = drawn[np.isfinite(drawn)]
    low, high = np.quantile(defined, [TAIL, 1 - TAIL]) if len(defined) else (value, value)
    return {"value": value, "low": float(low), "high": float(high)}


def _sentence(report: dict[str, Any]) -> str:
    hits, gain = report["hits"], report["difference"]
    if not report["said"]:
        return "No edge: no rise or fall was forecast, prices stay at the last one."
    told = (
        f"directions right {hits['value']:.1%} [{hits['low']:.1%}, {hits['high']:.1%}] of {report['trades']:,} "
        f"holdings (the price rose in {report['rises']:.1%}); after fees of {report['fee']:.2%} a change the strategy "
        f"earned {gain['value']:+.3%} [{gain['low']:+.3%}, {gain['high']:+.3%}] a holding more than holding "
        f"{report['rival']}"
    )
    if report["edge"]:
        return f"An edge on these rows: {told}. It may not last."
    if report["trades"] < FEWEST_TRADES:
        return f"No edge can be told: {report['trades']} holdings are too few. {told[0].upper()}{told[1:]}."
    if gain["high"] < 0:
        return f"No edge but a loss, by more than luck could explain: {told}."
    return f"No edge: {told}; {_why_none(report)}."


def _why_none(report: dict[str, Any]) -> str:
    """Why a strategy that lost no more than by luck has no edge."""
    for name in ("difference", "hits_above_chance"):
        if report[name]["low"] <= 0 <= report[name]["high"]:
            return "an interval includes none"
    return "always saying the commoner direction is right more often, by more than luck could explain"
