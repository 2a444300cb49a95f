"""What goes wrong in a training, told to a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from flambeau.errors import ModelError, RunError
from flambeau.training.checkpoint import CheckpointError
from flambeau.training.session import Session


class Watched(Protocol):
    """Parts of a training of any kind."""

    session: Session


@contextmanager
def explained_checkpoint(folder: Path) -> Iterator[None]:
    """Raises RunError, with the command that goes on, for a checkpoint that cannot be written into this folder."""
    try:
        yield
    except CheckpointError as error:
        raise RunError(
            "a checkpoint could not be written; the ones before it are kept",
            where=folder,
            got=str(error),
            expected="free space",
            command=f"flambeau resume {folder.parent.parent}",
        ) from error


@contextmanager
def explained(parts: Watched) -> Iterator[None]:
    """What goes wrong in a training, told to a person.

    Raises RunError for a checkpoint that cannot be written, ModelError for a loss that diverges or a model that is
    too large.
    """
    try:
        with explained_checkpoint(parts.session.folder):
            yield
    except ArithmeticError as error:
        raise ModelError(
            "the training diverged", got=str(error), command="--set training.optimizer.lr=…"
        ) from error
    except MemoryError as error:
        raise ModelError("the model does not fit into memory", got=str(error)) from error
