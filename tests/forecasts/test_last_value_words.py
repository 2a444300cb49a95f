"""What is said where ridge regression is no better than the last value."""

from __future__ import annotations

import pytest

from flambeau.stages.series import trial


@pytest.mark.parametrize(("epochs", "stays"), [(None, True), (0, True), (3, False)])
def test_forecasts_that_epochs_move_are_not_said_to_stay(epochs: int | None, stays: bool) -> None:
    told = trial._where_forecasts_are(epochs)
    assert ("stay at the last value" in told) is stays
    assert ("epochs that you asked for" in told) is not stays
