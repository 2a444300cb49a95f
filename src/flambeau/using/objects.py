"""Classes, functions and Datasets that come from Python, as the names by which a run can find them again.

A run must be able to load its parts later: to go on after a kill, to answer, to be verified. So a part is a name in a
file, "file.py:Name", and what was typed in a console or a notebook has no such name.
"""

from __future__ import annotations

import functools
import inspect
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flambeau.data.own.loaders import is_loader
from flambeau.data.own.own_data import keep_items
from flambeau.errors import UsageError
from flambeau.recipe.describe import options
from flambeau.recipe.own_parts import OWN_PARTS

PLAIN = (str, int, float, bool, list, tuple, dict, type(None))
WRITE_IT = (
    "a file that holds it, in a notebook by %%writefile own.py in its cell; then {what}='own.py:{name}'"
)


def name_of_part(value: Any, key: str) -> Any:
    """ "file.py:Name" for a class or function that is the value of an option; other values as they are.

    Raises UsageError for one that no file holds by a name of its own.
    """
    what = OWN_PARTS[key].argument if key in OWN_PARTS else ""
    if isinstance(value, PLAIN) or not what:
        return value
    if isinstance(value, functools.partial) or not (inspect.isclass(value) or inspect.isfunction(value)):
        name = type(value).__name__
        raise UsageError(
            f"{what} is an object, and a run could not make it again after a kill",
            got=f"an object of the class {name}",
            expected=f"the class itself, or a function without arguments that returns such a {what}, in a file",
            hint="flambeau.fit(module, batches, loss=…) trains objects as they are",
        )
    known = getattr(options().get(key), "names", ())
    word = value.__name__.lower().removesuffix("_loss")
    if (value.__module__ or "").startswith("torch") and word in known:
        return word
    return own_name(value, what)


def own_name(value: Any, what: str) -> str:
    """ "file.py:Name" of a class or function. Raises UsageError where it has none."""
    name = value.__qualname__
    shown = name.replace("<locals>.", "") if "<lambda>" not in name else "your_function"
    try:
        file = Path(inspect.getsourcefile(value) or "")
    except TypeError:
        file = Path()
    if file.suffix != ".py" or not file.is_file():
        raise UsageError(
            f"{what}={shown} was typed in a console or a notebook, and a run must find it again",
            expected=WRITE_IT.format(what=what, name=shown.rpartition(".")[2]),
            hint="flambeau.fit(module, batches, loss=…) trains what lives only here",
        )
    if not name.isidentifier():
        raise UsageError(
            f"{what}={shown} stands inside a function or a class, where it cannot be found by its name",
            where=file,
            got=name,
            expected="a class or a function at the top of a file, not a lambda",
        )
    if file.is_relative_to(sysconfig.get_path("purelib")):
        raise UsageError(
            f"{what}={shown} is of an installed library",
            where=file,
            expected=f"the name of a known {what}, or a function of your own that uses it, in a file",
        )
    return f"{file.resolve()}:{name}"


def name_of_data(source: Any, tell: Callable[[dict[str, Any]], None]) -> tuple[str, dict[str, Any]]:
    """A source as a name, and the options that it needs.

    A class or a function is named by its file. A Dataset or arrays that live only here are written to a file first.

    Raises UsageError for what is no data.
    """
    if isinstance(source, str | Path):
        return str(source), {}
    if inspect.isclass(source) or inspect.isfunction(source):
        return own_name(source, "data"), {}
    has_items = hasattr(source, "__len__") and hasattr(source, "__getitem__")
    if not (isinstance(source, tuple) or has_items or is_loader(source)):
        raise UsageError(
            "this is no data that can be trained on",
            got=type(source).__name__,
            expected="a path, a name, a Dataset (__len__ and __getitem__), a DataLoader, or arrays (inputs, targets)",
        )
    name = "arrays" if isinstance(source, tuple) else type(source).__name__
    path, needed = keep_items(source, name)
    text = (
        f"the data live only in this Python, so they are kept in {path}: the run can be resumed and verified"
    )
    tell({"kind": "note", "text": text})
    return str(path), needed
