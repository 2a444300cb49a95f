"""`flambeau serve`: answer over HTTP."""

from __future__ import annotations

import click

from flambeau.cli.options import complete_run, debug_option
from flambeau.errors import UsageError
from flambeau.records import find_run

DEFAULT_BATCH, DEFAULT_QUEUE, DEFAULT_MB, DEFAULT_SECONDS = 32, 256, 32, 30.0


@click.command("serve", short_help="Answer over HTTP.")
@click.argument("runs", metavar="[RUN]...", nargs=-1, shell_complete=complete_run)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for every one."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one."
)
@click.option(
    "--api-key",
    metavar="KEY",
    envvar="FLAMBEAU_API_KEY",
    show_envvar=True,
    help="Answer only requests with this key.",
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads of the CPU.")
@click.option(
    "--max-batch", type=click.IntRange(1, 4096), default=DEFAULT_BATCH, show_default=True, metavar="N",
    help="Inputs that are answered together.",
)  # fmt: skip
@click.option(
    "--queue", type=click.IntRange(min=1), default=DEFAULT_QUEUE, show_default=True, metavar="N",
    help="Inputs that may wait; more are refused.",
)  # fmt: skip
@click.option(
    "--max-mb", type=click.IntRange(1, 4096), default=DEFAULT_MB, show_default=True, metavar="N",
    help="Size of a request.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=DEFAULT_SECONDS, show_default=True, metavar="SECONDS",
    help="Time for a request to arrive, and again to be answered.",
)  # fmt: skip
@debug_option
def command(
    runs: tuple[str, ...],
    host: str,
    port: int,
    api_key: str | None,
    threads: int | None,
    max_batch: int,
    queue: int,
    max_mb: int,
    timeout: float,
) -> None:
    """Answer requests over HTTP with the model of each RUN: a run, a bundle, or NAME@VERSION of `flambeau models`.

    Without RUN, the newest run answers. name=RUN gives a model another name. The first model answers at /predict,
    every model at /models/NAME/predict; / is a page to try them, /openapi.json describes them. Ctrl-C stops, after
    what was accepted is answered.
    """
    if api_key is not None and (
        not api_key.isascii() or not api_key.isprintable() or " " in api_key or not api_key
    ):
        raise UsageError(
            "this key cannot stand in a header", expected="ASCII letters, digits and signs, no blanks"
        )
    words = list(runs) or [str(find_run(None).path)]
    from flambeau.deploy.serve.limits import Limits  # torch takes seconds
    from flambeau.deploy.serve.run import Address, serve

    def ready(address: Address) -> None:
        click.echo(f"ready     {address.url}  ({'; '.join(address.models)})   try: {address.example}")

    serve(
        words,
        host=host,
        port=port,
        api_key=api_key or "",
        threads=threads,
        limits=Limits(bytes=max_mb * 2**20, bodies=max(8 * max_mb, 256) * 2**20, batch=max_batch, queue=queue,
                      seconds=timeout, header_seconds=min(10.0, timeout)),
        on_ready=ready,
        on_note=lambda text: click.echo(f"! {text}", err=True),
    )  # fmt: skip
    click.echo("stopped", err=True)
