"""Runs that the tests of predicting share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_runs import picture_run, table_run

from flambeau.records import RunFolder
from flambeau.schema import Task


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Task], RunFolder]:
    folder = tmp_path_factory.mktemp("table-runs")
    made: dict[str, RunFolder] = {}

    def get(task: Task = "classification") -> RunFolder:
        if task not in made:
            made[task] = table_run(folder / task, task)
        return made[task]

    return get


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return picture_run(tmp_path_factory.mktemp("picture-runs") / "run")
