"""Time series to what a model takes: scaled channels, calendar features of the rows to come, and back again.

Everything is elementwise in time, so that the whole series is prepared once and every window is a view of it. What is
learned from data (logarithm or not, centre, spread) is fitted once, on training rows only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

SECONDS_A_DAY = 86_400
SECONDS_A_WEEK = 604_800
LARGEST_LOG_VALUE = 80.0
MONDAY = 4 * SECONDS_A_DAY  # 1970 began on a Thursday


@dataclass(frozen=True)
class ChannelScale:
    """How one channel becomes small numbers.

    Args:
        column: the column that it comes from.
        log: whether its logarithm is taken first; changes of it are then log-returns.
        mean, std: of the training rows, after the logarithm.
    """

    column: str
    log: bool
    mean: float
    std: float

    def scale(self, values: np.ndarray) -> np.ndarray:
        """Own units → scaled float64, same shape. Under a logarithm, values of 0 or less become NaN."""
        exact = np.asarray(values, dtype=np.float64)
        if self.log:
            exact = np.log(np.where(exact > 0, exact, np.nan))
        return (exact - self.mean) / self.std

    def restore(self, scaled: np.ndarray) -> np.ndarray:
        """Scaled → own units, float64, same shape. Above e^80 a logarithm is taken for one that went astray."""
        exact = np.asarray(scaled, dtype=np.float64) * self.std + self.mean
        return np.exp(np.minimum(exact, LARGEST_LOG_VALUE)) if self.log else exact


@dataclass(frozen=True)
class Wave:
    """Sines and cosines of one period.

    Args:
        period: in seconds, or in rows where rows have no time.
        orders: so many of each: periods, halves, thirds and so on.
    """

    period: int
    orders: int


@dataclass(frozen=True)
class SeriesPreparation:
    """What was learned from the training rows of time series, and how windows are cut from them.

    Args:
        channels: targets first, then columns known up to now, then those whose future is known.
        targets: how many channels are forecast.
        known: how many channels, the last ones, are known for the rows to come.
        waves: calendar features of the rows to come.
        lookback: rows that a forecast is made from.
        horizon: rows that are forecast.
        quantiles: that are forecast beside the mean.
    """

    channels: tuple[ChannelScale, ...]
    targets: int
    known: int
    waves: tuple[Wave, ...]
    lookback: int
    horizon: int
    quantiles: tuple[float, ...] = ()

    @property
    def calendar(self) -> int:
        """Columns of calendar features."""
        return sum(2 * wave.orders for wave in self.waves)

    @property
    def future(self) -> int:
        """Columns that are known of the rows to come: calendar features, then the known channels."""
        return self.calendar + self.known

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Scale whole series, or any part of them.

        Args:
            values: (rows, channels) in own units.

        Returns:
            (rows, channels) float32; NaN where a value is, or where a logarithm has none.

        Raises:
            ValueError: another number of channels.
        """
        exact = np.asarray(values, dtype=np.float64)
        if exact.ndim != 2 or exact.shape[1] != len(self.channels):
            raise ValueError(f"series of shape (rows, {len(self.channels)}) are expected, got {exact.shape}")
        scaled = [channel.scale(exact[:, place]) for place, channel in enumerate(self.channels)]
        return np.stack(scaled, axis=1).astype(np.float32)

    def transform_future(self, times: np.ndarray, known: np.ndarray) -> np.ndarray:
        """What is known of rows before they come.

        Args:
            times: (rows,) int64, seconds since 1970, or numbers of rows where rows have no time.
            known: (rows, known) values of the known channels, in own units.

        Returns:
            (rows, future) float32: for each wave sin 1, cos 1, sin 2, cos 2, …; then the scaled known channels.

        Raises:
            ValueError: another number of known channels.
        """
        if known.shape != (len(times), self.known):
            raise ValueError(
                f"known values of shape ({len(times)}, {self.known}) are expected, got {known.shape}"
            )
        columns = [wave for one in self.waves for wave in wave_values(times, one)]
        scales = self.channels[len(self.channels) - self.known :]
        columns += [scale.scale(known[:, place]) for place, scale in enumerate(scales)]
        stacked = np.stack(columns, axis=1) if columns else np.empty((len(times), 0))
        return stacked.astype(np.float32)

    def restore(self, outputs: np.ndarray) -> np.ndarray:
        """A model's outputs in own units.

        Args:
            outputs: (n, horizon · targets · (1 + quantiles)) scaled numbers.

        Returns:
            (n, horizon, targets, 1 + quantiles) float64: the forecast, then its quantiles in rising order.

        Raises:
            ValueError: another number of outputs.
        """
        shape = (len(outputs), self.horizon, self.targets, 1 + len(self.quantiles))
        if np.asarray(outputs).size != np.prod(shape):
            raise ValueError(f"outputs of shape {np.shape(outputs)} do not fit windows of shape {shape}")
        scaled = np.asarray(outputs, dtype=np.float64).reshape(shape)
        restored = np.empty_like(scaled)
        for place in range(self.targets):
            restored[:, :, place] = self.channels[place].restore(scaled[:, :, place])
        # quantiles are fitted one by one, so neighbours may cross
        restored[..., 1:] = np.sort(restored[..., 1:], axis=-1)
        return restored

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists; floats survive `json.dumps` exactly."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SeriesPreparation:
        """The inverse of `to_json`. Raises ValueError for a dictionary that is not a preparation."""
        try:
            return cls(
                channels=tuple(ChannelScale(**channel) for channel in data["channels"]),
                targets=data["targets"],
                known=data["known"],
                waves=tuple(Wave(**wave) for wave in data["waves"]),
                lookback=data["lookback"],
                horizon=data["horizon"],
                quantiles=tuple(data["quantiles"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a preparation of time series: {error!r}") from error


def wave_values(times: np.ndarray, wave: Wave) -> list[np.ndarray]:
    """(rows,) int64 times → sin 1, cos 1, sin 2, cos 2, … of one period, each (rows,) float64."""
    # the remainder of whole numbers is exact, however large the times are
    shift = MONDAY if wave.period == SECONDS_A_WEEK else 0
    phase = np.mod(np.asarray(times, dtype=np.int64) - shift, wave.period) / wave.period
    return [
        turn(2 * np.pi * order * phase) for order in range(1, wave.orders + 1) for turn in (np.sin, np.cos)
    ]


def fit_series(
    values: np.ndarray,
    columns: Sequence[str],
    *,
    targets: int,
    known: int,
    logs: Sequence[bool],
    waves: Sequence[tuple[int, int]],
    lookback: int,
    horizon: int,
    quantiles: Sequence[float] = (),
) -> SeriesPreparation:
    """Learn centre and spread of every channel from training rows.

    Args:
        values: (rows, channels) in own units, NaN where a value is missing.
        columns: of the channels: targets, then those known up to now, then those whose future is known.
        targets, known: how many of each.
        logs: of each channel, whether its logarithm is taken.
        waves: (period, orders) of calendar features.
        lookback, horizon, quantiles: as in `SeriesPreparation`.

    Raises:
        ValueError: no rows, another number of channels, or no value of a channel that can be used.
    """
    exact = np.asarray(values, dtype=np.float64)
    if exact.ndim != 2 or not len(exact) or exact.shape[1] != len(columns) or len(logs) != len(columns):
        raise ValueError(
            f"rows of {len(columns)} channels are expected to fit a preparation, got {exact.shape}"
        )
    scales = []
    for place, (column, log) in enumerate(zip(columns, logs, strict=True)):
        channel = exact[:, place]
        if log:
            channel = np.log(np.where(channel > 0, channel, np.nan))
        there = channel[np.isfinite(channel)]
        if not len(there):
            raise ValueError(f"column '{column}' has no value in the training rows that could be used")
        spread = float(there.std())
        # a constant channel, up to rounding, keeps its unit
        constant = spread <= 1e-12 * max(1.0, float(np.abs(there).max()))
        scales.append(ChannelScale(column, bool(log), float(there.mean()), 1.0 if constant else spread))
    return SeriesPreparation(
        tuple(scales),
        targets,
        known,
        tuple(Wave(int(period), int(orders)) for period, orders in waves),
        lookback,
        horizon,
        tuple(float(q) for q in quantiles),
    )


def times_to_come(last: int, unit: str, step: int, count: int) -> np.ndarray:
    """The times of the rows after the last one.

    Args:
        last: seconds since 1970, or the number of a row where the unit is "row".
        unit: "second", "month", "weekday" (Monday to Friday) or "row".
        step: how many of them a row is from the next.
        count: rows to come.

    Returns:
        (count,) int64 of the same kind as `last`.

    Raises:
        ValueError: an unknown unit.
    """
    ahead = np.arange(1, count + 1, dtype=np.int64) * step
    if unit in ("second", "row"):
        return last + ahead
    day, clock = divmod(int(last), SECONDS_A_DAY)
    start = np.datetime64(day, "D")
    if unit == "weekday":
        days = np.busday_offset(start, ahead, roll="backward")
        return days.astype(np.int64) * SECONDS_A_DAY + clock
    if unit != "month":
        raise ValueError(f"unit: expected second, month, weekday or row, got {unit!r}")
    month = start.astype("datetime64[M]")
    inside = int((start - month.astype("datetime64[D]")).astype(np.int64))
    months = month + ahead
    # the last day of a month is followed by the last day of the next, where that is shorter
    lengths = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    days_in = np.minimum(inside, lengths - 1)
    if inside + 1 == int(
        ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)
    ):
        days_in = lengths - 1
    return (months.astype("datetime64[D]").astype(np.int64) + days_in) * SECONDS_A_DAY + clock


def moments_in_words(times: np.ndarray, to: Literal["m", "s"] = "s") -> tuple[str, ...]:
    """(n,) seconds since 1970 as people write them, to the minute or second; days alone where all are midnights."""
    moments = np.asarray(times, dtype=np.int64).astype("datetime64[s]")
    days = moments.astype("datetime64[D]")
    if (days == moments).all():
        return tuple(str(day) for day in days)
    return tuple(str(moment).replace("T", " ") for moment in moments.astype(f"datetime64[{to}]"))
