"""A person's own nn.Module from a file, and which files may be run.

Running a Python file is running its author's code. A file is run when a person names it on the command line or
in a recipe; its digest is then remembered on this machine. A bundle that names a file is believed only if that
file, with that very content, was trained with here before.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from flambeau.errors import ModelError, did_you_mean

SYNONYMS = {
    "channels": ("channels", "in_channels", "in_chans", "input_channels", "n_channels"),
    "outputs": (
        "outputs",
        "num_classes",
        "n_classes",
        "classes",
        "out_features",
        "num_outputs",
        "output_size",
    ),
    "inputs": ("inputs", "in_features", "num_features", "n_features", "input_size"),
    "height": ("height", "image_height"),
    "width": ("image_width",),
}


def digest_of(path: Path) -> str:
    """blake2b of a source file. Raises ModelError where it cannot be read."""
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        near = (
            did_you_mean(path.name, [other.name for other in path.parent.glob("*.py")])
            if path.parent.is_dir()
            else ""
        )
        raise ModelError(
            "the file of the model cannot be read",
            where=path,
            got=error.strerror,
            expected="--model file.py:Class",
            hint=near,
        ) from error


def trust_file(path: Path, store: Path) -> None:
    """Remember in `store` (a JSON list) that a person named this file, with its present content."""
    known = _trusted(store)
    known.add(digest_of(path))
    store.parent.mkdir(parents=True, exist_ok=True)
    temporary = store.with_name(f".{store.name}.{os.getpid()}")
    temporary.write_text(json.dumps(sorted(known)), encoding="utf-8")
    temporary.replace(store)


def check_trust(path: Path, digest: str, store: Path) -> None:
    """Raises ModelError unless the file has this content and a person named it on this machine before."""
    if digest_of(path) != digest:
        raise ModelError(
            "the file of the model has changed since the training", where=path, expected=f"digest {digest}"
        )
    if digest not in _trusted(store):
        raise ModelError(
            "this model is code in a file that was never trained with on this machine, so it is not run",
            where=path,
            expected="a look at the file, and then your consent",
            command=f"FLAMBEAU_TRUST={digest} flambeau …",
        )


def _trusted(store: Path) -> set[str]:
    consent = {os.environ["FLAMBEAU_TRUST"]} if os.environ.get("FLAMBEAU_TRUST") else set()
    try:
        return consent | set(json.loads(store.read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError):
        return consent


def load_own_class(path: Path, class_name: str, *, digest: str) -> type[nn.Module]:
    """The class of that name from a file whose content has that digest.

    Raises:
        ModelError: the file changed, does not run, or has no nn.Module of that name.
    """
    if digest_of(path) != digest:
        raise ModelError(
            "the file of the model has changed since the training", where=path, expected=f"digest {digest}"
        )
    module = _run_file(path)
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, nn.Module):
        return found
    modules = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    ]
    raise ModelError(
        f"there is no nn.Module '{class_name}' in this file",
        where=path,
        expected="one of " + ", ".join(modules) if modules else "a class that derives from torch.nn.Module",
        hint=did_you_mean(class_name, modules),
    )


def _run_file(path: Path) -> ModuleType:
    name = f"flambeau_own_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ModelError("this is not a Python file", where=path, expected="--model file.py:Class")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))  # so that the file may import its neighbours, as when it is run
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise ModelError(
            "the file of the model does not run", where=path, got=f"{type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def own_arguments(own_class: type[nn.Module], known: dict[str, int]) -> dict[str, Any]:
    """Values for those constructor parameters whose names say what they want, such as `num_classes`.

    Raises ModelError for a required parameter that flambeau cannot fill.
    """
    meaning = {word: key for key, words in SYNONYMS.items() for word in words}
    arguments: dict[str, Any] = {}
    for name, parameter in inspect.signature(own_class).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        key = meaning.get(name)
        if key in known:
            arguments[name] = known[key]
        elif parameter.default is parameter.empty:
            fillable = sorted(word for word, key in meaning.items() if key in known)
            raise ModelError(
                f"the constructor of {own_class.__name__} requires '{name}', which flambeau cannot know",
                expected="a default value for it, or one of the names " + ", ".join(fillable),
            )
    return arguments
