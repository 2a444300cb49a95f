"""Data that a person's own code gives: "data.py:MyDataset" as a source, and Datasets that came from Python."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from flambeau.data.own.items import Items, read_items
from flambeau.data.pictures.arrays import images_as_pixels
from flambeau.data.pictures.source import label_columns
from flambeau.data.places import state_folder
from flambeau.data.samples import PictureArray
from flambeau.data.source import Notes, Source, core_errors
from flambeau.errors import DataError, ModelError
from flambeau.recipe.fields import is_own
from flambeau.records.files import atomic_file
from flambeau.records.own_code import TRUSTED_FILES, check_trust, digest_of, load_own, split_own, trust_file

ROW_TARGET = "target"


def trust_own_data(source: str) -> None:
    """A file of data that a person named on the command line or from Python may be run; other sources pass."""
    if is_own(source):
        trust_file(split_own(source)[0], state_folder() / TRUSTED_FILES)


def open_own_data(name: str, group: str | None = None) -> Source:
    """Data from a person's own code as a source.

    Args:
        name: "file.py:Name" of a Dataset, of a class or function that makes one, or of arrays (inputs, targets).
        group: split.group, which items do not have.

    Raises:
        DataError: the file may not be run, or does not run; or see `read_items`.
    """
    if group is not None:
        raise DataError(
            "split.group names a column, and the items of a Dataset have none",
            got=group,
            expected="a table with that column",
        )
    try:
        file, part = split_own(name)
        digest = digest_of(file, "data")
        check_trust(file, digest, state_folder() / TRUSTED_FILES, "data")
        made = load_own(name, "data", digest)
    except ModelError as error:
        raise DataError(
            error.what,
            where=error.where,
            got=error.got,
            expected=error.expected,
            hint=error.hint,
            command=error.command,
        ) from error
    return source_of_items(read_items(made, part))


def source_of_items(items: Items) -> Source:
    """Rows of numbers as a table with the columns x1, x2, ...; everything else as pictures."""
    count = len(items.inputs)
    notes = Notes()
    if items.inputs.ndim == 2:
        numbers = items.inputs.astype(np.float64)
        names = items.names or tuple(f"x{place}" for place in range(1, numbers.shape[1] + 1))
        varied = [name for name, column in zip(names, numbers.T, strict=True) if len(np.unique(column)) > 1]
        return Source(
            ids=tuple(f"row {number}" for number in range(1, count + 1)),
            target=label_columns(items.targets, ROW_TARGET),
            table=pyarrow.table({name: numbers[:, place] for place, name in enumerate(names)}),
            root=Path(),
            kinds=dict.fromkeys(varied, "number"),
        )
    with core_errors():
        pixels = images_as_pixels(items.inputs, name="the pictures of the Dataset", on_note=notes)
    return Source(
        ids=tuple(f"picture {number}" for number in range(1, count + 1)),
        target=label_columns(items.targets),
        pictures=PictureArray(pixels),
        findings=tuple(notes.findings),
    )


def keep_items(made: Any, name: str) -> tuple[Path, dict[str, Any]]:
    """Write a Dataset that only lives in this Python to a file, so that its run can be resumed and verified.

    Args:
        made: see `read_items`.
        name: for the file and for messages.

    Returns:
        A file of arrays or a table in the state folder, named after its content; and the options it needs.
    """
    source = source_of_items(read_items(made, name))
    digest = hashlib.blake2b(digest_size=8)
    targets = {key: np.asarray(values) for key, values in source.target.items()}
    for key, values in targets.items():
        _add_array(digest, key, values)
    folder = state_folder() / "datasets"
    if isinstance(source.pictures, PictureArray):
        pixels = source.pictures.pixels
        _add_array(digest, "pixels", pixels)
        path = folder / f"{name}-{digest.hexdigest()}.npz"
        labels = (
            next(iter(targets.values())) if len(targets) == 1 else np.stack(list(targets.values()), axis=1)
        )
        if not path.is_file():
            with atomic_file(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, images=pixels, labels=labels)
        return path, {}
    assert source.table is not None
    import pyarrow.parquet as parquet

    for key, column in zip(source.table.column_names, source.table.columns, strict=True):
        _add_array(digest, key, column.to_numpy())
    path = folder / f"{name}-{digest.hexdigest()}.parquet"
    whole = source.table
    for key, values in targets.items():
        whole = whole.append_column(key, pyarrow.array(values))
    if not path.is_file():
        with atomic_file(path) as temporary:
            parquet.write_table(whole, temporary)
    return path, {"target": ",".join(targets), "data.columns": dict(source.kinds)}


def _add_array(digest: hashlib.blake2b, name: str, values: np.ndarray) -> None:
    """Name, type and shape go in as well, so that no two contents are the same row of bytes."""
    digest.update(f"{name!r} {values.dtype.str} {values.shape} ".encode())
    # an array of objects holds addresses, which differ from one process to the next
    digest.update(repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes())
