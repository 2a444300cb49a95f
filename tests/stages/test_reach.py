"""What is told where a series cannot be divided is a command that works, and it is told before models are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flambeau.errors import DataError, RecipeError
from flambeau.recipe import Recipe
from flambeau.recipe.forecast_options import ForecastOptions
from flambeau.recipe.options import DataOptions, SplitOptions
from flambeau.stages.flows import flow_of
from flambeau.stages.series.reach import fitting_rows
from flambeau.using import check


def write_days(folder: Path, rows: int) -> str:
    days = np.datetime64("2024-01-01") + np.arange(rows)
    lines = [f"{day},{value:.3f}" for day, value in zip(days, np.sin(np.arange(rows)) + 2, strict=True)]
    path = folder / "days.csv"
    path.write_text("\n".join(["day,sales", *lines]) + "\n")
    return str(path)


def forecast(source: str, horizon: int, rows: tuple[int, ...] = ()) -> Recipe:
    return Recipe(
        source=source,
        task="forecast",
        data=DataOptions(target="sales"),
        forecast=ForecastOptions(horizon=horizon),
        split=SplitOptions(rows=list(rows)),
    )


def test_the_largest_horizon_that_works_is_named(tmp_path: Path) -> None:
    source, told = write_days(tmp_path, 60), []
    with pytest.raises(DataError) as caught:
        check(source, forecast(source, 90), told.append)
    command = caught.value.command
    largest = int(command.rpartition("--horizon ")[2])
    assert command.startswith(f"flambeau train {source} --task forecast --target sales --horizon")
    assert not any(record["kind"] == "stage" and record["name"] == "choose" for record in told)
    check(source, forecast(source, largest))
    with pytest.raises(DataError):
        check(source, forecast(source, largest + 1))


def test_what_a_person_asked_for_is_named_again_and_works(tmp_path: Path) -> None:
    source = write_days(tmp_path, 120)
    recipe = forecast(source, 40)
    recipe.split.folds, recipe.model.name, recipe.forecast.lookback = 4, "nlinear", 5
    with pytest.raises(DataError) as caught:
        check(source, recipe)
    words = "--task forecast --target sales --model nlinear --folds 4 --set forecast.lookback=5 --horizon "
    assert words in caught.value.command
    recipe.forecast.horizon = int(caught.value.command.rpartition("--horizon ")[2])
    check(source, recipe)


def test_the_command_that_failed_is_no_way_out(tmp_path: Path) -> None:
    source = write_days(tmp_path, 240)
    # of the newest rows three in four have no target, so no window of three steps is whole there
    path = Path(source)
    lines = path.read_text().splitlines()
    holes = [f"{line.split(',')[0]}," if row > 190 and row % 4 else line for row, line in enumerate(lines)]
    path.write_text("\n".join(holes) + "\n")
    with pytest.raises(DataError) as caught:
        check(source, forecast(source, 3))
    assert "--horizon 3" not in caught.value.command
    recipe = forecast(source, int(caught.value.command.rpartition("--horizon ")[2]))
    check(source, recipe)


def test_rows_that_fit_are_named(tmp_path: Path) -> None:
    source = write_days(tmp_path, 60)
    with pytest.raises(DataError) as caught:
        check(source, forecast(source, 1, (100, 50, 50)))
    assert caught.value.command.endswith("--horizon 1 --set split.rows=[30,15,15]")
    assert sum(fitting_rows([100, 50], 60)) < 60


def test_a_column_of_a_plain_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("A line of a book, which has commas, and no columns at all.\nAnother one.\n" * 20)
    with pytest.raises(RecipeError, match="one plain text") as caught:
        flow_of(Recipe(data=DataOptions(target="x")), str(path))
    assert caught.value.command == f"flambeau train {path}"


def test_ridge_tells_no_options_of_steps(tmp_path: Path) -> None:
    from flambeau.recipe.choices import NO_EFFECT
    from flambeau.using import resolve

    source = write_days(tmp_path, 80)
    told: list[dict[str, Any]] = []
    choices = resolve(source, forecast(source, 1), told.append)
    assert choices.reasons["training.optimizer.lr"] == f"{NO_EFFECT} without steps"
    assert choices.reasons["training.epochs"].startswith("the weights are solved for")
