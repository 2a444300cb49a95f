"""`flambeau eject`: a run as one script of plain PyTorch that ends in the same weights."""

from __future__ import annotations

from pathlib import Path

import click

from flambeau.cli.options import complete_run, debug_option
from flambeau.errors import UsageError
from flambeau.records import find_run, write_text


@click.command("eject", short_help="Write a run as one script of plain PyTorch.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option("--out", metavar="FILE", help="Write the script to a file instead of the terminal.")
@click.option(
    "--check", is_flag=True, help="Run the script by itself and compare its weights with the run's."
)
@debug_option
def command(run_name: str | None, out: str | None, check: bool) -> None:
    """Write RUN (the newest if none is named) as one readable script that needs no flambeau.

    It reads the same data, makes the same split, trains the same model, and ends in the same weights, bit for bit on a
    CPU with the same versions.
    """
    run = find_run(run_name)
    if out is not None and Path(out).suffix != ".py":
        raise UsageError("a script is Python", got=f"--out {out}", expected="a file that ends in .py")
    from flambeau.deploy.eject import eject  # torch takes seconds

    script = eject(run)
    if out is not None:
        write_text(Path(out), script)
        click.echo(f"{out}: {script.count(chr(10))} lines; python {out} trains it", err=True)
    elif not check:
        click.echo(script, nl=False)
    if check:
        _check(run.path, script)


def _check(path: Path, script: str) -> None:
    from flambeau.deploy.eject.check import check_script
    from flambeau.errors import RunError
    from flambeau.records import RunFolder

    click.echo("running the script by itself …", err=True)
    result = check_script(RunFolder(path), script)
    if result.equal:
        click.echo(
            f"equal: the script of {script.count(chr(10))} lines ends in the weights of {path}, bit for bit"
        )
        return
    raise RunError(
        "the script ends in other weights than the run",
        where=path,
        got=f"{len(result.differing)} tensors differ, by at most {result.largest:.3g}",
        expected="equal weights; another version of torch, processor or number of threads gives other last bits",
        command=f"flambeau verify {path} --retrain",
    )
