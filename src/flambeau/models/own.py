"""A person's own nn.Module from a file: found by its name, its constructor filled with what it asks for.

Which files may be run at all is the matter of `records.own_code`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from flambeau.errors import ModelError
from flambeau.records.own_code import (
    check_trust,
    digest_of,
    find_part,
    load_own,
    run_file,
    trust_file,
)

__all__ = [
    "build_own",
    "check_trust",
    "digest_of",
    "load_own",
    "load_own_class",
    "own_arguments",
    "trust_file",
]

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
    "lookback": ("lookback", "seq_len", "input_length", "context_length"),
    "horizon": ("horizon", "pred_len", "prediction_length", "forecast_length"),
    "targets": ("targets", "num_targets"),
    "inputs": ("inputs", "in_features", "num_features", "n_features", "input_size"),
    "height": ("height", "image_height"),
    "width": ("image_width",),
}

ModuleMaker = Callable[..., nn.Module]


def load_own_class(path: Path, class_name: str, *, digest: str) -> ModuleMaker:
    """The class of that name, or the function that returns a module, from a file whose content has that digest.

    Raises:
        ModelError: the file changed, does not run, or has no nn.Module of that name.
    """
    module = run_file(path, digest)
    found = getattr(module, class_name, None)
    if inspect.isfunction(found):
        return found
    own_class: ModuleMaker = find_part(
        module, class_name, path, f"nn.Module '{class_name}'", _is_module_class
    )
    return own_class


def _is_module_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


def build_own(path: Path, class_name: str, *, digest: str, arguments: dict[str, Any]) -> nn.Module:
    """The module that a class or a function of a file makes. Raises ModelError for one that makes another thing."""
    made = load_own_class(path, class_name, digest=digest)(**arguments)
    if not isinstance(made, nn.Module):
        raise ModelError(
            f"'{class_name}' returns no module",
            where=path,
            got=type(made).__name__,
            expected="a class that derives from torch.nn.Module, or a function that returns one",
        )
    return made


def own_arguments(own_class: ModuleMaker, known: dict[str, int]) -> dict[str, Any]:
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
