"""Pictures to learn to make: their labels, where there are any, serve only the score of what is made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flambeau.data.pictures.folder import FolderScan
from flambeau.data.samples import PictureFiles
from flambeau.data.source import Source
from flambeau.data.target import Target, apply_target, learn_target
from flambeau.errors import DataError
from flambeau.schema import Finding, Schema, Task

# a name that no column is likely to have
UNLABELLED = "(unlabelled)"


def open_pictures_alone(scan: FolderScan) -> Source:
    """All pictures of a folder, to any depth, without labels."""
    return Source(
        ids=scan.pictures, target={}, pictures=PictureFiles(scan.root, scan.pictures), findings=scan.findings
    )


def learn_target_of(opened: Source, task: Task | None) -> Target:
    """The target of an opened source: that of `learn_target`, or, where pictures are to be made, their labels.

    Raises:
        DataError: nothing can be learnt from it, or the task is to make pictures and there are none.
    """
    if task != "generate":
        return learn_target(opened.target, task, folders=opened.folders)
    if opened.pictures is None:
        raise DataError(
            "pictures are made from pictures, and these data have none",
            got="--task generate",
            expected="a folder of pictures, arrays of pictures, or a table with one column of pictures",
            command="flambeau train digits --task generate",
        )
    why = "no labels are there"
    if opened.target:
        try:
            found = learn_target(opened.target, None, folders=opened.folders)
        except DataError as error:
            why = error.what
        else:
            if found.task == "classification":
                reason = f"asked for; the {len(found.classes)} classes serve the score alone"
                return replace(found, task="generate", reason=reason)
            why = f"the labels ask for {found.task}, not for classes"
    message = (
        f"the pictures have no classes ({why}): the score will use features of a net that is not trained"
    )
    return _without_labels(len(opened.ids), UNLABELLED, (Finding("info", "unlabelled", message),))


def apply_target_of(opened: Source, schema: Schema) -> Target:
    """The target of further data, as an existing schema has it. Raises DataError for unknown classes."""
    if schema.task != "generate":
        return apply_target(opened.target, schema, folders=opened.folders)
    if not schema.classes or not opened.target:
        return _without_labels(len(opened.ids), schema.target)
    found = apply_target(opened.target, replace(schema, task="classification"), folders=opened.folders)
    return replace(found, task="generate")


def _without_labels(count: int, name: str, told: tuple[Finding, ...] = ()) -> Target:
    zeros, known = np.zeros(count, dtype=np.int64), np.ones(count, dtype=bool)
    return Target(name, "generate", (), zeros, known, "asked for", told)
