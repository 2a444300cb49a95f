"""Options (`options`), what was chosen and why (`choices`), YAML in (`text`), YAML out (`write`)."""

from flambeau.recipe.choices import Choices
from flambeau.recipe.describe import OptionRow, option_rows
from flambeau.recipe.options import Recipe
from flambeau.recipe.text import load_recipe, parse_setting, with_settings
from flambeau.recipe.write import recipe_json_schema, recipe_to_yaml

__all__ = [
    "Choices",
    "OptionRow",
    "Recipe",
    "load_recipe",
    "option_rows",
    "parse_setting",
    "recipe_json_schema",
    "recipe_to_yaml",
    "with_settings",
]
