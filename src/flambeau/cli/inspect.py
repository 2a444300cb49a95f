"""`flambeau inspect`: the layers of a model, with shapes, parameters, multiply-adds and memory."""

from __future__ import annotations

from pathlib import Path

import click

from flambeau.cli.options import complete_run, debug_option
from flambeau.cli.words import size, table
from flambeau.errors import UsageError
from flambeau.recipe.fields import is_own
from flambeau.records import to_json


@click.command("inspect", short_help="Show the layers of a model.")
@click.argument("name", metavar="[RUN|FILE.py:CLASS]", required=False, shell_complete=complete_run)
@click.option(
    "--input",
    "shapes",
    metavar="SHAPE",
    multiple=True,
    help="One sample of a class of yours: 1x28x28, 40:int.",
)
@click.option(
    "--outputs", default=10, show_default=True, help="Classes, for a constructor that asks for them."
)
@click.option("--batch", default=1, show_default=True, help="Samples at once.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(name: str | None, shapes: tuple[str, ...], outputs: int, batch: int, as_json: bool) -> None:
    """Show every layer of the model of RUN (without it, of the newest run), or of a class in a file of yours:
    the shape of its output, parameters, multiply-adds and memory.

    A class's file is run. Nothing is computed: the layers see tensors that have shapes only.
    """
    if batch < 1 or outputs < 1:
        raise UsageError("--batch and --outputs are at least 1", got=f"{batch} and {outputs}")
    notes: list[str] = []
    if name is not None and is_own(name):
        if not Path(name.rpartition(":")[0]).is_file():
            raise UsageError("there is no such file", where=name.rpartition(":")[0])
        if not shapes:
            raise UsageError(
                "the shape of one sample is not known",
                expected="--input, without the batch",
                command=f"flambeau inspect {name} --input 1x28x28",
            )
        from flambeau.using.inspection import inspect_own  # torch takes seconds

        layers, given = inspect_own(name, list(shapes), outputs, batch)
        notes = [f"built with  {', '.join(given)}"] if given else []
    else:
        if shapes:
            raise UsageError("a run knows the shape of its samples", got=f"--input {shapes[0]}")
        from flambeau.deploy.versions.resolve import find_model

        run = find_model(name)
        from flambeau.using.inspection import inspect_run

        layers = inspect_run(run, batch)
    if as_json:
        click.echo(to_json(layers.to_json()))
        return
    rows = [["layer", "kind", "output", "parameters", "multiply-adds", "output memory"]]
    for row in layers.rows:
        kind = row.kind if row.trainable == row.parameters else f"{row.kind} (frozen)"
        shape = " ".join(shown(part) for part in row.output) or "not called"
        again = f" x{row.calls}" if row.calls > 1 else ""
        rows.append(
            [
                (row.name or "(whole)") + again,
                kind,
                shape,
                f"{row.parameters:,}",
                f"{row.multiply_adds:,}",
                size(row.output_bytes),
            ]
        )
    for line in table(rows):
        click.echo(line)
    click.echo()
    for line in [
        *notes,
        f"parameters  {layers.total('parameters'):,}, of which {layers.total('trainable'):,} learn; "
        f"{size(layers.parameter_bytes)}",
        f"work        {layers.total('multiply_adds'):,} multiply-adds for {shown_batch(batch)}",
        f"outputs     {size(layers.total('output_bytes'))} of all layers, as training keeps them",
        f"gives       {' '.join(shown(part) for part in layers.output)}",
    ]:
        click.echo(line)


def shown(shape: tuple[int, ...]) -> str:
    """A shape as it is typed: 1x28x28."""
    return "x".join(str(side) for side in shape) or "one number"


def shown_batch(batch: int) -> str:
    """How many samples, in words."""
    return "one sample" if batch == 1 else f"{batch:,} samples"
