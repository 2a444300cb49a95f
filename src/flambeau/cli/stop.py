"""What is said after Ctrl-C: what was saved, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from flambeau.cli.options import typed_command
from flambeau.cli.show import Show
from flambeau.cli.telling import STOPPED
from flambeau.errors import RunError
from flambeau.records import RunFolder, is_run, newest_runs

if TYPE_CHECKING:
    from flambeau.training.distributed import Ranks


@contextmanager
def stoppable(show: Show, ranks: Ranks | None, out: Path | None, began: float) -> Iterator[None]:
    """A training, which Ctrl-C or the loss of another process may end: it is told how to go on.

    Args:
        show: is closed before anything else is told.
        ranks: the processes that train together; None for one.
        out, began: as for `leave_stopped`.
    """
    try:
        # torch takes seconds, which Ctrl-C may end too
        from flambeau.stages.engine.ranks import understood
        from flambeau.training.distributed import ALONE

        with understood(ranks or ALONE, partial(resume_command, out, began)):
            yield
    except KeyboardInterrupt as stop:
        show.close()
        if ranks is not None and not ranks.first:
            raise click.exceptions.Exit(STOPPED) from None
        leave_stopped(stop, out, began)


def leave_stopped(stop: KeyboardInterrupt, out: Path | None, began: float) -> NoReturn:
    """Tell how to go on with the run that was stopped, and leave.

    Args:
        stop: may carry the run's folder as its argument.
        out: the folder that the person named.
        began: when the command began, in seconds since 1970; an older run is not the one that was stopped.
    """
    run = stopped_run(stop, out, began)
    if run is None:
        click.echo("stopped before there was anything to keep; the same command begins anew", err=True)
    else:
        click.echo(f"stopped; what was done is saved. Go on with: flambeau resume {run.path}", err=True)
    raise click.exceptions.Exit(STOPPED)


def resume_command(out: Path | None, began: float) -> str:
    """How to go on with the run that has just ended too early; "" where there is none."""
    run = stopped_run(KeyboardInterrupt(), out, began)
    return "" if run is None else f"flambeau resume {run.path}"


def stopped_run(stop: KeyboardInterrupt, out: Path | None, began: float) -> RunFolder | None:
    """The run that was stopped, if there is one; the arguments are those of `leave_stopped`."""
    if stop.args and is_run(str(stop.args[0])):
        return RunFolder(str(stop.args[0]))
    if out is not None:
        return RunFolder(out) if is_run(out) else None
    # Another command may train beside this one. File systems keep times to two seconds at worst.
    own = (run for run in newest_runs() if run.log.stat().st_mtime >= began - 2 and _typed(run))
    return next(own, None)


def _typed(run: RunFolder) -> bool:
    """Whether a run was begun by what was typed here."""
    try:
        return bool(run.read_json(run.environment.name)["command"] == typed_command())
    except (RunError, KeyError, TypeError):
        return False
