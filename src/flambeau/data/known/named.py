"""Where the data lie that a name stands for: made data, and known data sets that come as arrays."""

from __future__ import annotations

import shutil
from pathlib import Path

from flambeau.data.known.names import KNOWN_ARRAY_NAMES, is_synthetic, plain_name
from flambeau.data.places import cache_folder
from flambeau.recipe import Recipe

MADE_FOLDERS = ("synthetic", "known")


def place_of(source: str, root: str | None = None) -> str:
    """The path behind a name; any other source as it is.

    Made data, and known sets of small pictures, are made into files of the cache now, if they are not there yet. A
    path that exists comes first, so that a file is never hidden by a name.

    Args:
        source: a path or a name.
        root: data.root, the folder of a known set's own files.

    Raises:
        DataError: made data of a kind or with an option that there is not; a known set that is nowhere.
    """
    if Path(source).expanduser().exists():
        return source
    # Pillow, numpy's generators and torchvision take a while to import
    if is_synthetic(source):
        from flambeau.data.synthetic.make import place_of_synthetic

        return str(place_of_synthetic(source))
    if plain_name(source) in KNOWN_ARRAY_NAMES:
        from flambeau.data.known.arrays import place_of_arrays

        return str(place_of_arrays(plain_name(source), root))
    return source


def at_place(recipe: Recipe) -> Recipe:
    """The recipe with the paths that its source and its test source stand for; itself where both are paths already."""
    root = recipe.data.root
    source = None if recipe.source is None else place_of(recipe.source, root)
    test = None if recipe.data.test is None else place_of(recipe.data.test, root)
    if (source, test) == (recipe.source, recipe.data.test):
        return recipe
    return recipe.model_copy(update={"source": source, "data": recipe.data.model_copy(update={"test": test})})


def made_bytes() -> int:
    """How many bytes of the cache are made data and known data sets."""
    files = (file for name in MADE_FOLDERS for file in (cache_folder() / name).rglob("*"))
    return sum(file.stat().st_size for file in files if file.is_file())


def clear_made() -> int:
    """Remove made data and known data sets from the cache; they are made again when needed. Returns the bytes freed."""
    freed = made_bytes()
    for name in MADE_FOLDERS:
        shutil.rmtree(cache_folder() / name, ignore_errors=True)
    return freed
