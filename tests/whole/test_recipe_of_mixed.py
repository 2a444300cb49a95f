"""`flambeau recipe` decides what `flambeau train` would, also what only the training part can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flambeau.recipe import Recipe
from flambeau.using.runs import resolve


def test_what_the_training_part_tells_is_resolved(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    said = [" ".join(draw.choice(["old", "house", "on", "a", "hill"], 6)) for _ in range(90)]
    rows = [f"{one},{draw.normal():.3f},{draw.lognormal(12, 1):.0f}" for one in said]
    source = tmp_path / "homes.csv"
    source.write_text("said,size,price\n" + "\n".join(rows) + "\n")
    options = {"target": "price", "columns": {"said": "text"}}
    reasons: dict[str, str] = {}

    def listen(record: dict[str, Any]) -> None:
        if record["kind"] == "choice":
            reasons[record["key"]] = record["reason"]

    recipe = resolve(str(source), Recipe.model_validate({"data": options}), listen).recipe
    assert recipe.table.log_target is True and "long tail" in reasons["table.log_target"]
    assert recipe.text.length is not None and "text.length" in reasons
    # a person's own values stand
    asked = {"data": options, "table": {"log_target": False}, "text": {"length": 5}}
    kept = resolve(str(source), Recipe.model_validate(asked)).recipe
    assert kept.table.log_target is False and kept.text.length == 5
