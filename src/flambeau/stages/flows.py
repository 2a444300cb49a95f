"""Tasks whose samples are no rows or pictures, and which therefore have a flow of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flambeau.data.dialogue.recognise import looks_like_chat
from flambeau.data.known.names import is_synthetic
from flambeau.data.source import quoted
from flambeau.data.synthetic.make import synthetic_settings
from flambeau.data.tables.delimited import looks_delimited
from flambeau.data.texts.files import TEXT_SUFFIXES
from flambeau.deploy.bundle import Bundle
from flambeau.errors import RecipeError, RunError
from flambeau.recipe import Choices, Recipe
from flambeau.records import RunFolder
from flambeau.stages.chat.flow import resume_chat, train_chat
from flambeau.stages.journal import Journal
from flambeau.stages.language.flow import resume_language, train_language
from flambeau.stages.texts.using import (
    Found,
    evaluate_chat,
    evaluate_language,
    resolve_chat,
    resolve_language,
)


@dataclass(frozen=True)
class Flow:
    """How a task is trained, from its source to a finished run, and how a stopped run goes on.

    Args:
        train: (source, recipe, out=, listener=, command=) → run.
        resume: (run, listener=) → run.
        resolve: (choices, journal) → schema, how many there are, findings; every choice filled in.
        evaluate: (bundle, source, recipe, journal) → scores on other data.
    """

    train: Callable[..., RunFolder]
    resume: Callable[..., RunFolder]
    resolve: Callable[[Choices, Journal], Found]
    evaluate: Callable[[Bundle, str, Recipe, Journal], dict[str, Any]]


FLOWS = {
    "language": Flow(train_language, resume_language, resolve_language, evaluate_language),
    "chat": Flow(train_chat, resume_chat, resolve_chat, evaluate_chat),
}


def flow_of(recipe: Recipe, source: str) -> Flow | None:
    """The flow of a task, or of data that can be meant for no other; None for samples."""
    task = recipe.task
    if task is None and is_synthetic(source) and not Path(source).expanduser().exists():
        task = synthetic_settings(source).get("task")
    plain = Path(source).suffix.lower() in TEXT_SUFFIXES and recipe.data.target is None
    _refuse_column_of_text(recipe, source)
    if task is None and plain and Path(source).is_file() and not looks_delimited(Path(source)):
        task = "language"
    if task is None and recipe.data.target is None and looks_like_chat(Path(source).expanduser()):
        task = "chat"
    return FLOWS.get(task or "")


def _refuse_column_of_text(recipe: Recipe, source: str) -> None:
    path = Path(source).expanduser()
    if recipe.task is not None or recipe.data.target is None or path.suffix.lower() not in TEXT_SUFFIXES:
        return
    if path.is_file() and not looks_delimited(path):
        raise RecipeError(
            "--target names a column, and this file is one plain text without any",
            where=source,
            got=recipe.data.target,
            expected="a text to learn a language from, or a table with columns",
            command=f"flambeau train {quoted(source)}",
        )


def refuse_start(from_run: Path | None) -> None:
    """Raises RunError where such a task is to go on from another run's weights."""
    if from_run is not None:
        raise RunError(
            "a model of texts begins anew; it does not go on from another run",
            where=from_run,
            expected="the same command without --from; flambeau resume goes on with a run that was stopped",
        )
