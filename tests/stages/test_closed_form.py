"""What is said where the weights of a forecast cannot be solved for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from flambeau.errors import RecipeError
from flambeau.models.forecast_ridge import RidgeForecast
from flambeau.recipe import Recipe
from flambeau.recipe.text import with_settings
from flambeau.stages import fitting
from flambeau.transforms.series import fit_series


def test_equations_without_a_solution_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **options: Any) -> None:
        raise torch.linalg.LinAlgError("the leading minor of order 3 is not positive-definite")

    monkeypatch.setattr(fitting, "solve_ridge", fail)
    preparation = fit_series(
        np.arange(20.0)[:, None], ("y",), targets=1, known=0, logs=[False], waves=[], lookback=3, horizon=1
    )
    feed: Any = SimpleNamespace(preparation=preparation, gather=None, targets=torch.zeros(20, 1, 1))
    model = RidgeForecast(channels=1, targets=1, lookback=3, horizon=1)
    recipe = with_settings(Recipe(), {"forecast.penalty": 0.0})
    with pytest.raises(RecipeError, match=r"(?s)cannot be solved for.*forecast\.penalty: 0"):
        fitting.fit_closed_form(model, feed, np.arange(15), np.arange(0), recipe)
