"""A person's own Python files: how they are named, which of them may be run, and what is in them.

Running a Python file is running its author's code. A file is run when a person names it on the command line, in a
recipe or from Python; its digest is then remembered on this machine. A run or a bundle that names a file is believed
only if that file, with that very content, was named here before. The content is that of the file and of the files
beneath its folder that its import statements reach (see `records.neighbours`, also for what is not covered).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from flambeau.errors import ModelError, UsageError, did_you_mean
from flambeau.records.files import alone_with, saving, write_text
from flambeau.records.neighbours import (
    BytesLoader,
    digest_contents,
    importing_neighbours,
    read_with_neighbours,
)

TRUSTED_FILES = "trusted_models.json"
EXPECTED = "file.py:Name"
_RUNNING: list[Path] = []


def split_own(name: str) -> tuple[Path, str]:
    """The full path and the name in it of "file.py:Name". Raises ModelError for anything else."""
    file, colon, part = name.rpartition(":")
    if not (colon and file and part.isidentifier()):
        raise ModelError("this does not name a part of a Python file", got=name, expected=EXPECTED)
    return Path(file).expanduser().resolve(), part


def digest_of(path: Path, what: str = "model") -> str:
    """blake2b of a source file, and of the neighbours it imports. Raises ModelError where one cannot be read."""
    path = path.resolve()
    return digest_contents(path, _contents(path, what))


def _contents(path: Path, what: str) -> dict[Path, bytes]:
    try:
        return read_with_neighbours(path)
    except OSError as error:
        beside = [other.name for other in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise ModelError(
            f"the file of the {what} cannot be read",
            where=error.filename or path,
            got=error.strerror,
            expected=EXPECTED,
            hint=did_you_mean(path.name, beside),
        ) from error


def trust_file(path: Path, store: Path) -> None:
    """Remember in `store` (a JSON list) that a person named this file, with its and its neighbours' present content.

    Raises RunError where the store cannot be written, ModelError where a file or the store cannot be read.
    """
    digest = digest_of(path)
    with _alone_at(store):
        known = _remembered(store)
        if digest not in known:
            write_text(store, json.dumps(sorted({*known, digest})))


def check_trust(path: Path, digest: str, store: Path, what: str = "model") -> None:
    """Raises ModelError unless the file has this content and a person named it on this machine before."""
    path = path.resolve()
    contents = _contents(path, what)
    _check_contents(path, contents, digest, what)
    consent = os.environ.get("FLAMBEAU_TRUST", "").replace(",", " ").split()
    if digest not in consent and digest not in _remembered(store):
        beside = sorted(file.relative_to(path.parent).as_posix() for file in contents if file != path)
        files = "the file" + (" and those it imports (" + ", ".join(beside) + ")" if beside else "")
        raise ModelError(
            f"this {what} is code in a file that was never trained with on this machine, so it is not run",
            where=path,
            expected=f"a look at {files}, and then your consent",
            hint="the consent covers what import statements reach beneath the file's folder, and no other code",
            command=f"FLAMBEAU_TRUST={digest} flambeau … (several with commas between them)",
        )


def _check_contents(path: Path, contents: dict[Path, bytes], digest: str, what: str) -> None:
    if digest_contents(path, contents) != digest:
        files = "the file" if len(contents) == 1 else "the file, or one that it imports,"
        raise ModelError(
            f"{files} of the {what} has changed since the training", where=path, expected=f"digest {digest}"
        )


def _remembered(store: Path) -> set[str]:
    """The digests in the store; from a damaged one, those that are still whole."""
    try:
        return set(re.findall(r"\b[0-9a-f]{32}\b", store.read_bytes().decode("ascii", "replace")))
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise ModelError(
            "the list of trusted files cannot be read", where=store, got=error.strerror, expected="a file"
        ) from error


@contextmanager
def _alone_at(store: Path) -> Iterator[None]:
    """No other process changes the store inside the block."""
    with saving(store):
        store.parent.mkdir(parents=True, exist_ok=True)
    with alone_with(store.with_name(f".{store.name}.lock")):
        yield


def load_own(name: str, what: str = "part", digest: str | None = None) -> Any:
    """What "file.py:Name" names: a class, a function or any other object. This runs the file.

    Whether the file may be run is asked before, when a run begins: see `stages.setting`.

    Args:
        name: "file.py:Name".
        what: the thing in messages: loss, optimizer, schedule, …
        digest: of the content that was checked; None for whatever the file holds now.

    Raises:
        ModelError: no such file, nothing of that name in it, the file does not run, or has another content.
    """
    path, part = split_own(name)
    module = run_file(path, digest, what)
    return find_part(module, part, path, f"'{part}'", lambda value: True)


def find_part(module: ModuleType, part: str, path: Path, wanted: str, fits: Callable[[Any], bool]) -> Any:
    """An object of a module that was run, by its name.

    Raises ModelError, naming what is there instead, unless there is one for which `fits` holds.
    """
    found = getattr(module, part, None)
    if found is not None and fits(found):
        return found
    known = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", module.__name__) == module.__name__
        and not isinstance(value, ModuleType)
        and fits(value)
    ]
    raise ModelError(
        f"there is no {wanted} in this file",
        where=path,
        got=f"'{part}' is a {type(found).__name__}" if found is not None else None,
        expected="one of " + ", ".join(known[:12]) if known else EXPECTED,
        hint=did_you_mean(part, known),
    )


def run_file(path: Path, digest: str | None, what: str = "model") -> ModuleType:
    """The module that the file makes when it is run; run once a process for one content.

    The bytes that are run are those whose digest was taken; a .pyc file beside them is neither read nor written.

    Raises ModelError where the file has another content than `digest` tells (None: any), or does not run.
    """
    path = path.resolve()
    contents = _contents(path, what)
    if digest is None:
        digest = digest_contents(path, contents)
    _check_contents(path, contents, digest, what)
    # the name holds place and content, so that two files of one name never stand for each other
    place = hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()
    name = f"flambeau_own_{path.stem}_{place}_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    loader = BytesLoader(name, str(path), contents)
    specification = importlib.util.spec_from_file_location(name, path, loader=loader)
    if specification is None or path.suffix != ".py":
        raise ModelError("this is not a Python file", where=path, expected=EXPECTED)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    _RUNNING.append(path)
    try:
        with importing_neighbours(path, contents):
            loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        hint = str(getattr(error, "hint", ""))
        if isinstance(error, SystemExit):
            hint = "put what ends the program under: if __name__ == '__main__':"
        raise ModelError(
            f"the file of the {what} does not run",
            where=_place_of(error, path),
            got=f"{type(error).__name__}: {getattr(error, 'what', error)}",
            hint=hint,
        ) from error
    finally:
        _RUNNING.pop()
    return module


def _place_of(error: BaseException, path: Path) -> str:
    """The file, with the line in it where the error arose."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return f"{path}:{lines[-1]}" if lines else str(path)


def refuse_while_a_file_runs(verb: str) -> None:
    """Raises UsageError where a person's file, being run for a part in it, calls a verb such as `train` itself."""
    if _RUNNING:
        file = _RUNNING[-1]
        raise UsageError(
            f"{file.name} calls flambeau.{verb} while it is being read for a part that is in it",
            where=file,
            hint=f"put the call under: if __name__ == '__main__':   so that only `python {file.name}` runs it",
        )
