"""`flambeau predict`: new pictures or rows, to the terminal, JSON lines or a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from flambeau.cli.options import complete_run, debug_option
from flambeau.cli.runs_and_words import split_run
from flambeau.cli.words import counted, number
from flambeau.errors import DataError, UsageError
from flambeau.records import atomic_file, to_json, write_text
from flambeau.schema import Finding


@click.command("predict", short_help="Predict new pictures or rows.")
@click.argument("run_and_paths", metavar="[RUN] PATH...", nargs=-1, shell_complete=complete_run)
@click.option("--out", metavar="FILE", help="Write a table: .csv or .parquet.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each input, one a line.")
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Inputs at a time.")
@debug_option
def command(run_and_paths: tuple[str, ...], out: str | None, as_json: bool, batch: int) -> None:
    """Predict each PATH (pictures, folders of pictures, or tables) with the model of RUN.

    Without RUN, the newest run predicts.
    """
    words = list(run_and_paths)
    run, words = split_run(words)
    if not words:
        raise UsageError(
            "nothing to predict is named",
            expected="pictures, folders of pictures, or tables",
            command=f"flambeau predict {run.path} YOUR_FILES",
        )
    target = _checked_target(out, words)
    from flambeau.deploy.predict import predict  # torch takes seconds

    count = unreadable = 0

    def counted_through() -> Iterator[dict[str, Any]]:
        nonlocal count, unreadable
        for prediction in predict(run, words, batch, tell_finding):
            count += 1
            unreadable += "error" in prediction
            yield prediction

    if target is not None:
        rows = [_flat(prediction) for prediction in counted_through()]
        (_write_csv if target.suffix.lower() == ".csv" else _write_parquet)(target, rows)
        click.echo(f"{counted(count, 'prediction')} written: {target}", err=True)
    else:
        for prediction in counted_through():
            click.echo(to_json(prediction) if as_json else _line(prediction))
    if unreadable:
        raise DataError(f"{counted(unreadable, 'input')} of {count:,} could not be read")


def tell_finding(finding: Finding) -> None:
    """What reading noticed goes to stderr, so that it is not taken for an answer."""
    click.echo(f"! {finding.message}", err=True)


def _checked_target(out: str | None, inputs: list[str]) -> Path | None:
    """The file to write, told to be wrong before any work is done."""
    if out is None:
        return None
    target = Path(out)
    if target.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(
            "predictions cannot be written so", got=out, expected="a file that ends in .csv or .parquet"
        )
    if any(target.resolve() == Path(name).resolve() for name in inputs):
        raise UsageError("the predictions would overwrite their own input", got=f"--out {out}")
    return target


def _flat(prediction: dict[str, Any]) -> dict[str, Any]:
    """One row of a table: the probabilities become columns "p(CLASS)"."""
    row = {key: value for key, value in prediction.items() if key != "probabilities"}
    row = {key: "|".join(value) if isinstance(value, list | tuple) else value for key, value in row.items()}
    for name, probability in (prediction.get("probabilities") or {}).items():
        row[f"p({name})"] = probability
    return row


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=_columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {name: [row.get(name) for row in rows] for name in _columns(rows)}
    with atomic_file(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row)) or ["input"]


def _line(prediction: dict[str, Any]) -> str:
    """The input's name, the answer, and how probable that is."""
    probabilities: dict[str, float] = prediction.get("probabilities") or {}
    if "error" in prediction:
        answer = f"not readable: {prediction['error']}"
    elif "value" in prediction:
        answer = number(prediction["value"])
    elif isinstance(prediction["label"], list | tuple):
        sure = ", ".join(f"{name} {probabilities[name]:.2f}" for name in prediction["label"])
        answer = sure or "none"
    else:
        label = str(prediction["label"])
        answer = f"{label}  {probabilities[label]:.2f}" if label in probabilities else label
    return f"{prediction['input']}  {answer}"
