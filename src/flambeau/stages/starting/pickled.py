"""A pickled file of weights, once trusted: its code is run a single time, and a plain file stands in its place.

The consent is never written down: a run names the plain file, so whoever resumes, verifies or copies it runs no code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flambeau.data.places import state_folder
from flambeau.errors import ModelError
from flambeau.recipe import Recipe
from flambeau.records.files import atomic_file, digest_file
from flambeau.stages.journal import Journal


def convert_pickle(recipe: Recipe, journal: Journal) -> Recipe:
    """The recipe without its consent, and with plain weights in the place of a pickled file that it names.

    Raises:
        ModelError: the file is damaged, or a class that it needs cannot be imported.
    """
    consent, recipe.model.trust_pickle = recipe.model.trust_pickle, False
    recipe.model.model_fields_set.discard("trust_pickle")
    path = Path(recipe.model.pretrained or "")
    if not consent or not path.is_file() or path.suffix == ".safetensors":
        return recipe
    from safetensors.torch import save_file

    from flambeau.models.state_dicts import read_state_dict, unpickle_state_dict

    try:
        read_state_dict(path)
        return recipe
    except ValueError:
        journal.note(f"running the code in {path}, because --trust-pickle says that its maker is trusted")
    try:
        with _importable(path.parent):
            tensors = unpickle_state_dict(path)
    except ValueError as error:
        raise ModelError("this file of weights cannot be used", where=path, got=str(error)) from error
    plain = state_folder() / "converted" / f"{path.stem}-{digest_file(path)[:16]}.safetensors"
    with atomic_file(plain) as temporary:
        save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, temporary)
    journal.note(f"its weights are kept as {plain}, which holds no code; the run names that file")
    recipe.model.pretrained = str(plain)
    return recipe


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let classes beside the file, and in the present folder, be imported, as when a script there is run."""
    added = [str(folder.resolve()), str(Path.cwd())]
    sys.path[:0] = added
    try:
        yield
    finally:
        for place in added:
            sys.path.remove(place)
