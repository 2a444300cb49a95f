"""What a script of a forecast reads is what the run read, also where clocks change and rows are absent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from flambeau.data.series.series import read_series
from flambeau.deploy.eject import series_reading
from flambeau.deploy.eject.facts import RunFacts
from flambeau.recipe import Recipe
from flambeau.recipe.text import with_settings


@pytest.mark.parametrize("absent", [(), (98, 99, 180)])
@pytest.mark.parametrize("form", ["zone", "utc"])
def test_times_of_scripts_are_those_of_the_data(tmp_path: Path, form: str, absent: tuple[int, ...]) -> None:
    start = datetime(2018, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    days = [start + timedelta(days=day) for day in range(400) if day not in absent]
    written = [(day if form == "zone" else day.astimezone(UTC)).isoformat() for day in days]
    path = tmp_path / "sales.csv"
    lines = [f"{when},{value}" for when, value in zip(written, np.sin(np.arange(len(days))), strict=True)]
    path.write_text("\n".join(["time,sales", *lines]) + "\n")
    recipe = with_settings(Recipe(), {"task": "forecast", "data.target": "sales", "source": str(path)})
    samples = read_series(str(path), recipe)
    assert len(samples) == 400
    # a preparation with waves needs the times
    bundle = SimpleNamespace(schema=samples.schema, preparation=SimpleNamespace(waves=(1,)))
    kept = SimpleNamespace(read_json=lambda _: {"fingerprint": series_reading.fingerprint(samples)})
    facts = cast(RunFacts, SimpleNamespace(recipe=recipe, bundle=bundle, folder=kept))
    text = series_reading.series_reading(facts)
    assert ("np.rint" in text) == bool(absent)
