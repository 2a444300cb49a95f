"""How many trainings a person is told of before they begin."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.data.split import Split
from flambeau.recipe import Recipe
from flambeau.stages.setting import count_trainings


@pytest.mark.parametrize(("parts", "count"), [(True, 48), (False, 18)])
def test_columns_that_are_trained_alone_count_too(parts: bool, count: int) -> None:
    rows = np.arange(3)
    folds = [Split(train=rows, valid=rows, test=rows, method="random", reason="")] * 5
    recipe = Recipe.model_validate({"mixed": {"parts": parts}, "training": {"bags": 3}})
    assert count_trainings(folds, recipe, 2) == count
