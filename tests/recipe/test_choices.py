"""Choices are told once with their reason: not before what they rest on is read, and not where they do nothing."""

from __future__ import annotations

from typing import Any

import pytest

from flambeau.recipe import Choices, Recipe
from flambeau.recipe.choices import NO_EFFECT


def test_what_does_nothing_says_so_instead_of_a_reason() -> None:
    choices = Choices(Recipe())
    choices.idle("training.", "without steps")
    choices.choose("training.batch_size", 64, "a good size")
    choices.choose("model.width", 8, "wide enough")
    assert choices.reasons == {
        "training.batch_size": f"{NO_EFFECT} without steps",
        "model.width": "wide enough",
    }


def test_choices_are_told_behind_what_is_read() -> None:
    told: list[Any] = []
    choices = Choices(Recipe(), lambda key, value, reason: told.append(key))
    with choices.told_later():
        choices.choose("model.width", 8, "wide enough")
        told.append("read")
    assert told == ["read", "model.width"]
    with pytest.raises(OSError, match="no such text"), choices.told_later():
        choices.choose("model.depth", 2, "deep enough")
        raise OSError("no such text")
    assert told == ["read", "model.width"]
    choices.choose("seed", 1, "as always") if choices.get("seed") is None else told.append("seed")
    assert told[-1] == "seed"
