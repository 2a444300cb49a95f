"""`flambeau train`: one command from data to a tested model."""

from __future__ import annotations

import time
from typing import Any

import click

from flambeau.cli.options import (
    build_recipe,
    complete_run,
    output_options,
    path_or_none,
    recipe_options,
    typed_command,
)
from flambeau.cli.show import make_show
from flambeau.cli.stop import stoppable
from flambeau.deploy.versions.resolve import find_model
from flambeau.records import check_free


@click.command("train", short_help="Train a model on data and test it honestly.")
@click.argument("source", required=False)
@recipe_options()
@click.option(
    "--from",
    "from_run",
    metavar="RUN",
    shell_complete=complete_run,
    help="Go on from another run's or bundle's model.",
)
@click.option("--out", metavar="FOLDER", help="The run's folder; otherwise the next free name under runs/.")
@click.option("--tune-precision", is_flag=True, help="Time number formats and layouts, and keep the fastest.")
@output_options
def command(
    source: str | None,
    recipe_file: str | None,
    settings: tuple[str, ...],
    from_run: str | None,
    out: str | None,
    tune_precision: bool,
    quiet: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train a model on SOURCE and test it on samples that it has not seen.

    SOURCE is a folder of pictures or scans (DICOM, NIfTI), a table whose columns are numbers, categories, dates,
    texts, paths of pictures or a time series (CSV, Parquet, JSONL, Excel), a folder of texts, a text to learn to
    write from (.txt), questions with answers (JSON, YAML), arrays (.npz, .npy, idx), a zip or tar of these, the
    name of built-in data such as digits, or synthetic:KIND for made-up data (text, image, table, series, ...).
    """
    recipe = build_recipe(source, recipe_file, settings, flags)
    start_run = find_model(from_run).path if from_run else None
    began, ranks = time.time(), click.get_current_context().obj
    if ranks is None or ranks.first:
        check_free(path_or_none(out))
    if recipe.devices > 1 and ranks is None:
        from flambeau.cli.launch import launch  # starts this very command in several processes

        launch(recipe.devices, recipe.device, path_or_none(out), began)
    with make_show(quiet, as_json) as show:
        with stoppable(show, ranks, path_or_none(out), began):
            # Imported here, as torch takes seconds: what was mistyped is told at once.
            from flambeau.pipeline import train
            from flambeau.training.distributed import ALONE

            run = train(
                str(recipe.source),
                recipe,
                out=path_or_none(out),
                from_run=start_run,
                listener=show,
                command=typed_command(),
                tune=tune_precision,
                ranks=ranks or ALONE,
            )
        if ranks is None or ranks.first:
            show.finish(run)
