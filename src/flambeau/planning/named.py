"""What made data are meant for, where the person does not say otherwise."""

from __future__ import annotations

from pathlib import Path

from flambeau.data.known.names import is_synthetic
from flambeau.data.synthetic.make import synthetic_settings
from flambeau.recipe import Choices


def plan_named(choices: Choices) -> None:
    """Choose the task and the target that made data were made with.

    Raises:
        DataError: there is no maker of that name.
    """
    source = str(choices.recipe.source)
    if not is_synthetic(source) or Path(source).expanduser().exists():
        return
    for key, value in synthetic_settings(source).items():
        choices.choose(key, value, f"{source.split(':')[0]} data of this kind are made for it")
