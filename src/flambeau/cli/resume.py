"""`flambeau resume`: go on with a run that was stopped or killed."""

from __future__ import annotations

import time

import click

from flambeau.cli.options import complete_run, output_options
from flambeau.cli.show import make_show
from flambeau.cli.stop import stoppable
from flambeau.recipe import Recipe, load_recipe
from flambeau.records import RunFolder, find_run, list_runs


@click.command("resume", short_help="Go on with a run that was stopped or killed.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option(
    "--devices", type=click.IntRange(1, 4096), metavar="N", help="Go on with another number of processes."
)
@output_options
def command(run_name: str | None, devices: int | None, quiet: bool, as_json: bool) -> None:
    """Go on with RUN from its last checkpoint; without RUN, with the newest that is not finished.

    The weights at the end are those of a run that was never stopped, bit for bit; with another number of
    processes, but for rounding.
    """
    run = find_run(run_name) if run_name else _newest_unfinished()
    began, ranks = time.time(), click.get_current_context().obj
    recipe = load_recipe(run.recipe) if run.recipe.is_file() and not run.finished else Recipe()
    count = devices or recipe.devices
    if count > 1 and ranks is None:
        from flambeau.cli.launch import launch  # starts this very command in several processes

        launch(count, recipe.device, run.path, began)
    with make_show(quiet, as_json) as show:
        with stoppable(show, ranks, run.path, began):
            from flambeau.pipeline import resume  # torch takes seconds
            from flambeau.training.distributed import ALONE

            resume(run, listener=show, ranks=ranks or ALONE)
        if ranks is None or ranks.first:
            show.finish(run)


def _newest_unfinished() -> RunFolder:
    unfinished = [row.name for row in list_runs() if row.status == "unfinished"]
    return find_run(unfinished[0] if unfinished else None)
