"""Parts of dates in plain float64 arithmetic, for graphs that know no calendar."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flambeau.deploy.export.normal import float64

DAY_SECONDS = 86_400.0
DAYS_TO_1970 = 719_468.0  # from 1 March of the year 0
ERA_DAYS, ERA_YEARS = 146_097.0, 400.0


def date_part(seconds: Tensor, part: str) -> Tensor:
    """A part of dates, as `flambeau.transforms.scaling.number_part` computes it.

    Args:
        seconds: (batch,) float64 whole seconds since 1970, NaN where missing.
        part: days, year, month, weekday, season_sine or season_cosine.

    Returns:
        (batch,) float64, NaN where missing.

    Raises:
        ValueError: an unknown part.
    """
    if part == "days":
        return seconds / DAY_SECONDS
    days = torch.floor(seconds / DAY_SECONDS)
    if part == "weekday":
        return _remainder(days + 3.0, 7.0)
    year, month = civil_from_days(days)
    if part == "year":
        return year
    if part == "month":
        return month
    angle = float64(2 * math.pi) * ((days - days_to_year(year)) / 365.25)
    if part == "season_sine":
        return torch.sin(angle)
    if part == "season_cosine":
        return torch.cos(angle)
    raise ValueError(f"unknown part of a date '{part}'")


def civil_from_days(days: Tensor) -> tuple[Tensor, Tensor]:
    """Year and month (1 to 12) of whole days since 1970 in the proleptic Gregorian calendar.

    Hinnant 2013, "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the leap day is the last.
    """
    shifted = days + DAYS_TO_1970
    era = torch.floor(shifted / ERA_DAYS)
    day_of_era = shifted - era * ERA_DAYS
    year_of_era = torch.floor(
        (
            day_of_era
            - torch.floor(day_of_era / 1_460.0)
            + torch.floor(day_of_era / 36_524.0)
            - torch.floor(day_of_era / 146_096.0)
        )
        / 365.0
    )
    leap_days = torch.floor(year_of_era / 4.0) - torch.floor(year_of_era / 100.0)
    day_of_year = day_of_era - (365.0 * year_of_era + leap_days)
    month_from_march = torch.floor((5.0 * day_of_year + 2.0) / 153.0)
    month = torch.where(month_from_march < 10.0, month_from_march + 3.0, month_from_march - 9.0)
    year = year_of_era + era * ERA_YEARS
    return torch.where(month <= 2.0, year + 1.0, year), month


def days_to_year(year: Tensor) -> Tensor:
    """Days from 1970 to the first of January of these years."""
    before = year - 1.0
    leap_days = torch.floor(before / 4.0) - torch.floor(before / 100.0) + torch.floor(before / 400.0)
    return 365.0 * before + leap_days - 719_162.0


def _remainder(values: Tensor, divisor: float) -> Tensor:
    return values - torch.floor(values / divisor) * divisor
