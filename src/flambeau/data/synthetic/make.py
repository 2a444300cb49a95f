"""From a name such as "synthetic:image:500" to files that the ordinary readers read, made once, kept in the cache."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.known.names import SYNTHETIC_KINDS, SyntheticName, read_synthetic_name
from flambeau.data.places import cache_folder
from flambeau.data.synthetic.pictures import make_image, make_mixed, make_scans
from flambeau.data.synthetic.series import make_prices, make_series
from flambeau.data.synthetic.tables import make_multilabel, make_regression, make_table
from flambeau.data.synthetic.words import make_dialogue, make_language, make_text
from flambeau.errors import DataError

# Raised whenever the same name would give other values than before.
_VERSION = 1


@dataclass(frozen=True)
class Maker:
    """How one kind is made.

    Args:
        write: (an empty folder, count, generator, noise): writes the data.
        file: what of it is the source; "" for the folder.
        count: samples where none are asked for.
        settings: of the recipe, where the person does not say otherwise.
    """

    write: Callable[[Path, int, np.random.Generator, float], None]
    file: str
    count: int
    settings: Mapping[str, Any] = field(default_factory=dict)


MAKERS: dict[str, Maker] = {
    "image": Maker(make_image, "", 1000),
    "table": Maker(make_table, "table.csv", 2000, {"data.target": "label"}),
    "multilabel": Maker(make_multilabel, "multilabel.csv", 2000, {"data.target": "labels"}),
    "regression": Maker(make_regression, "regression.csv", 2000, {"data.target": "value"}),
    "text": Maker(make_text, "texts.csv", 2000, {"data.target": "label"}),
    "series": Maker(make_series, "series.csv", 4000, {"task": "forecast", "data.target": "load"}),
    "prices": Maker(make_prices, "prices.csv", 2000, {"task": "forecast", "data.target": "Close"}),
    "dialogue": Maker(make_dialogue, "dialogue.json", 400, {"task": "chat"}),
    "mixed": Maker(make_mixed, "homes.csv", 1000, {"data.target": "price"}),
    "scans": Maker(make_scans, "", 300),
    "language": Maker(make_language, "language.txt", 5000, {"task": "language"}),
}
assert tuple(MAKERS) == SYNTHETIC_KINDS


def synthetic_settings(source: str) -> Mapping[str, Any]:
    """Dotted key → value of the options that made data are meant for, such as their target."""
    return MAKERS[read_synthetic_name(source).kind].settings


def place_of_synthetic(source: str) -> Path:
    """The file or folder of made data; they are made now where the cache does not hold them yet.

    Equal words give equal files: everything is drawn from one generator that begins at the seed.

    Raises:
        DataError: no such kind, an option that cannot be, or a library or the disk that is missing.
    """
    name = read_synthetic_name(source)
    maker = MAKERS[name.kind]
    count = maker.count if name.count is None else name.count
    words = f"{name.kind}-{count}-seed{name.seed}-noise{name.noise:g}-v{_VERSION}"
    home = cache_folder() / "synthetic" / words
    if not home.is_dir():
        _make(home, maker, name, count)
    return home / maker.file if maker.file else home


def _make(home: Path, maker: Maker, name: SyntheticName, count: int) -> None:
    """Write into a folder of another name, which gets the right one when all is there."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=home.parent))
    except OSError as error:
        raise DataError("the cache cannot be written to", where=home.parent, got=error.strerror) from error
    try:
        maker.write(unfinished, count, np.random.default_rng(name.seed), name.noise)
        unfinished.rename(home)
    except ImportError as error:
        raise DataError(
            f"making {name.kind} needs a library that is not installed",
            got=str(error),
            command=f"pip install {error.name or 'pydicom'}",
        ) from error
    except OSError as error:
        # another process may have been first with the same content
        if not home.is_dir():
            raise DataError("made data cannot be written", where=home, got=error.strerror) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
