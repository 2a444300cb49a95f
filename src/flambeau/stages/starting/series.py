"""Going on from an earlier forecast: the same columns, steps and windows, and test windows that it never came near."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.split import Split
from flambeau.errors import RecipeError, RunError
from flambeau.recipe import Choices
from flambeau.schema import SeriesFacts
from flambeau.transforms.series import SeriesPreparation

# Models whose name in a bundle is another than in a recipe.
NAMES = {"lstm_forecast": "lstm"}


def check_series_start(name: str, before: SeriesFacts, now: SeriesFacts, where: Path) -> None:
    """Raise RunError where an earlier forecast has no weights to go on from, or where they would mean something else.

    Args:
        name: of its model.
        before, now: of its series and of these.
        where: its bundle.
    """
    if name == "ridge":
        raise RunError(
            "ridge regression is solved for at once, so there is nothing to go on from",
            where=where,
            got="--from a forecast by ridge",
            expected="a training afresh on all rows, which takes no longer; or --from a net, such as nlinear",
            command="flambeau train DATA --recipe EARLIER_RUN/recipe.yaml",
        )
    pairs = (
        ("columns", before.channels, now.channels),
        ("targets", before.targets, now.targets),
        ("columns known of the future", before.known, now.known),
        ("steps from row to row", (before.unit, before.step), (now.unit, now.step)),
    )
    for what, old, new in pairs:
        if old != new:
            raise RunError(
                f"the earlier run has other {what}, so its weights would mean something else",
                where=where,
                got=", ".join(map(str, new))[:200],
                expected=", ".join(map(str, old))[:200],
            )


def check_rows_in_order(unit: str, digests: np.ndarray, seen: np.ndarray, where: Path) -> None:
    """Raise RunError where rows have no times and do not go on from those of the earlier run.

    Such rows are known by their number and their values: in a file that begins elsewhere none would be known again.

    Args:
        unit: of the steps of these series.
        digests: (rows,) uint64 of these rows.
        seen: (n,) uint64 of the rows that the earlier run was fitted on.
        where: its bundle.
    """
    known = int(np.isin(seen, digests).sum())
    if unit == "row" and known < len(seen):
        raise RunError(
            "rows without times go on from an earlier run only behind its own rows: others could be the same again",
            where=where,
            got=f"{known:,} of the {len(seen):,} rows that it was fitted on, at their places",
            expected="its rows with the new ones behind them, or a column of times in both files",
        )


def choose_as_before(
    choices: Choices, preparation: SeriesPreparation, name: str, arguments: Mapping[str, Any]
) -> None:
    """Fill in the windows and the model of the earlier run.

    Args:
        choices: changed in place.
        preparation: of the earlier run.
        name, arguments: of its model.

    Raises:
        RecipeError: the recipe asks for other windows.
    """
    logs = any(channel.log for channel in preparation.channels[: preparation.targets])
    change = "log_difference" if logs else "difference"
    wanted: dict[str, Any] = {
        "forecast.horizon": preparation.horizon,
        "forecast.lookback": preparation.lookback,
        "forecast.quantiles": list(preparation.quantiles),
        "forecast.waves": max((wave.orders for wave in preparation.waves), default=0),
        "forecast.differences": change if arguments.get("centre", True) else "none",
    }
    if ":" not in name:
        wanted["model.name"] = NAMES.get(name, name)
        wanted |= {
            f"model.{key}": arguments[key] for key in ("width", "depth", "dropout") if key in arguments
        }
    for key, value in wanted.items():
        now = choices.choose(key, value, "as in the earlier run")
        if now != value:
            raise RecipeError(
                f"{key}: the weights of the earlier run are for other windows or another model",
                got=str(now),
                expected=str(value),
                hint="leave it out, or train afresh without --from",
            )


def untouched_windows(split: Split, seen: np.ndarray, horizon: int) -> np.ndarray:
    """The test windows of a split whose target holds no row of a target that was fitted on.

    Args:
        split: of windows.
        seen: (rows,) bool: rows whose windows the earlier run was fitted on.
        horizon: rows of a target.
    """
    touched = np.concatenate([[0], np.cumsum(seen)])
    first = np.maximum(0, split.test - horizon + 1)
    last = np.minimum(len(seen), split.test + horizon)
    return split.test[touched[last] == touched[first]]
