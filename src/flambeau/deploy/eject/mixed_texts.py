"""Texts of a script for tables with columns of pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from flambeau.data.pictures.paths import PictureFile
from flambeau.data.samples import Samples
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.text import literal
from flambeau.errors import RunError
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TablePreparation


def pictures_beside(facts: RunFacts) -> PicturePreparation | None:
    """How the pictures of a table's columns are prepared, all in one way; None without such columns."""
    preparation = facts.bundle.preparation
    if not isinstance(preparation, TablePreparation) or not preparation.pictures:
        return None
    return preparation.pictures[0].pictures


def pixels_beside(facts: RunFacts) -> int:
    """Pixels of all pictures of a row; 0 without any."""
    preparation = facts.bundle.preparation
    pictures = preparation.pictures if isinstance(preparation, TablePreparation) else ()
    return sum(math.prod(column.pictures.size) for column in pictures)


def picture_columns(facts: RunFacts) -> int:
    """How many columns of pictures there are."""
    preparation = facts.bundle.preparation
    return len(preparation.pictures) if isinstance(preparation, TablePreparation) else 0


def has_cells(facts: RunFacts) -> bool:
    """Whether the model sees numbers and categories."""
    preparation = facts.bundle.preparation
    return isinstance(preparation, TablePreparation) and preparation.has_cells


def has_values(facts: RunFacts) -> bool:
    """Whether the model sees more of a table than pictures."""
    preparation = facts.bundle.preparation
    return has_cells(facts) or (isinstance(preparation, TablePreparation) and preparation.text is not None)


def check_mixed(facts: RunFacts) -> None:
    """Raises RunError for a run with columns of pictures that has no plain script."""
    if pictures_beside(facts) is None:
        return
    if facts.recipe.data.test is not None:
        raise RunError(
            "pictures beside other columns with a test table of their own have no plain script yet",
            where=facts.folder.path,
        )


def folder_constants(facts: RunFacts, samples: Samples) -> list[str]:
    """Where the pictures of each column are, relative to the table, and the names of these columns."""
    names = facts.bundle.schema.picture_columns
    if not names:
        return []
    assert samples.columns is not None
    table = Path(str(facts.recipe.source)).resolve().parent
    folders = {}
    for name in names:
        first = next(value for value in samples.columns[name] if value is not None)
        folders[name] = str(first.root.resolve().relative_to(table))
    return [f"FOLDERS = {literal(folders)}  # of the pictures of each column, beside the table"]


def same_pictures(one: Any, other: Any, root: Path) -> bool:
    """Whether a path that the script reads names the picture that the run was trained on."""
    if isinstance(other, PictureFile):
        return bool(one == other.name)
    return one is None or not (root / one).is_file()
