"""`flambeau resume`: go on with a run that was stopped or killed."""

from __future__ import annotations

import time

import click

from flambeau.cli.options import complete_run, output_options
from flambeau.cli.show import make_show
from flambeau.cli.stop import leave_stopped
from flambeau.records import RunFolder, find_run, list_runs


@click.command("resume", short_help="Go on with a run that was stopped or killed.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@output_options
def command(run_name: str | None, quiet: bool, as_json: bool) -> None:
    """Go on with RUN from its last checkpoint; without RUN, with the newest that is not finished.

    The weights at the end are those of a run that was never stopped, bit for bit.
    """
    run = find_run(run_name) if run_name else _newest_unfinished()
    began = time.time()
    with make_show(quiet, as_json) as show:
        from flambeau.pipeline import resume  # torch takes seconds

        try:
            resume(run, listener=show)
        except KeyboardInterrupt as stop:
            show.close()
            leave_stopped(stop, run.path, began)
        show.finish(run)


def _newest_unfinished() -> RunFolder:
    unfinished = [row.name for row in list_runs() if row.status == "unfinished"]
    return find_run(unfinished[0] if unfinished else None)
