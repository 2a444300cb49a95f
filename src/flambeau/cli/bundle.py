"""`flambeau bundle`: a model with all that it needs to answer, as one file or folder to ship."""

from __future__ import annotations

from pathlib import Path

import click

from flambeau.cli.options import complete_run, debug_option
from flambeau.cli.words import counted, size
from flambeau.deploy.versions.resolve import find_model
from flambeau.records import digest_file


@click.command("bundle", short_help="Write a model as one file or folder to ship.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option("--out", metavar="FILE.zip|FOLDER", help="What to write; NAME.zip here if not given.")
@debug_option
def command(run_name: str | None, out: str | None) -> None:
    """Write the model of RUN (a run or NAME@VERSION; without it, the newest run) with its card, checked.

    Equal models make equal files. No path of this machine is in it.
    """
    from flambeau.deploy.packed import ship

    run = find_model(run_name)
    name = (
        run.name
        if run.model != run.path or not run.name.isdigit()
        else f"{run.path.resolve().parent.name}-{run.name}"
    )
    target = Path(out) if out else Path(f"{name}.zip")
    own = ship(run.model, target, name)
    if target.is_file():
        click.echo(f"{target}  {size(target.stat().st_size)}  blake2b {digest_file(target)[:32]}")
    else:
        files = [path for path in target.iterdir() if path.is_file()]
        total = sum(path.stat().st_size for path in files)
        click.echo(f"{target}  {size(total)} in {counted(len(files), 'file')}")
    for file, digest in own:
        click.echo(
            f"! the network is code in {file} (digest {digest}), which is not in the bundle: ship it too",
            err=True,
        )
    click.echo(f"  next:     flambeau predict {target} YOUR_FILES")
