"""`flambeau recipe`: every choice for data as a file, without training; the list of all options."""

from __future__ import annotations

from typing import Any

import click

from flambeau.cli.options import build_recipe, debug_option, path_or_none, recipe_options
from flambeau.cli.show import make_show
from flambeau.errors import UsageError
from flambeau.recipe import option_rows, recipe_json_schema, recipe_to_yaml
from flambeau.records import to_json, write_text


@click.command("recipe", short_help="Write every choice for data as a file, without training.")
@click.argument("source", required=False)
@recipe_options()
@click.option("--out", metavar="FILE", help="Write to a file instead of the terminal.")
@click.option("--options", "list_options", is_flag=True, help="List every option of the recipe.")
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
    json_schema: bool,
    **flags: Any,
) -> None:
    """Look at SOURCE and write the recipe that `flambeau train` would follow, with its reasons."""
    if list_options and json_schema:
        raise UsageError("--options and --schema cannot both be printed", expected="one of them")
    if list_options:
        text = _options_text()
    elif json_schema:
        text = to_json(recipe_json_schema(), indent=2) + "\n"
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


def _options_text() -> str:
    lines = []
    for row in option_rows():
        lines += [row.key, f"    {row.meaning}", f"    {row.takes}; default: {row.default}"]
    return "\n".join(lines) + "\n"
