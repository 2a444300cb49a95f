"""`flambeau verify`: is a run whole, is the data the same, can it be repeated."""

from __future__ import annotations

import click

from flambeau.cli.options import complete_run, debug_option
from flambeau.cli.show import make_show
from flambeau.records import find_run, to_json


@click.command("verify", short_help="Check that a run is whole and can be repeated.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.argument("source", metavar="[DATA]", required=False)
@click.option("--retrain", is_flag=True, help="Repeat the run and compare the weights, bit for bit.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each check, one a line.")
@debug_option
def command(run_name: str | None, source: str | None, retrain: bool, as_json: bool) -> None:
    """Compare RUN with its digests, DATA with the data it was trained on, and this machine with its machine.

    The exit code is 1 if something differs that must not.
    """
    run = find_run(run_name)
    with make_show(quiet=as_json, as_json=False) as show:
        from flambeau.using import verify  # torch takes seconds

        rows = verify(run, source, retrain=retrain, listener=show)
        if not as_json:
            show.verified(rows)
    if as_json:
        for row in rows:
            click.echo(to_json(row))
    if not all(row["ok"] for row in rows):
        raise click.exceptions.Exit(1)
