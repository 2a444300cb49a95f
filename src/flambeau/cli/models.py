"""`flambeau models`: a folder of versions: register, list, tag, roll back, compare, remove."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from flambeau.cli.options import complete_run, debug_option
from flambeau.cli.words import counted, number, table
from flambeau.deploy.versions import index, store
from flambeau.deploy.versions.listing import VersionRow, list_versions
from flambeau.deploy.versions.resolve import find_model
from flambeau.evaluation.wording import metric_name
from flambeau.records import is_run, to_json

Command = TypeVar("Command", bound=Callable[..., Any])


class Changes(click.Group):
    """The verbs under `flambeau models`; a subcommand that is mistyped is told with the nearest one."""

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order in which a person needs them."""
        return ["list", "register", "tag", "rollback", "compare", "remove"]


def store_option(command: Command) -> Command:
    """Add `--store` and `--debug` to a subcommand."""
    command = debug_option(command)
    return click.option(
        "--store",
        "store_name",
        metavar="FOLDER",
        help="The folder of versions; FLAMBEAU_MODELS or models/ without it.",
    )(command)


@click.group(
    "models",
    cls=Changes,
    invoke_without_command=True,
    short_help="Versions of models: register, tag, roll back.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each version, one a line.")
@store_option
@click.pass_context
def command(context: click.Context, store_name: str | None, as_json: bool) -> None:
    """List the versions in the store, the newest of each model first, with their tags and main scores.

    NAME@3, NAME@production and NAME (what production points to, or the newest) stand for a run in other verbs.
    """
    context.obj = store_name
    if context.invoked_subcommand is not None:
        return
    _list(context, as_json)


@command.command("list", short_help="List the versions; the same as without a word.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each version, one a line.")
@store_option
@click.pass_context
def listing(context: click.Context, as_json: bool, store_name: str | None) -> None:
    """List the versions in the store, the newest of each model first, with their tags and main scores."""
    context.obj = store_name or context.obj
    _list(context, as_json)


def _list(context: click.Context, as_json: bool) -> None:
    rows = list_versions(_store(context, None))
    if as_json:
        for row in rows:
            click.echo(to_json(row.to_json()))
    elif rows:
        for line in table([HEADINGS, *map(_listed, rows)], gap="  "):
            click.echo(line)
    else:
        place = store.store_folder(_store(context, None))
        click.echo(f"no models in {place} yet\n  next:     flambeau models register RUN")


HEADINGS = ["model", "tags", "task", "score", "", "95 % interval", "registered", "from", "data", "note"]
FINGERPRINT_LETTERS = 8


def _listed(row: VersionRow) -> list[str]:
    score = row.score
    interval = ""
    if score.get("low") is not None and score.get("high") is not None:
        interval = f"{number(score['low'])} to {number(score['high'])}"
    return [
        f"{row.name}@{row.version}",
        ", ".join(row.tags),
        row.task,
        metric_name(row.metric),
        number(score.get("value")) if score else "",
        interval,
        row.registered[:16].replace("T", " "),
        row.origin,
        row.fingerprint[:FINGERPRINT_LETTERS],
        row.note,
    ]


def _store(context: click.Context, named: str | None) -> Path | None:
    """The store that the subcommand or the command before it named."""
    name = named or (context.parent.obj if context.parent is not None and context.parent.obj else context.obj)
    return Path(name) if name else None


@command.command("register", short_help="Copy a run's model into the store as the next version.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option("--name", help="Of the model; the run's own, without its number, if not given.")
@click.option("--tag", default="", help="Let this tag point to the new version.")
@click.option("--note", default="", help="A sentence to be listed with it.")
@store_option
@click.pass_context
def register(
    context: click.Context,
    run_name: str | None,
    name: str | None,
    tag: str,
    note: str,
    store_name: str | None,
) -> None:
    """Copy the bundle of RUN (a run or a bundle; without it, the newest run) as the next version of a model."""
    run = find_model(run_name)
    if name is None:
        name = default_name(run.name)
    place = _store(context, store_name)
    number_ = store.register(run.model, name, tag=tag, note=note, origin=run.name, store=place)
    folder = store.store_folder(place) / name / str(number_)
    click.echo(f"{name}@{number_}" + (f", {tag}" if tag else "") + f"  {folder}")
    if not is_run(run.path) or not tag:
        click.echo(f"  next:     flambeau models tag {name} {number_} {store.PRODUCTION}")


def default_name(run: str) -> str:
    """The name of a model for a run's: "digits" for "digits-3". Raises UsageError where it would be none."""
    stem, _, last = run.rpartition("-")
    return index.check_name(stem if stem and last.isdigit() else run)


@command.command("tag", short_help="Let a tag point to a version.")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.argument("tag")
@store_option
@click.pass_context
def move_tag(context: click.Context, name: str, version: int, tag: str, store_name: str | None) -> None:
    """Let TAG, such as production, point to VERSION of the model NAME."""
    before = store.move_tag(name, version, tag, store=_store(context, store_name))
    told = f"; it was {name}@{before}" if before not in (None, version) else ""
    click.echo(f"{tag} is {name}@{version}{told}")


@command.command("rollback", short_help="Let a tag point to what it pointed to before.")
@click.argument("name")
@click.argument("tag", default=store.PRODUCTION)
@store_option
@click.pass_context
def rollback(context: click.Context, name: str, tag: str, store_name: str | None) -> None:
    """Let TAG (without it, production) of the model NAME point to the version that it pointed to before."""
    before, present = store.roll_back(name, tag, store=_store(context, store_name))
    click.echo(f"{tag} is {name}@{present} again; it was {name}@{before}")


@command.command("remove", short_help="Remove a version.")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--force", is_flag=True, help="Even if a tag points to it; the tag goes too.")
@store_option
@click.pass_context
def remove(context: click.Context, name: str, version: int, force: bool, store_name: str | None) -> None:
    """Remove VERSION of the model NAME and its files. Its number is not given again."""
    store.remove(name, version, force=force, store=_store(context, store_name))
    click.echo(f"{name}@{version} is removed")


@command.command("compare", short_help="Compare two models on one test part.")
@click.argument("first", shell_complete=complete_run)
@click.argument("second", shell_complete=complete_run)
@click.argument("source", metavar="[DATA]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as one JSON object.")
@store_option
@click.pass_context
def compare(
    context: click.Context, first: str, second: str, source: str | None, as_json: bool, store_name: str | None
) -> None:
    """Score FIRST and SECOND (runs, bundles or NAME@VERSION) on the same samples, with the interval of the difference.

    The samples are the test part of FIRST, or all of DATA. Neither model may have been trained on any of them; of
    two runs with the same folds of the same data, the predictions that the folds kept are compared.
    """
    from flambeau.cli.show import make_show

    place = _store(context, store_name)
    runs = (find_model(first, place), find_model(second, place))
    with make_show(quiet=as_json, as_json=False) as show:
        from flambeau.using import compare as compare_models  # torch takes seconds

        result = compare_models(*runs, source, names=(first, second), listener=show)
    if as_json:
        click.echo(to_json(result))
        return
    rows = [["", first, second, "difference", "95 % interval"]]
    for metric, gap in result["differences"].items():
        scores = [number(values[metric]) for values in result["scores"]]
        interval = f"{number(gap['low'])} to {number(gap['high'])}"
        rows.append([metric_name(metric), *scores, number(gap["value"]), interval])
    click.echo()
    for line in table(rows, gap="  "):
        click.echo(f"  {line}")
    click.echo(f"\n{result['verdict']} ({counted(result['rows'], 'sample')})")
