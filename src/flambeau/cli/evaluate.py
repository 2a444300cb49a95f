"""`flambeau evaluate`: the scores of a run, again or on other data."""

from __future__ import annotations

import click

from flambeau.cli.options import complete_run, debug_option
from flambeau.cli.runs_and_words import split_run
from flambeau.cli.show import make_show
from flambeau.errors import UsageError
from flambeau.records import to_json


@click.command("evaluate", short_help="Score a run again, or on other data.")
@click.argument("run_and_source", metavar="[RUN] [SOURCE]", nargs=-1, shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="Print the scores as one JSON object.")
@debug_option
def command(run_and_source: tuple[str, ...], as_json: bool) -> None:
    """Score the model of RUN (without it, of the newest run) on its test part, or on all of SOURCE."""
    words = list(run_and_source)
    if len(words) > 2:
        raise UsageError("evaluate takes a run and at most one source", got=" ".join(words))
    run, rest = split_run(words, whole=2)
    source = rest[0] if rest else None
    with make_show(quiet=as_json, as_json=False) as show:
        from flambeau.using import evaluate  # torch takes seconds

        scores = evaluate(run, source, show)
        show.scored(scores)
    if as_json:
        click.echo(to_json(scores))
