"""Real data sets that come with scikit-learn, so that everything can be tried without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow

from flambeau.data.samples import PictureArray
from flambeau.data.source import Source

BUILTIN_NAMES = ("digits", "iris", "wine", "breast_cancer", "diabetes")

_TARGET_OF = {"iris": "species", "wine": "cultivar", "breast_cancer": "diagnosis", "diabetes": "progression"}
_BRIGHTEST_DIGIT_PIXEL = 16


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
