"""Recipes in: YAML files and `--set KEY=VALUE`; all problems are told at once, with the key meant."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from flambeau.errors import RecipeError, did_you_mean
from flambeau.recipe.by_name import check_is_file, named_recipes
from flambeau.recipe.describe import nearest_key, options, shown
from flambeau.recipe.options import Recipe
from flambeau.recipe.short_names import give_way
from flambeau.recipe.yaml_core import KeyPath, Place, read_yaml

MAX_BYTES = 1_000_000
LIST_COMMAND = "flambeau recipe --options"

# pydantic's errors about the kind of a value; for all others the limits are told too.
KIND_ERRORS = (
    "int_type",
    "int_from_float",
    "float_type",
    "bool_type",
    "string_type",
    "list_type",
    "dict_type",
)

# A sentence with its place in the file or on the command line, for the order in which they are told.
Problem = tuple[Place, str]
# For the path of a key, and whether the key itself is what is wrong: the place, and how the sentence starts.
Where = Callable[[KeyPath, bool], Problem]


def load_recipe(path: Path | str) -> Recipe:
    """Read a recipe that comes with flambeau, or a YAML file; what it does not name keeps its default.

    Args:
        path: a name such as "fast", or a file; a text of one word is a name first, a `Path` is always a file.

    Raises:
        RecipeError: no such name or file, too large, not YAML, or options that are unknown, given twice, of the
            wrong type or out of range: all of them at once, each with its line and column.
    """
    document = read_yaml(_text_of(path), str(path))

    def where(keys: KeyPath, about_key: bool) -> Problem:
        known = document.key_places if about_key else document.places
        while keys not in known:  # one number for image.size has no entry of its own for height and width
            keys = keys[:-1]
        line, column = known[keys]
        return (line, column), f"{path}:{line}:{column}: " + ("" if about_key else f"{dotted(keys)}: ")

    if document.value is None:
        return Recipe()
    if not isinstance(document.value, dict):
        raise RecipeError(
            f"{path}:1:1: a recipe is a mapping of options",
            got=shown(document.value),
            expected="lines such as 'seed: 1'",
            command=LIST_COMMAND,
        )
    repeated = [
        (place, f"{path}:{place[0]}:{place[1]}: {dotted(keys)}: this key stands here a second time")
        for keys, place in document.duplicates
    ]
    recipe = _validated(document.value, where, repeated)
    if recipe.model.trust_pickle:
        raise RecipeError(
            f"{path}: model.trust_pickle: a file cannot consent to run code",
            expected="--trust-pickle, typed by whoever trusts the file of weights",
        )
    return recipe


def parse_setting(text: str) -> tuple[str, Any]:
    """Split KEY=VALUE and read the value as YAML; for an option that takes any text, as it stands.

    >>> parse_setting("training.optimizer.lr=1e-3")
    ('training.optimizer.lr', 0.001)

    Raises:
        RecipeError: no "=", or a value that is not YAML.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise RecipeError(
            f"--set {text}: expected KEY=VALUE, such as training.epochs=20", command=LIST_COMMAND
        )
    option = options().get(key)
    try:
        parsed = read_yaml(value, f"--set {text}").value
    except RecipeError:
        if option is None or not option.takes_text:
            raise
        return key, value
    if option is not None and option.takes_text and parsed is not None and not isinstance(parsed, str):
        return key, value
    return key, parsed


def with_settings(
    recipe: Recipe, settings: Mapping[str, Any], where: str | Mapping[str, str] = "--set"
) -> Recipe:
    """A copy of the recipe with some options set, all of them checked.

    Args:
        recipe: the starting point.
        settings: dotted key → value; `data.columns.NAME` reaches one entry of a mapping.
        where: what the person typed, for messages: one option that took KEY=VALUE, or for each key the words.

    Raises:
        RecipeError: unknown keys, and values of the wrong type or out of range, all at once.
    """
    values = given_values(recipe)
    give_way(values, settings)
    problems: list[Problem] = []
    labels: dict[KeyPath, Problem] = {}
    for position, (key, value) in enumerate(settings.items()):
        typed = f"{where} {key}={_typed(value)}".strip() if isinstance(where, str) else where[key]
        keys = _key_path(key)
        if keys is None:
            problems.append(((position, 0), f"{typed}: {_unknown(key)}"))
            continue
        labels[keys] = (position, 0), f"{typed}: "
        section = values
        for name in keys[:-1]:
            section = section.setdefault(str(name), {})
        section[str(keys[-1])] = copy.deepcopy(value)

    def told(keys: KeyPath, about_key: bool) -> Problem:
        return next(labels[keys[:size]] for size in range(len(keys), 0, -1) if keys[:size] in labels)

    return _validated(values, told, problems)


def given_values(recipe: Recipe) -> dict[str, Any]:
    """The values that were set, not those left at their default, as nested dictionaries."""
    return _set_values(recipe)


def is_given(recipe: Recipe, key: str) -> bool:
    """Whether the option of that dotted key was set, even if to its default."""
    section: Any = recipe
    *path, last = key.split(".")
    for name in path:
        section = getattr(section, name)
    return last in section.model_fields_set


def dotted(keys: KeyPath) -> str:
    """The dotted key of a path; places in a list in brackets: data.drop[0]."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def _set_values(section: BaseModel) -> dict[str, Any]:
    # A value set inside a section does not mark the section itself as set, so every section is entered.
    values: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            inner = _set_values(value)
            if inner:
                values[name] = inner
        elif name in section.model_fields_set:
            values[name] = copy.deepcopy(value)
    return values


def _text_of(path: Path | str) -> str:
    if isinstance(path, str):
        known = named_recipes()
        if path in known:
            return known[path]
        check_is_file(path)
    return _read_text(Path(path))


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError("the recipe cannot be read", where=path, got=error.strerror) from error
    if len(content) > MAX_BYTES:
        raise RecipeError("this file is too large for a recipe", where=path, expected="at most 1 MB of YAML")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError("the recipe is not text in UTF-8", where=path, got=str(error)) from error


def _key_path(key: str) -> KeyPath | None:
    """The path of a dotted key, or None if there is no such option; a mapping's own keys may have dots."""
    if key in options():
        return tuple(key.split("."))
    for option in options().values():
        if option.is_mapping and key.startswith(f"{option.key}."):
            return (*option.key.split("."), key[len(option.key) + 1 :])
    return None


def _validated(values: dict[str, Any], where: Where, problems: list[Problem]) -> Recipe:
    try:
        recipe = Recipe.model_validate(_without_empty_sections(values))
    except ValidationError as error:
        problems = problems + [_problem(details, where) for details in error.errors()]
    if problems:
        sentences = dict.fromkeys(sentence for _, sentence in sorted(problems))
        unknown = any("unknown option" in sentence for sentence in sentences)
        raise RecipeError("\n".join(sentences), command=LIST_COMMAND if unknown else "")
    return recipe


def _without_empty_sections(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leave out sections whose entries are all commented out; YAML reads them as null."""
    kept = {}
    for name, value in values.items():
        option = options().get(f"{prefix}{name}")
        if option is not None and option.section is not None:
            if value is None:
                continue
            if isinstance(value, dict):
                value = _without_empty_sections(value, f"{prefix}{name}.")
        kept[name] = value
    return kept


def _problem(details: ErrorDetails, where: Where) -> Problem:
    """One of pydantic's errors as a sentence about the key, what it takes and what was given."""
    keys: KeyPath = tuple(details["loc"])
    if details["type"] == "extra_forbidden":
        place, start = where(keys, True)
        return place, start + _unknown(dotted(keys))
    place, start = where(keys, False)
    option_key = next((key for key in _prefixes(keys) if key in options()), "")
    option = options()[option_key]
    got = shown(details["input"])
    if option.section is not None:
        entries = ", ".join(option.section.model_fields)
        return place, f"{start}expected a group of options ({entries}), got {got}"
    part = len(keys) > option_key.count(".") + 1
    expected = option.words(limits=details["type"] not in KIND_ERRORS, part=part)
    sentence = f"{start}expected {expected}, got {got}"
    if details["type"] == "string_type" and isinstance(details["input"], int | float):
        sentence += f"; for text, put it in quotes: '{details['input']}'"
    hint = did_you_mean(str(details["input"]), option.names) if option.names else ""
    hint = hint if hint.startswith("did you mean") else ""
    return place, f"{sentence}; {hint}" if hint else sentence


def _prefixes(keys: KeyPath) -> list[str]:
    names = [str(key) for key in keys]
    return [".".join(names[:size]) for size in range(len(names), 0, -1)]


def _unknown(key: str) -> str:
    nearest = nearest_key(key)
    return f"unknown option '{key}'" + (f"; did you mean '{nearest}'?" if nearest else "")


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)
