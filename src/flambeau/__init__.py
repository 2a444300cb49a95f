"""From your own data to a tested PyTorch model. Public names load on first use, so the import is quick."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public name → the module that has it. None of them is imported before the name is used, so that
# `import flambeau` does not wait for torch.
_HOMES = {
    "train": "flambeau.api",
    "resume": "flambeau.api",
    "load": "flambeau.api",
    "check": "flambeau.api",
    "Run": "flambeau.api",
    "fit": "flambeau.training.fit",
    "Recipe": "flambeau.recipe",
    "load_recipe": "flambeau.recipe",
    "FlambeauError": "flambeau.errors",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flambeau' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
