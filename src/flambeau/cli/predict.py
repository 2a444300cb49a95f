"""`flambeau predict`: new pictures or rows, to the terminal, JSON lines or a file of any length."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from flambeau.cli.forecast_lines import forecast_lines
from flambeau.cli.options import complete_run, debug_option, typed_command
from flambeau.cli.predict_text import answer_texts, print_answers, shortened
from flambeau.cli.runs_and_words import split_run
from flambeau.cli.stop import STOPPED
from flambeau.cli.words import counted, duration, number, printable
from flambeau.deploy.batch.target import check_target
from flambeau.errors import DataError, UsageError
from flambeau.records import RunFolder, to_json
from flambeau.schema import Finding

BATCH = 64


@dataclass(frozen=True)
class _Wishes:
    """What was typed beside --out."""

    batch: int | None
    keep: tuple[str, ...]
    restart: bool
    threads: int | None
    quiet: bool


@click.command("predict", short_help="Predict new pictures or rows.")
@click.argument("run_and_paths", metavar="[RUN] PATH...", nargs=-1, shell_complete=complete_run)
@click.option(
    "--text",
    "texts",
    multiple=True,
    metavar="TEXT",
    help="A text to predict, in place of PATH; may be repeated.",
)
@click.option("--explain", is_flag=True, help="With --text: also say which words move the answer.")
@click.option("--out", metavar="FILE", help="Write a table: .parquet, .csv or .jsonl; goes on after a stop.")
@click.option(
    "--keep", metavar="COLUMN,...", help="With --out: columns of the tables to carry along, or all."
)
@click.option("--restart", is_flag=True, help="With --out: begin anew, though it was begun before.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each input, one a line.")
@click.option("--batch", type=click.IntRange(min=1), help="Inputs at a time; otherwise by their size.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the CPU; otherwise all cores.")
@click.option("--quiet", "-q", is_flag=True, help="With --out: print no progress and no summary.")
@debug_option
def command(
    run_and_paths: tuple[str, ...],
    texts: tuple[str, ...],
    explain: bool,
    out: str | None,
    keep: str | None,
    restart: bool,
    as_json: bool,
    batch: int | None,
    threads: int | None,
    quiet: bool,
) -> None:
    """Predict each PATH (pictures, tables, folders or archives of them) with the model of RUN.

    Without RUN, the newest run predicts. With --out, inputs may be larger than memory, and the same command goes on
    after a stop. The file has a row for each input: `input`, `label` and `p(CLASS)`, or `value`; `strange`, what is
    unlike the training data; `error`, why an input could not be read.
    """
    words = list(run_and_paths)
    run, words = split_run(words)
    if texts and not words and out is None:
        answers = answer_texts(run, texts, explain=explain)
        lines = [_line({**answer, "input": shortened(answer["input"])}) for answer in answers]
        print_answers(answers, lines, as_json=as_json)
        return
    if texts or explain:
        raise UsageError(
            "--text stands in place of files, and --explain is for --text",
            command="flambeau predict RUN --text 'some text' --explain",
        )
    if not words:
        raise UsageError(
            "nothing to predict is named",
            expected="pictures, folders of pictures, or tables",
            command=f"flambeau predict {run.path} YOUR_FILES",
        )
    if out is not None:
        if as_json:
            raise UsageError("--json prints and --out writes", expected="one of them")
        _write(run, words, check_target(out, words), _Wishes(batch, _names(keep), restart, threads, quiet))
        return
    for given, option in ((keep, "--keep"), (restart, "--restart")):
        if given:
            raise UsageError(f"{option} belongs to a file of predictions", expected="--out FILE beside it")
    _print(run, words, as_json, batch or BATCH, threads)


def tell_finding(finding: Finding) -> None:
    """What reading noticed goes to stderr, so that it is not taken for an answer."""
    click.echo(f"! {finding.message}", err=True)


def _names(keep: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (keep or "").split(",") if name.strip())


def _print(run: RunFolder, words: list[str], as_json: bool, batch: int, threads: int | None) -> None:
    """Answer on the terminal, input by input."""
    from flambeau.deploy.predict import predict  # torch takes seconds

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    count = unreadable = 0
    for prediction in predict(run, words, batch, tell_finding):
        count += 1
        unreadable += "error" in prediction
        if as_json:
            click.echo(to_json(prediction))
        elif "times" in prediction:
            for line in forecast_lines(prediction):
                click.echo(line)
        else:
            click.echo(_line(prediction))
    _tell_unreadable(unreadable, count)


def _write(run: RunFolder, words: list[str], target: Path, wishes: _Wishes) -> None:
    """Predict into a file, in parts, and tell how it goes."""
    from rich.console import Console

    from flambeau.cli.predict_progress import PredictProgress
    from flambeau.deploy.batch.job import BatchOptions, predict_to_file  # torch takes seconds

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    progress = PredictProgress(console, console.is_terminal and not console.is_dumb_terminal)
    done = total = 0

    def listen(record: dict[str, Any]) -> None:
        nonlocal done, total
        if record["kind"] == "finding":
            progress.clear()
            tell_finding(Finding(**{key: value for key, value in record.items() if key != "kind"}))
            return
        if record["kind"] == "rows":
            done, total = record["done"], record["total"]
        if not wishes.quiet:
            progress(record)

    again = typed_command().replace(" --restart", "")
    options = BatchOptions(wishes.batch, wishes.keep, wishes.restart, wishes.threads, again)
    try:
        summary = predict_to_file(run, words, target, options, listen)
    except KeyboardInterrupt:
        progress.clear()
        click.echo(f"stopped at {done:,} of {counted(total, 'input')}. Go on with: {again}", err=True)
        raise click.exceptions.Exit(STOPPED) from None
    finally:
        progress.clear()
    if not wishes.quiet:
        new = summary.rows - summary.resumed
        rate = f", {new / summary.seconds:,.0f} a second" if summary.seconds > 1 else ""
        written = f"{counted(summary.rows, 'prediction')} written: {target}"
        click.echo(f"{written}  ({duration(summary.seconds)}{rate})", err=True)
        if summary.strange:
            share = 100 * summary.strange / summary.rows
            told = f"{counted(summary.strange, 'input')} ({share:.1f} %) unlike the training data: column 'strange'"
            click.echo(f"! {told}", err=True)
    _tell_unreadable(summary.errors, summary.rows)


def _tell_unreadable(unreadable: int, count: int) -> None:
    if unreadable:
        raise DataError(f"{counted(unreadable, 'input')} of {count:,} could not be read")


def _line(prediction: dict[str, Any]) -> str:
    """The input's name, the answer, and how probable that is."""
    probabilities: dict[str, float] = prediction.get("probabilities") or {}
    if "error" in prediction:
        answer = f"not readable: {prediction['error']}"
    elif "value" in prediction:
        answer = number(prediction["value"])
    elif "knows" in prediction:
        answer = f"{printable(prediction['answer'])}  ({prediction['confidence']:.0%} sure)"
    elif isinstance(prediction["label"], list | tuple):
        sure = ", ".join(f"{name} {probabilities[name]:.2f}" for name in prediction["label"])
        answer = sure or "none"
    else:
        label = str(prediction["label"])
        answer = f"{label}  {probabilities[label]:.2f}" if label in probabilities else label
    strange = "".join(f"  ({sentence})" for sentence in prediction.get("strange", ()))
    return f"{prediction['input']}  {answer}{strange}"
