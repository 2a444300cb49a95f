"""Which of a command's words is the run, where it may be left out, and what else they may be."""

from __future__ import annotations

from pathlib import Path

import click

from flambeau.errors import RunError, did_you_mean
from flambeau.records import RunFolder, find_run, is_run, list_runs
from flambeau.records.folder import RUNS


def split_run(words: list[str], whole: int | None = None) -> tuple[RunFolder, list[str]]:
    """The run, and the words that are not it; without a run's name, the newest run, which is told.

    Args:
        words: as typed.
        whole: with this many words the first must be a run.

    Raises:
        RunError: the first word is neither a run nor a file, folder or built-in data.
    """
    if words and (is_run(words[0]) or is_run(RUNS / words[0]) or len(words) == whole):
        return find_run(words[0]), words[1:]
    if words and not _is_source(words[0]):
        runs = [row.name for row in list_runs()]
        raise RunError(
            f"there is neither a run nor a file '{words[0]}'",
            hint=did_you_mean(Path(words[0]).name, runs),
            command="flambeau runs",
        )
    run = find_run(None)
    click.echo(f"run       {run.path}", err=True)
    return run, words


def _is_source(word: str) -> bool:
    if Path(word).expanduser().exists():
        return True
    from flambeau.data.builtin import BUILTIN_NAMES  # numpy and arrow take a while

    return word in BUILTIN_NAMES
