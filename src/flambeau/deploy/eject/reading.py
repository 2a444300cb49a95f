"""The part of a script that reads: the shortest text of several whose result equals what flambeau reads.

Each candidate is run here and compared, value by value, so that a short text is never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.join import fingerprint, join_test
from flambeau.data.pictures.image import decode_picture
from flambeau.data.pictures.paths import PictureFile
from flambeau.data.read import read, read_test
from flambeau.data.samples import PictureFiles, Samples
from flambeau.data.scans.scans import scan_kind
from flambeau.data.tables.plain import decode_tidy
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.mixed_texts import same_pictures
from flambeau.deploy.eject.picture_sources import Reading, array_readings, file_readings
from flambeau.deploy.eject.table_sources import table_readings
from flambeau.deploy.eject.text_sources import is_text_folder, text_folder_readings
from flambeau.deploy.specialise.core import core_sources
from flambeau.errors import DataError, RunError
from flambeau.transforms.image import PicturePreparation

# Decoding more pictures than these twice takes minutes; a longer script is right for any number.
MOST_COMPARED = 20_000


def write_reading(facts: RunFacts) -> Reading:
    """The text that reads what the run was trained on.

    Raises:
        RunError: the data have changed, or no short plain text reads the same values.
    """
    parts = _read_again(facts)
    samples = _joined(facts, parts)
    if samples.columns is not None:
        read_rows = text_folder_readings if is_text_folder(facts) else table_readings
        readings = read_rows(facts, samples)
    elif isinstance(samples.pictures, PictureFiles):
        roots = [part.pictures.root for part in parts if isinstance(part.pictures, PictureFiles)]
        readings = file_readings(facts, samples, roots)
    else:
        readings = array_readings(facts, samples)
    problem = "other values than the run was trained on"
    for reading in readings:
        try:
            if gives(reading, samples):
                return replace(reading, tidy_pictures=are_tidy(samples, facts), kinds=kinds_of(samples))
        except (
            Exception
        ) as error:  # a text that does not suit these data fails in any way; the next one is tried
            problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    raise RunError(
        "no short plain script reads these data as flambeau does",
        where=facts.recipe.source,
        got=problem,
        expected="a folder of pictures, arrays, CSV, Parquet or a built-in data set",
        hint="unpack an archive, or save the table as CSV, and train on that",
    )


def gives(reading: Reading, samples: Samples) -> bool:
    """Whether the text, run with the core's names around it, returns these samples."""
    namespace: dict[str, Any] = {**reading_names(), "__name__": "candidate"}
    exec(compile(reading.text, "candidate", "exec"), namespace)
    inputs, targets = namespace["read_samples"]()
    if not same(targets, samples.targets):
        return False
    if samples.columns is not None:
        return same_columns(inputs, samples.columns)
    if isinstance(samples.pictures, PictureFiles):
        files = [samples.pictures.path(i).resolve() for i in range(len(samples))]
        return len(files) == len(inputs) and all(map(same_file, inputs, files))
    assert samples.pictures is not None
    return same(inputs, samples.pictures.pixels)


def are_tidy(samples: Samples, facts: RunFacts) -> bool:
    """Whether every picture file, decoded in the plainest way, has the pixels that flambeau sees."""
    preparation, pictures = facts.bundle.preparation, samples.pictures
    if not isinstance(preparation, PicturePreparation) or not isinstance(pictures, PictureFiles):
        return False
    if preparation.bits != 8 or preparation.scan is not None or len(pictures) > MOST_COMPARED:
        return False
    options: dict[str, Any] = {"channels": preparation.channels, "size": preparation.size}

    def is_tidy(row: int) -> bool:
        path = pictures.path(row)
        try:
            return same(decode_tidy(path, **options), decode_picture(path, bits=8, **options))
        except (OSError, ValueError):
            return False

    with ThreadPoolExecutor() as pool:
        return all(pool.map(is_tidy, range(len(pictures))))


def kinds_of(samples: Samples) -> tuple[str, ...]:
    """The kinds of the files: "" for pictures, "dicom", "nifti"."""
    pictures, facts = samples.pictures, samples.schema.picture
    if not isinstance(pictures, PictureFiles) or facts is None or not facts.scans:
        return ("",)
    with ThreadPoolExecutor() as pool:
        return tuple(sorted(set(pool.map(scan_kind, (pictures.path(i) for i in range(len(pictures)))))))


def reading_names() -> dict[str, Any]:
    """Every name of the core's reading modules."""
    modules = [import_module(name) for name in core_sources() if name.startswith("flambeau.data.")]
    return {key: value for module in modules for key, value in vars(module).items() if key[:2] != "__"}


def _read_again(facts: RunFacts) -> list[Samples]:
    recipe = facts.recipe
    try:
        samples = read(str(recipe.source), recipe)
        if recipe.data.test is None:
            return [samples]
        return [samples, read_test(recipe.data.test, samples.schema, recipe)]
    except DataError as error:
        raise RunError(
            "the data of this run cannot be read, and its script must read the same",
            where=recipe.source,
            got=error.what,
            expected="the data in the place where the run was trained on them",
            hint=error.hint,
        ) from error


def _joined(facts: RunFacts, parts: list[Samples]) -> Samples:
    """The samples of the run. Raises RunError where they are not those that it was trained on."""
    samples = parts[0] if len(parts) == 1 else join_test(*parts)
    data = facts.folder.read_json("data.json")
    if samples.schema.source == "pictures":
        place = {name: position for position, name in enumerate(samples.ids)}
        samples = samples.take([place[name] for name in data["ids"] if name in place])
    if fingerprint(samples) != data["fingerprint"] or samples.schema.classes != facts.bundle.schema.classes:
        raise RunError(
            "the data have changed since this run, so a script could not repeat it",
            where=facts.recipe.source,
            command=f"flambeau verify {facts.folder.path}",
        )
    return samples


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal in shape, type and every value; missing values are equal."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype == object:
        return one.tolist() == other.tolist()
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fM"))


def same_file(one: Path, other: Path) -> bool:
    """The same file, or what was unpacked from the same place of an archive."""
    if one.resolve() == other.resolve():
        return True
    return one.name == other.name and one.read_bytes() == other.read_bytes()


def same_columns(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """The same columns with the same values; pictures by their paths."""
    if set(one) != set(other):
        return False
    for name, values in other.items():
        files = (
            [value for value in values if isinstance(value, PictureFile)] if values.dtype == object else []
        )
        if files:
            pairs = zip(one[name], values, strict=True)
            if not all(same_pictures(mine, theirs, files[0].root) for mine, theirs in pairs):
                return False
        elif not same(one[name], values):
            return False
    return True
