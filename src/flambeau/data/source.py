"""A source that has been opened but not yet understood: inputs, targets as they came, parts and groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from flambeau.data.samples import PictureArray, PictureFiles
from flambeau.data.tables.kinds import require_column
from flambeau.data.tables.table import column_values
from flambeau.data.target import TARGET_NAMES
from flambeau.errors import DataError
from flambeau.recipe.options import ColumnKind
from flambeau.schema import Finding


@dataclass(frozen=True)
class Source:
    """What a source holds, before its target is learnt.

    Args:
        ids: a name a sample.
        target: name → values of each target column, as they came; empty where targets were not asked for.
        pictures: the pictures, or None for a table.
        table: the input columns of a table, or None for pictures.
        root: the folder that paths in the table are relative to.
        folders: whether the target is the names of folders.
        parts, groups: as in Samples.
        findings: what was noticed.
        kinds: of columns whose kind is known and need not be guessed.
    """

    ids: tuple[str, ...]
    target: Mapping[str, Any]
    pictures: PictureFiles | PictureArray | None = None
    table: pyarrow.Table | None = None
    root: Path | None = None
    folders: bool = False
    parts: np.ndarray | None = None
    groups: np.ndarray | None = None
    findings: tuple[Finding, ...] = ()
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)


class Notes:
    """Collects what core readers tell as findings; call it with a code and a sentence."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def __call__(self, code: str, message: str) -> None:
        self.findings.append(Finding("warning", code, message))


@contextmanager
def core_errors() -> Iterator[None]:
    """Errors of the core readers as DataError, with their own sentence."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise DataError(str(error)) from error


def target_names(target: str, known: Sequence[str]) -> tuple[str, ...]:
    """The column that `target` names, or the columns where it names several with commas between them."""
    if target in known or "," not in target:
        names: tuple[str, ...] = (target,)
    else:
        names = tuple(name.strip() for name in target.split(",") if name.strip())
    for name in names:
        require_column(name, known, "--target names a column")
    return names


def ask_for_target(source: str, known: Sequence[str], forecast: str = "") -> DataError:
    """The error that names the likely target and the command that confirms it; `forecast` hints at a time series."""
    whole = {name.lower(): name for name in known}
    pieces = {piece: name for name in known for piece in re.split(r"[^a-z0-9]+", name.lower())}
    by_word = {**pieces, **whole}
    hinted = next((by_word[word] for word in TARGET_NAMES if word in by_word), None)
    likely = hinted or known[-1]
    why = "by its name" if hinted else "the last column"
    return DataError(
        "which column is to be predicted?",
        where=source,
        got=f"columns {', '.join(known[:20])}" + (", ..." if len(known) > 20 else ""),
        expected=f"one of them; '{likely}' is likely ({why})",
        hint=forecast,
        command=f"flambeau train {quoted(source)} --target {quoted(likely)}",
    )


def quoted(word: str) -> str:
    """A word as one types it in a shell."""
    return f'"{word}"' if any(letter in word for letter in " ()&;|<>*?$'") else word


def group_codes(values: Any) -> np.ndarray:
    """One integer a row, equal for equal values; rows without a value are a group of their own."""
    texts = column_values(values, "category")
    keys = np.array([f"/{row}" if text is None else f"={text}" for row, text in enumerate(texts)])
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)
