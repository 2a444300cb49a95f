"""The bundle that a person means by a word: a run, a bundle, a zip of one, or NAME, NAME@3, NAME@production."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flambeau.deploy.files import WEIGHTS, check_files, is_bundle, read_scores
from flambeau.deploy.packed import is_packed_bundle, unpack_bundle
from flambeau.deploy.versions.index import LATEST, check_name, read_index
from flambeau.deploy.versions.store import (
    PRODUCTION,
    known_model,
    model_names,
    present_versions,
    store_folder,
)
from flambeau.errors import FlambeauError, RunError, UsageError, did_you_mean
from flambeau.records.files import digest_file
from flambeau.records.folder import RUNS, RunFolder
from flambeau.records.runs import find_run, is_run, list_runs, nearest_run


@dataclass(frozen=True)
class Found:
    """What a word means.

    Args:
        kind: what was found.
        folder: that of its bundle.
        name: that of the run, of the bundle's folder or zip, or of the model in the store.
        version: number in the store; "" for everything else.
    """

    kind: Literal["run", "bundle", "zip", "version"]
    folder: Path
    name: str
    version: str = ""


def resolve_bundle(word: str | Path, store: Path | None = None) -> Path:
    """The folder of the bundle that is meant; see `find_bundle`."""
    return find_bundle(word, store).folder


def find_bundle(word: str | Path, store: Path | None = None) -> Found:
    """The bundle that is meant.

    Looked for in this order: the folder of a run or of a bundle, a zip that holds a bundle, a run under runs/, and a
    model of the store. NAME alone is what its tag "production" points to, or without that tag its newest version;
    NAME@3 is version 3, NAME@TAG what the tag points to, NAME@latest the newest.

    Args:
        word: as typed.
        store: the folder of versions; FLAMBEAU_MODELS or models/ if None.

    Raises:
        RunError: there is no such thing, or the run has no model yet; the nearest name is told.
        DataError: a zip that cannot be unpacked.
        UsageError: the word is the name of a run, or of a bundle here, and of a stored model with other weights.
    """
    path = Path(word).expanduser()
    for folder in (path, RUNS / path):
        if is_run(folder):
            model = _model_of(RunFolder(folder))
            _check_one_meaning(word, folder, model, store)
            return Found("run", model, folder.resolve().name)
    if is_bundle(path):
        _check_one_meaning(word, path, path, store)
        return Found("bundle", path, _bundle_name(path))
    if is_packed_bundle(path):
        return Found("zip", unpack_bundle(path), path.name.removesuffix(".zip"))
    if is_stored(str(word), store):
        folder = find_version(str(word), store)
        return Found("version", folder, str(word).partition("@")[0], folder.name)
    raise _unknown(str(word), path, store)


def find_model(word: str | Path | None = None, store: Path | None = None) -> RunFolder:
    """The run or the bundle that is meant, as a run's folder; the newest run for None.

    A run is found even before it has a model. A bundle's digests and scores are checked, as no run vouches for them.

    Raises:
        RunError, DataError, UsageError: as `find_bundle`.
    """
    if word is None:
        return find_run(None)
    path = Path(word).expanduser()
    for folder in (path, RUNS / path):
        if is_run(folder):
            run = RunFolder(folder)
            if is_bundle(run.model):
                _check_one_meaning(word, folder, run.model, store)
            return run
    bundle = resolve_bundle(word, store)
    check_files(bundle)
    read_scores(bundle)
    return RunFolder.of_bundle(bundle)


def is_model_word(word: str, store: Path | None = None) -> bool:
    """Whether `resolve_bundle` would find something by this word; a version that is lacking counts as found."""
    path = Path(word).expanduser()
    return (
        is_run(path)
        or is_run(RUNS / path)
        or is_bundle(path)
        or is_packed_bundle(path)
        or is_stored(word, store)
    )


def is_stored(word: str, store: Path | None = None) -> bool:
    """Whether the name in NAME or NAME@VERSION is that of a model in the store."""
    if os.sep in word or "/" in word:
        return False
    return word.partition("@")[0] in model_names(store)


def find_version(word: str, store: Path | None = None) -> Path:
    """The folder of NAME, NAME@VERSION or NAME@TAG. Raises RunError where there is none."""
    name, at, wanted = word.partition("@")
    folder = known_model(name, store)
    index = read_index(folder)
    numbers = present_versions(folder, index)
    number: int | None = None
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 10:
        number = int(wanted)
    elif wanted in index.tags:
        number = index.tags[wanted][-1]
    elif wanted == LATEST or not at:
        newest = numbers[-1] if numbers else None
        number = index.tags[PRODUCTION][-1] if not at and PRODUCTION in index.tags else newest
    if number is None or number not in numbers:
        known = [*(str(n) for n in numbers), *index.tags, LATEST]
        raise RunError(
            f"{check_name(name)} has no version or tag '{wanted}'" if at else f"{name} has no version left",
            where=store_folder(store) / name,
            hint=did_you_mean(wanted, known) if at else "",
            command="flambeau models",
        )
    return folder / str(number)


def _check_one_meaning(word: str | Path, place: Path, model: Path, store: Path | None) -> None:
    """Raise UsageError where a word names something here and a stored model too, unless their weights are the same."""
    if not is_stored(str(word), store):
        return
    try:
        stored = find_version(str(word), store)
    except RunError:
        return
    files = [folder / WEIGHTS for folder in (stored, model)]
    if all(file.is_file() for file in files) and len({digest_file(file) for file in files}) == 1:
        return
    raise UsageError(
        f"'{word}' has two meanings, with different weights",
        got=f"{_as_typed(place)} and version {stored.name} in {stored.parent}",
        expected=f"{_as_typed(place)} or {stored.parent.name}@{stored.name}",
    )


def _as_typed(place: Path) -> str:
    """A path that cannot be taken for the name of a stored model."""
    return str(place) if len(place.parts) > 1 else f".{os.sep}{place}"


def _bundle_name(folder: Path) -> str:
    path = folder.resolve()
    return path.parent.name if path.name == "model" else path.name


def _model_of(run: RunFolder) -> Path:
    if not is_bundle(run.model):
        raise RunError("this run has no model yet", where=run.path, command=f"flambeau resume {run.path}")
    return run.model


def _unknown(word: str, path: Path, store: Path | None) -> FlambeauError:
    if path.is_dir():
        return RunError("this folder is neither a run nor a bundle", where=path, command="flambeau runs")
    known = [row.name for row in list_runs()] + model_names(store)
    return RunError(
        f"there is no run, bundle or model '{word[:200]}'",
        hint=nearest_run(path.name.partition("@")[0], known),
        command="flambeau models" if "@" in word else "flambeau runs",
    )
