"""`flambeau report`: write a run's report again and tell where it is."""

from __future__ import annotations

import click

from flambeau.cli.options import complete_run, debug_option
from flambeau.records import find_run


@click.command("report", short_help="Write a run's report again and tell where it is.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@debug_option
def command(run_name: str | None) -> None:
    """Write report.html of RUN (without it, of the newest run) from what the run kept, and print its path."""
    run = find_run(run_name)
    from flambeau.pipeline import report  # matplotlib and torch take seconds

    click.echo(str(report(run)))
