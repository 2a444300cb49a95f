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
    from flambeau.insight.report import write_report  # matplotlib and scikit-learn take seconds

    path = write_report(run.path)
    if run.finished:
        plots = (f"{run.plots.name}/{plot.name}" for plot in run.plots.glob("*"))
        run.write_digests(only=[run.report.name, *plots])
    click.echo(str(path))
