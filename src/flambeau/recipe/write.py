"""Recipes out: a YAML file with a reason beside each value, and a JSON schema for editors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from flambeau.recipe.choices import Choices
from flambeau.recipe.describe import Option, options
from flambeau.recipe.options import Recipe
from flambeau.recipe.text import is_given

HEADER = (
    "# Every option of this run, with what it means or why flambeau chose it; 'given' marks what you set."
)
COMMENT_COLUMN = 36

# Text that needs no quotes in YAML 1.1 or 1.2, if it is not one of these words.
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
NOT_TEXT = {"true", "false", "null", "auto", "yes", "no", "on", "off", "y", "n"}


def recipe_to_yaml(recipe: Recipe | Choices, reasons: Mapping[str, str] | None = None) -> str:
    """The whole recipe as YAML, in sections, each value with a comment at the end of its line.

    Args:
        recipe: the options, or the choices with their own reasons.
        reasons: dotted key → why flambeau chose the value.

    Returns:
        Text that `load_recipe` reads back to an equal recipe.
    """
    known = dict(reasons or {})
    if isinstance(recipe, Choices):
        known = {**recipe.reasons, **known}
        recipe = recipe.recipe
    lines = [HEADER]
    for option, depth, value in _values(recipe):
        indent = "  " * depth
        name = option.key.rsplit(".", 1)[-1]
        if option.section is not None:
            if depth == 0:
                lines.append("")
            lines.append(_with_comment(f"{indent}{name}:", option.section.__doc__ or ""))
            continue
        meaning = option.field.description or ""
        if option.key in known:
            comment = known[option.key]
        elif value is not None and is_given(recipe, option.key):
            comment = f"given. {meaning}"
        else:
            comment = meaning
        lines.append(_with_comment(f"{indent}{name}: {_yaml_value(value, option.automatic)}", comment))
    return "\n".join(lines) + "\n"


def recipe_json_schema() -> dict[str, Any]:
    """A JSON schema (draft 2020-12) of recipe files, with titles and descriptions, for editors."""
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for option in options().values():
        if not option.automatic:
            continue
        choices = _property(schema, option.key)["anyOf"]
        if option.key == "image.size":  # one number stands for a square
            choices.insert(0, dict(choices[0]["prefixItems"][0]))
        choices.append({"const": "auto"})
    return schema


def _property(schema: dict[str, Any], key: str) -> dict[str, Any]:
    """The schema of one option, behind the references that sections are."""
    *path, last = key.split(".")
    section = schema
    for name in path:
        section = schema["$defs"][section["properties"][name]["$ref"].rsplit("/", 1)[-1]]
    found: dict[str, Any] = section["properties"][last]
    return found


def _values(recipe: Recipe) -> Iterator[tuple[Option, int, Any]]:
    """Each option and section with its depth and value, in the order of the recipe."""
    for option in options().values():
        *path, last = option.key.split(".")
        section: BaseModel = recipe
        for name in path:
            section = getattr(section, name)
        yield option, len(path), getattr(section, last)


def _with_comment(text: str, comment: str) -> str:
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in comment).split())
    return f"{text:<{COMMENT_COLUMN}}  # {words}" if words else text


def _yaml_value(value: Any, automatic: bool) -> str:
    if value is None:
        return "auto" if automatic else "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _yaml_text(value)
    if isinstance(value, dict):
        entries = (f"{_yaml_text(str(key))}: {_yaml_value(inner, False)}" for key, inner in value.items())
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml_value(item, False) for item in value) + "]"
    return repr(value)


def _yaml_text(text: str) -> str:
    if PLAIN.fullmatch(text) and text.lower() not in NOT_TEXT:
        return text
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf")).rstrip("\n")
