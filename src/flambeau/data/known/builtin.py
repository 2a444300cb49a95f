"""Real data sets that come with scikit-learn, so that everything can be tried without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow

from flambeau.data.known.files import open_known_files
from flambeau.data.known.names import BUILTIN_NAMES, KNOWN_FILE_NAMES
from flambeau.data.samples import PictureArray
from flambeau.data.source import Source

_TARGET_OF = {"iris": "species", "wine": "cultivar", "breast_cancer": "diagnosis", "diabetes": "progression"}
_BRIGHTEST_DIGIT_PIXEL = 16


def open_named(name: str, root: str | None) -> Source | None:
    """Data that a name stands for and that are not made into a file first; None for another word.

    Args:
        name: in its plain spelling.
        root: data.root, the folder of a known set's own files.

    Raises:
        DataError: the files of a known set are not there.
    """
    if name in BUILTIN_NAMES:
        return open_builtin(name)
    return open_known_files(name, root) if name in KNOWN_FILE_NAMES else None


def open_builtin(name: str) -> Source:
    """A data set of `BUILTIN_NAMES` as a source; importing scikit-learn takes seconds, so it is done here."""
    from sklearn import datasets

    loaders: dict[str, Any] = {one: getattr(datasets, f"load_{one}") for one in BUILTIN_NAMES}
    data = loaders[name]()
    if name == "digits":
        pixels = np.rint(data.images * (255 / _BRIGHTEST_DIGIT_PIXEL)).astype(np.uint8)[..., None]
        ids = tuple(f"picture {number}" for number in range(1, len(pixels) + 1))
        return Source(ids=ids, target={"digit": data.target}, pictures=PictureArray(pixels))
    target = data.target if name == "diabetes" else np.asarray(data.target_names, dtype=object)[data.target]
    columns = {str(column): pyarrow.array(data.data[:, i]) for i, column in enumerate(data.feature_names)}
    return Source(
        ids=tuple(f"row {number}" for number in range(1, len(data.data) + 1)),
        target={_TARGET_OF[name]: target},
        table=pyarrow.table(columns),
    )
