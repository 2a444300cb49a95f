"""Seasons of time series: how long they are, how far to look back for them, and which waves show them."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.data.series.step import apart
from flambeau.schema import SeriesFacts
from flambeau.transforms.series import SECONDS_A_DAY

YEAR = 31_556_952
WEEK = 604_800
LONGEST_SEASON = 2_000
FEWEST_SEASONS = 3
LOOKBACKS = (4, 8, 16, 32, 64, 128, 336)
SEASONS_BACK = (1, 2, 4, 7, 14, 21)
LONGEST_LOOKBACK = 1_000


def season_of(facts: SeriesFacts, longest: int) -> tuple[int, str]:
    """Rows after which a series of this frequency repeats, and why."""
    season, word = 0, ""
    if facts.unit == "month" and 12 % facts.step == 0:
        season, word = 12 // facts.step, "a year"
    elif facts.unit == "weekday":
        season, word = 5, "a week"
    elif facts.unit == "second" and facts.frequency != "irregular":
        for length, name in ((SECONDS_A_DAY, "a day"), (WEEK, "a week"), (YEAR, "a year")):
            if facts.step < length and 1 < length // facts.step <= LONGEST_SEASON:
                season, word = length // facts.step, name
                break
    if season < 2:
        if facts.frequency == "irregular":
            return 0, "rows at irregular times have no season that could be known beforehand"
        return (
            0,
            f"rows that are {apart(facts.frequency)} apart have no season that could be known beforehand",
        )
    if longest < FEWEST_SEASONS * season:
        return 0, f"{longest:,} rows are fewer than {FEWEST_SEASONS} times {word}"
    return season, f"{word} of rows that are {apart(facts.frequency)} apart"


def lookbacks_for(season: int, horizon: int, rows: int) -> list[int]:
    """Rows to look back on that are worth a try.

    Args:
        season: rows after which things repeat; 0 for none.
        horizon: rows that are forecast.
        rows: to train on, of the longest series.
    """
    # the row a season before the first one to come is the last of a season and one more
    wanted = [season * count + 1 for count in SEASONS_BACK] if season > 1 else list(LOOKBACKS)
    most = min(LONGEST_LOOKBACK, max(2, (rows - horizon) // 3))
    found = [length for length in wanted if length <= most and 4 * length >= min(horizon, most)]
    return found or [max(1, min(most, max(wanted[0], horizon)))]


def wave_periods(facts: SeriesFacts, seconds: int) -> list[tuple[int, int]]:
    """Periods of calendar features, each with the most orders that mean anything.

    Rows without a time have none: their numbers depend on where a file begins.

    Args:
        facts: of the series.
        seconds: that the training rows span: of a year, two are needed.
    """
    if facts.unit == "row":
        return []
    step = seconds_of_step(facts)
    found = []
    for period, most in ((SECONDS_A_DAY, 6), (WEEK, 3), (YEAR, 6)):
        if step * 2 <= period and seconds >= 2 * period:
            found.append((period, min(most, period // (2 * step))))
    return found


def seconds_of_step(facts: SeriesFacts) -> int:
    """How long a row is, about; 1 where rows have no time, whose periods are counted in rows."""
    return {"month": 30 * SECONDS_A_DAY * facts.step, "weekday": SECONDS_A_DAY, "row": 1}.get(
        facts.unit, facts.step
    )


def waves_are_unseen(periods: Sequence[tuple[int, int]], facts: SeriesFacts, lookback: int) -> bool:
    """Whether a period is so long that the rows looked back on do not show it twice."""
    return any(2 * period > lookback * seconds_of_step(facts) for period, _ in periods)


def wave_orders(periods: Sequence[tuple[int, int]], waves: int) -> list[tuple[int, int]]:
    """(period, orders) where at most so many orders of each are asked for."""
    return [(period, min(most, waves)) for period, most in periods if min(most, waves) > 0]
