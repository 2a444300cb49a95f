"""Recipes that come with flambeau, each a YAML file in `named/`, called by its name: `--recipe fast`."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from flambeau.errors import RecipeError, did_you_mean

NAMED_FOLDER = "flambeau.recipe"


def named_recipes() -> dict[str, str]:
    """The text of each recipe that comes with flambeau, by its name."""
    found = [one for one in (files(NAMED_FOLDER) / "named").iterdir() if one.name.endswith(".yaml")]
    return {
        one.name.removesuffix(".yaml"): one.read_text(encoding="utf-8")
        for one in sorted(found, key=lambda one: one.name)
    }


def summary_of(text: str) -> str:
    """What a recipe says of itself in its first comment: its first sentence."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines).partition(". ")[0].removesuffix(".") + "."


def is_plain_name(name: str) -> bool:
    """Whether a text is one word such as fast: with a folder or a suffix it means a file."""
    return re.fullmatch(r"[\w-]+", name) is not None


def check_is_file(name: str) -> None:
    """Raises RecipeError for a plain name of which there is neither a recipe nor a file."""
    if not is_plain_name(name) or Path(name).exists():
        return
    known = named_recipes()
    raise RecipeError(
        f"there is no recipe called '{name}', and no file of that name",
        where=Path.cwd(),
        expected=", ".join(known) + ", or a YAML file",
        hint=did_you_mean(name, known),
        command="flambeau recipe --named",
    )
