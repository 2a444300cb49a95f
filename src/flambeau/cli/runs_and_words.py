"""Which of a command's words is the run or the bundle, where it may be left out, and what else they may be."""

from __future__ import annotations

from pathlib import Path

import click

from flambeau.data.known.names import is_data_name
from flambeau.deploy.versions.resolve import find_model, is_model_word, is_stored
from flambeau.deploy.versions.store import model_names
from flambeau.errors import RunError
from flambeau.records import RunFolder, find_run, is_run, list_runs, nearest_run


def split_run(words: list[str], whole: int | None = None) -> tuple[RunFolder, list[str]]:
    """The run or bundle, and the words that are not it; without one, the newest run, which is told.

    A name of the store of models that is the name of data too is taken for data where it stands alone.

    Args:
        words: as typed.
        whole: with this many words the first must be a run or a bundle.

    Raises:
        RunError: the first word is neither a run, a bundle, a model, nor a file, folder or built-in data.
    """
    if words and (len(words) == whole or _is_model(words[0], alone=len(words) == 1)):
        run = find_model(words[0])
        if not is_run(run.path) and str(run.path) != words[0]:
            click.echo(f"model     {run.path}", err=True)
        return run, words[1:]
    if words and not _is_source(words[0]):
        known = [row.name for row in list_runs()] + model_names()
        raise RunError(
            f"there is neither a run nor a file '{words[0]}'",
            hint=nearest_run(Path(words[0]).name, known),
            command="flambeau runs",
        )
    run = find_run(None)
    click.echo(f"run       {run.path}", err=True)
    return run, words


def _is_model(word: str, *, alone: bool) -> bool:
    if is_stored(word) and not is_run(word):
        return not (Path(word).exists() or (alone and _is_source(word)))
    return is_model_word(word)


def _is_source(word: str) -> bool:
    if Path(word).expanduser().exists():
        return True
    return is_data_name(word)
