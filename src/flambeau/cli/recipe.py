"""`flambeau recipe`: every choice for data as a file, without training; the list of all options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flambeau.cli.options import build_recipe, debug_option, path_or_none, recipe_options
from flambeau.cli.show import make_show
from flambeau.errors import UsageError
from flambeau.recipe import option_rows, recipe_json_schema, recipe_to_yaml
from flambeau.recipe.by_name import named_recipes, summary_of
from flambeau.records import to_json, write_text


@click.command("recipe", short_help="Write every choice for data as a file, without training.")
@click.argument("source", required=False)
@recipe_options()
@click.option("--out", metavar="FILE", help="Write to a file instead of the terminal.")
@click.option("--options", "list_options", is_flag=True, help="List every option of the recipe.")
@click.option("--named", "list_named", is_flag=True, help="List the recipes that come with flambeau.")
@click.option(
    "--schema", "json_schema", is_flag=True, help="Print the JSON schema of recipe files, for editors."
)
@debug_option
def command(
    source: str | None,
    recipe_file: str | None,
    settings: tuple[str, ...],
    out: str | None,
    list_options: bool,
    list_named: bool,
    json_schema: bool,
    **flags: Any,
) -> None:
    """Look at SOURCE and write the recipe that `flambeau train` would follow, with its reasons.

    For the name of a recipe that comes with flambeau, such as fast, write that recipe.
    """
    if list_options + list_named + json_schema > 1:
        raise UsageError("--options, --named and --schema cannot be printed together", expected="one of them")
    if list_options:
        text = _options_text()
    elif list_named:
        text = _named_text()
    elif json_schema:
        text = to_json(recipe_json_schema(), indent=2) + "\n"
    elif source is not None and source in named_recipes() and not Path(source).exists():
        if recipe_file or settings or any(flags.values()):
            raise UsageError(
                f"'{source}' is a recipe, and options need data to be looked at",
                expected="the data first",
                command=f"flambeau recipe DATA --recipe {source} …",
            )
        text = named_recipes()[source]
    else:
        text = _resolved(build_recipe(source, recipe_file, settings, flags))
    path = path_or_none(out)
    if path is None:
        click.echo(text, nl=False)
    else:
        write_text(path, text)
        click.echo(f"written: {path}", err=True)


def _resolved(recipe: Any) -> str:
    with make_show(quiet=False, as_json=False, to_stderr=True, choices=False) as show:
        from flambeau.using import resolve  # torch takes seconds

        return recipe_to_yaml(resolve(recipe.source, recipe, show))


def _named_text() -> str:
    return "".join(f"{name}\n    {summary_of(text)}\n" for name, text in named_recipes().items())


def _options_text() -> str:
    lines = []
    for row in option_rows():
        lines += [row.key, f"    {row.meaning}", f"    {row.takes}; default: {row.default}"]
    return "\n".join(lines) + "\n"
