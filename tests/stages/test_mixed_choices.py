"""What is chosen for tables of several kinds of columns is chosen from training rows alone."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.data.samples import Samples
from flambeau.data.split import Split
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.text import with_settings
from flambeau.schema import Column, ColumnKind, Schema, Task
from flambeau.stages.mixed.feed import choose_log_target

TRAIN, VALID, TEST = np.arange(60), np.arange(60, 80), np.arange(80, 100)
SPLIT = Split(TRAIN, VALID, TEST, "by hand", "")


def samples_of(
    targets: np.ndarray, kinds: tuple[ColumnKind, ...] = ("number", "text"), task: Task = "regression"
) -> Samples:
    columns = tuple(Column(f"c{place}", kind) for place, kind in enumerate(kinds))
    return Samples(
        Schema("table", task, "price", columns=columns), tuple(map(str, range(len(targets)))), targets
    )


def long_tailed(rows: int) -> np.ndarray:
    return np.exp(np.random.default_rng(0).normal(10, 1, rows))


@pytest.mark.parametrize("later", [5.0, -5.0])
def test_targets_that_are_tested_do_not_decide_about_their_logarithm(later: float) -> None:
    targets = np.concatenate([long_tailed(60), np.full(40, later)])
    choices = Choices(Recipe())
    choose_log_target(choices, samples_of(targets), SPLIT)
    assert choices.recipe.table.log_target is True
    targets = np.concatenate([np.random.default_rng(1).normal(100, 5, 60), 1e4 * long_tailed(40)])
    choices = Choices(Recipe())
    choose_log_target(choices, samples_of(targets), SPLIT)
    assert choices.recipe.table.log_target is False


def test_a_person_decides_and_plain_tables_are_left_alone() -> None:
    choices = Choices(with_settings(Recipe(), {"table.log_target": False}))
    choose_log_target(choices, samples_of(long_tailed(100)), SPLIT)
    assert choices.recipe.table.log_target is False
    for samples in (
        samples_of(long_tailed(100), ("number", "category")),
        samples_of(np.arange(100) % 2, task="classification"),
    ):
        choices = Choices(Recipe())
        choose_log_target(choices, samples, SPLIT)
        assert choices.recipe.table.log_target is None
