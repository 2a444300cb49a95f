"""Whether rows of a table are one time series, so that shuffling them would test on the past of what was learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.types as kinds

from flambeau.data.series.columns import LIKELY_TARGETS
from flambeau.data.series.times import NO_TIME, find_time, read_times
from flambeau.data.source import quoted
from flambeau.errors import DataError

_FEWEST = 20
_FEW_VALUES = 10


def series_hint(table: pyarrow.Table, path: Path, target: str | None) -> str:
    """What to type where every row has a time of its own, in order, and the target is a number; "" elsewhere.

    Args:
        table: as `read_table` gives it.
        path: of the table.
        target: that was asked for; None where it was not said.
    """
    numbers = [
        name
        for name in table.column_names
        if kinds.is_floating(table[name].type) or kinds.is_integer(table[name].type)
    ]
    if table.num_rows < _FEWEST or not numbers or (target is not None and target not in numbers):
        return ""
    if target is not None and len(table[target].unique()) < _FEW_VALUES:
        return ""
    try:
        time = find_time(table, None)
        times = read_times(table, time)[0] if time else np.array([])
    except DataError:
        return ""
    if not len(times) or set(time) == set(numbers) or (times == NO_TIME).any():
        return ""
    steps = np.diff(times)
    if not ((steps > 0).all() or (steps < 0).all()):
        return ""
    others = [name for name in numbers if name not in time]
    likely = [name for name in others for word in LIKELY_TARGETS if name.lower().split(".")[-1] == word]
    wanted = target or (likely or others or [""])[0]
    if wanted not in others:
        return ""
    return (
        f"'{' '.join(time)}' holds a time of its own in each row, in order: rows are learnt one by one and shuffled "
        f"unless they are forecast: flambeau train {quoted(str(path))} --task forecast --target {quoted(wanted)}"
    )
