"""`flambeau check`: what is wrong with data, before any training."""

from __future__ import annotations

from typing import Any

import click

from flambeau.cli.options import build_recipe, debug_option, recipe_options
from flambeau.cli.show import make_show
from flambeau.cli.words import counted
from flambeau.records import to_json

NOUNS = {"language": "character", "chat": "question"}


@click.command("check", short_help="Tell what is wrong with data, before any training.")
@click.argument("source", required=False)
@recipe_options("target", "task", "horizon", "test")
@click.option("--json", "as_json", is_flag=True, help="Print the schema and the findings as one JSON object.")
@debug_option
def command(
    source: str | None, recipe_file: str | None, settings: tuple[str, ...], as_json: bool, **flags: Any
) -> None:
    """Read SOURCE and list what is wrong with it: broken files, duplicates, leaks, imbalance, odd columns.

    The exit code is 1 if something would stop a training.
    """
    recipe = build_recipe(source, recipe_file, settings, flags)
    with make_show(quiet=as_json, as_json=False, all_items=True) as show:
        from flambeau.using import check  # torch takes seconds

        report = check(str(recipe.source), recipe, show)
    findings = [finding.to_json() for finding in report.findings]
    if as_json:
        click.echo(to_json({"schema": report.schema.to_json(), "count": report.count, "findings": findings}))
    else:
        for finding in findings:
            if finding not in show.findings:
                show({"kind": "finding", **finding})
        levels = [finding["level"] for finding in findings]
        errors, warnings = levels.count("error"), levels.count("warning")
        samples = counted(report.count, NOUNS.get(report.schema.task, "sample"))
        click.echo(
            f"{samples}: {counted(errors, 'error')}, {counted(warnings, 'warning')}, "
            f"{counted(len(levels) - errors - warnings, 'remark')}"
        )
    if any(finding["level"] == "error" for finding in findings):
        raise click.exceptions.Exit(1)
