"""Made series: an hourly one with a day, a week and a trend, and daily prices that nobody can foresee."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

_START = datetime.datetime(2020, 1, 6)  # a Monday
_FRIDAY = 4


def _red_noise(count: int, random: np.random.Generator, keep: float) -> np.ndarray:
    """(count,) noise of unit deviation, each value of which keeps a share of the one before."""
    drawn = random.normal(size=count) * np.sqrt(1 - keep**2)
    values = np.zeros(count)
    for place in range(count):
        values[place] = keep * (values[place - 1] if place else 0.0) + drawn[place]
    return values


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def make_series(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """Hourly `load` with a daily and a weekly wave and a slow trend, which `temperature` goes ahead of by an hour."""
    hours = np.arange(count)
    temperature = (
        12
        + 6 * np.sin(2 * np.pi * (hours - 9) / 24)
        + 0.002 * hours
        + 3 * noise * _red_noise(count, random, 0.98)
    )
    weekend = (hours // 24) % 7 >= 5
    load = (
        100
        + 15 * np.sin(2 * np.pi * (hours - 7) / 24)
        + 6 * np.sin(4 * np.pi * hours / 24)
        - 12 * weekend
        + 0.005 * hours
        - 1.5 * (np.roll(temperature, 1) - 12)
        + 4 * noise * _red_noise(count, random, 0.7)
    )
    dates = (_START + datetime.timedelta(hours=int(hour)) for hour in hours)
    rows = (
        [date.strftime("%Y-%m-%d %H:%M:%S"), f"{one:.3f}", f"{other:.3f}"]
        for date, one, other in zip(dates, load, temperature, strict=True)
    )
    _write(folder / "series.csv", ["date", "load", "temperature"], rows)


def trading_days(count: int) -> list[datetime.date]:
    """So many weekdays from the first Monday of 2020 on, without New Year's Day and Christmas."""
    days: list[datetime.date] = []
    day = _START.date()
    while len(days) < count:
        if day.weekday() <= _FRIDAY and (day.month, day.day) not in ((1, 1), (12, 25)):
            days.append(day)
        day += datetime.timedelta(days=1)
    return days


def make_prices(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """Open, high, low, close and volume a trading day: a random walk whose size clusters, so that no edge is real.

    With a noise of 0 the walk keeps half of each day's return, which a model must find.
    """
    size = 0.012 * np.exp(0.5 * _red_noise(count, random, 0.95))
    keep = 0.5 * max(0.0, 1 - noise)
    returns = size * _red_noise(count, random, keep) + 0.0002
    close = 100 * np.exp(np.cumsum(returns))
    before = np.concatenate([[100.0], close[:-1]])
    opened = before * np.exp(0.3 * size * random.normal(size=count))
    high = np.maximum(opened, close) * np.exp(0.4 * size * abs(random.normal(size=count)))
    low = np.minimum(opened, close) * np.exp(-0.4 * size * abs(random.normal(size=count)))
    volume = 1e6 * np.exp(20 * size + 0.2 * random.normal(size=count))
    columns = zip(trading_days(count), opened, high, low, close, volume, strict=True)
    rows = (
        [day.isoformat(), *(f"{price:.4f}" for price in prices), f"{sold:.0f}"]
        for day, *prices, sold in columns
    )
    _write(folder / "prices.csv", ["Date", "Open", "High", "Low", "Close", "Volume"], rows)
