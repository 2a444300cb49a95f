"""Windows are views, splits are by time, and what leaks is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flambeau.data.samples import Samples
from flambeau.data.series.check import check_series, check_windows
from flambeau.data.series.series import read_series
from flambeau.data.series.time_split import folds_by_time, split_by_time
from flambeau.data.series.windows import (
    gather_past,
    stretches_of,
    target_tensor,
    target_windows,
    usable_origins,
)
from flambeau.data.split import Split
from flambeau.errors import DataError
from flambeau.recipe import Recipe
from flambeau.recipe.text import with_settings


def test_windows_are_views_of_one_tensor() -> None:
    scaled = torch.arange(40.0).reshape(20, 2)
    targets = target_tensor(scaled[:, :1], 3)
    assert targets.shape == (20, 3, 1) and targets[4, :, 0].tolist() == [10, 12, 14]
    assert targets.untyped_storage().nbytes() == 4 * 23
    past, ahead = gather_past(scaled, scaled[:, 1:], lookback=4, horizon=3)(torch.tensor([5, 9]))
    assert past[0].tolist() == scaled[2:6].tolist()
    assert ahead[1, :, 0].tolist() == scaled[10:13, 1].tolist()
    values = np.arange(9.0)[:, None]
    windows = target_windows(values, 2)
    assert windows[3, :, 0].tolist() == [4, 5] and windows.strides[0] == windows.strides[1] == 8


def test_windows_stay_in_their_series_and_off_missing_targets() -> None:
    observed = np.ones(20, dtype=bool)
    observed[16] = False
    origins = usable_origins(np.array([0, 8, 20]), observed, lookback=3, horizon=2)
    assert origins.tolist() == [2, 3, 4, 5, 10, 11, 12, 13, 16, 17]


def test_no_window_begins_before_the_first_values() -> None:
    observed = np.ones(20, dtype=bool)
    origins = usable_origins(np.array([0, 8, 20]), observed, lookback=3, horizon=2, begins=np.array([2, 15]))
    assert origins.tolist() == [4, 5, 17]


def test_stretches_end_at_holes_and_at_borders() -> None:
    covered = np.array([1, 1, 0, 1, 1, 1], dtype=bool)
    assert np.unique(stretches_of(covered, np.array([0, 4, 6])), return_counts=True)[1].tolist() == [2, 1, 2]


def parts_of(split: Split, horizon: int) -> list[set[int]]:
    return [
        {o + h for o in part for h in range(1, horizon + 1)}
        for part in (split.train, split.valid, split.test)
    ]


@pytest.mark.parametrize("embargo", [0, 4])
def test_no_target_is_in_two_parts(embargo: int) -> None:
    starts, times = np.array([0, 200]), np.arange(200)
    origins = usable_origins(starts, np.ones(200, dtype=bool), lookback=10, horizon=5)
    split = split_by_time(origins, starts, times, horizon=5, rows=[100, 50, 50], embargo=embargo)
    train, valid, test = parts_of(split, 5)
    assert not train & valid and not valid & test
    assert max(train) == 99 - embargo and min(valid) == 100 and min(test) == 150
    assert min(split.test) - 9 < 150  # its past reaches into the part before


def test_several_series_are_cut_at_the_same_times() -> None:
    starts = np.array([0, 100, 150])
    times = np.concatenate([np.arange(100), np.arange(50, 100)])
    origins = usable_origins(starts, np.ones(150, dtype=bool), lookback=4, horizon=2)
    split = split_by_time(origins, starts, times, horizon=2)
    assert times[split.train + 2].max() < times[split.valid + 1].min()
    assert times[split.valid + 2].max() < times[split.test + 1].min()


def test_a_rolling_back_test_only_looks_back() -> None:
    starts, times = np.array([0, 300]), np.arange(300)
    origins = usable_origins(starts, np.ones(300, dtype=bool), lookback=6, horizon=3)
    splits = folds_by_time(origins, starts, times, 4, horizon=3)
    assert len(splits) == 4
    for split in splits:
        train, valid, test = parts_of(split, 3)
        assert max(train) < min(valid) <= max(valid) < min(test)
    assert len(np.unique(np.concatenate([split.test for split in splits]))) == sum(
        len(s.test) for s in splits
    )


def test_too_few_rows_are_told() -> None:
    starts = np.array([0, 40])
    origins = usable_origins(starts, np.ones(40, dtype=bool), lookback=4, horizon=12)
    with pytest.raises(ValueError, match="the valid part has no window"):
        split_by_time(origins, starts, np.arange(40), horizon=12)
    with pytest.raises(ValueError, match="more than the 40 rows"):
        split_by_time(origins, starts, np.arange(40), horizon=2, rows=[30, 10, 10])


def planted(folder: Path, columns: dict[str, np.ndarray], **settings: Any) -> Samples:
    names = list(columns)
    rows = [",".join(f"{columns[name][i]:.6f}" for name in names) for i in range(len(columns["y"]))]
    file = folder / "planted.csv"
    file.write_text("\n".join([",".join(names), *rows]), encoding="utf-8")
    values = {"data.target": "y", **{key.replace("__", "."): value for key, value in settings.items()}}
    return read_series(str(file), with_settings(Recipe(), values))


def found(samples: Samples) -> dict[str, tuple[str, ...]]:
    return {finding.code: finding.items for finding in check_series(samples)}


def test_future_information_in_a_column_is_found(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    y = np.cumsum(generator.normal(size=400))
    shifted = np.append(y[2:], [0, 0])
    centred = np.convolve(y, np.ones(3) / 3, mode="same")
    honest = np.append(0, y[:-1]) + generator.normal(size=400)
    columns = {"y": y, "shifted": shifted, "centred": centred, "honest": honest}
    samples = planted(tmp_path, columns, forecast__horizon=3)
    assert set(found(samples)["future-in-columns"]) == {"shifted", "centred"}
    assert "future-in-columns" not in found(planted(tmp_path, {"y": y, "honest": honest}))


def test_columns_that_add_up_to_later_values_are_found(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    y = np.cumsum(generator.normal(size=400))
    part = generator.normal(size=400)
    later = np.append(y[1:], 0.0)
    samples = planted(tmp_path, {"y": y, "a": part, "b": later - part})
    assert "future-in-columns" in found(samples)


def test_a_target_that_follows_from_known_columns_is_found(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    a, b = generator.normal(size=(2, 200))
    columns = {"y": a + b, "a": a, "b": b}
    assert "leak-through-covariate" in found(planted(tmp_path, columns, forecast__known=["a", "b"]))
    assert "leak-through-covariate" not in found(planted(tmp_path, columns, forecast__known=["a"]))


def test_windows_that_reach_into_the_test_part_are_found(tmp_path: Path) -> None:
    samples = planted(tmp_path, {"y": np.sin(np.arange(100.0))}, forecast__horizon=5)
    rows = np.arange(10, 90)
    overlapping = Split(rows[:50], rows[50:60], rows[60:], "by hand", "")
    assert [finding.code for finding in check_windows(samples, [overlapping])] == ["leak-between-splits"]
    apart = Split(rows[:50], rows[50:55], rows[60:], "by hand", "")
    assert check_windows(samples, [apart]) == []


def test_a_constant_target_and_one_row_are_errors(tmp_path: Path) -> None:
    findings = check_series(planted(tmp_path, {"y": np.ones(100)}))
    assert [finding.code for finding in findings if finding.level == "error"] == ["constant-target"]
    findings = check_series(planted(tmp_path, {"y": np.arange(12.0)}))
    assert findings[0].code == "too-few-rows"
    with pytest.raises(DataError, match="1 row of a time series is too few"):
        planted(tmp_path, {"y": np.ones(1)})
