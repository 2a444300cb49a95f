"""A bundle as one thing to ship: a zip or a folder without a path of this machine in it, and back again."""

from __future__ import annotations

import json
import re
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Any

import yaml

from flambeau.data.pictures.archive import ArchiveLimits, extract
from flambeau.data.places import cache_folder
from flambeau.deploy.card.card import own_files, read_card_parts, write_card
from flambeau.deploy.files import (
    CARD,
    MODEL,
    MOST_FILES,
    MOST_JSON_BYTES,
    MOST_WEIGHT_BYTES,
    RECIPE,
    REQUIRED,
    VERSIONS,
    WEIGHTS,
    check_files,
    is_bundle,
    read_mapping,
)
from flambeau.errors import DataError, RunError, UsageError
from flambeau.recipe.yaml_core import CoreLoader, read_yaml
from flambeau.records.files import atomic_file, digest_file, saving, write_json, write_text

# Of every file in the zip, so that equal bundles are equal zips: the first day that the format knows.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
ZIP_MODE = 0o644 << 16

# What a bundle knows of its training data grows by 8 bytes a sample.
MOST_OTHER_BYTES = 2**30

# Names of columns, in which a slash leads nowhere. Whatever else a recipe says may be a path of this machine.
COLUMN_KEYS = (("data", "target"), ("data", "group"), ("data", "drop"))
# Before the slash of a name that is no path, such as timm/vit_tiny.
PRETRAINED_LIBRARIES = ("torchvision", "timm")


def ship(bundle: Path, out: Path, name: str) -> list[tuple[str, str]]:
    """Write a bundle as one zip (where `out` ends in .zip) or one folder, checked, atomically.

    Equal bundles make equal bytes. Full paths in the recipe and in the description of a person's own model become
    names of files; such a model's code stays behind.

    Args:
        bundle: the folder of a bundle.
        out: a file or folder that does not exist yet.
        name: of the one folder inside a zip.

    Returns:
        Name and digest of each file of own code that whoever loads the bundle must have.

    Raises:
        RunError: a damaged bundle, or a disk that is full.
        UsageError: `out` exists.
    """
    if out.exists():
        raise UsageError(
            "something stands there already, and nothing is overwritten",
            got=f"--out {out}",
            expected="a new name",
        )
    check_files(bundle)
    with _shippable(bundle, out) as folder:
        if out.suffix.lower() == ".zip":
            with atomic_file(out) as temporary:
                _write_zip(folder, temporary, name)
        else:
            folder.rename(out)
            return own_files(read_mapping(out, MODEL))
        return own_files(read_mapping(folder, MODEL))


@contextmanager
def _shippable(bundle: Path, out: Path) -> Iterator[Path]:
    """A copy of the bundle beside `out`, without paths, with its own digests; removed if it is still there."""
    folder = out.absolute().with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with saving(out):
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            for file in [*check_files(bundle)["digests"], VERSIONS]:
                shutil.copyfile(bundle / file, folder / file)
        versions = read_mapping(folder, VERSIONS)
        write_json(folder / MODEL, without_paths(read_mapping(folder, MODEL)))
        recipe = (folder / RECIPE).read_text(encoding="utf-8")
        write_text(folder / RECIPE, recipe_without_paths(recipe))
        write_text(folder / CARD, write_card(read_card_parts(folder)))
        names = sorted(path.name for path in folder.iterdir() if path.name != VERSIONS)
        versions["digests"] = {file: digest_file(folder / file) for file in names}
        write_json(folder / VERSIONS, versions)
        check_files(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def without_paths(model: dict[str, Any]) -> dict[str, Any]:
    """A description of a model whose files of own code are named without their folders."""
    arguments = dict(model.get("arguments") or {})
    if model.get("name") == "ensemble":
        arguments["members"] = [without_paths(member) for member in arguments.get("members", [])]
    if model.get("name") == "own":
        arguments["file"] = _last_part(str(arguments.get("file")))
    return {**model, "arguments": arguments}


def recipe_without_paths(text: str) -> str:
    """The text of a recipe in which every value that may be a path is cut to its last part; its comments stay.

    Raises:
        RecipeError: it is no YAML.
    """
    read_yaml(text, RECIPE)
    root = yaml.compose(text, Loader=CoreLoader)
    for keys, node in sorted(_texts(root, ()), key=lambda pair: pair[1].start_mark.index, reverse=True):
        if keys[:2] not in COLUMN_KEYS and _may_be_path(node.value):
            start, end = node.start_mark.index, node.end_mark.index
            text = text[:start] + json.dumps(_last_part(node.value), ensure_ascii=False) + text[end:]
    return text


def _texts(
    node: yaml.Node | None, keys: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], yaml.ScalarNode]]:
    """Each text among the values, with the keys that lead to it."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _texts(value, (*keys, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _texts(value, keys)
    elif isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
        yield keys, node


def _may_be_path(value: str) -> bool:
    if value.split("/")[0] in PRETRAINED_LIBRARIES:
        return False
    return "/" in value or "\\" in value or value.startswith("~") or bool(PureWindowsPath(value).drive)


def _last_part(path: str) -> str:
    last = re.split(r"[\\/]", path.rstrip("\\/"))[-1]
    drive = PureWindowsPath(last).drive
    return last.removeprefix(drive) if len(drive) == 2 else last


def _write_zip(folder: Path, target: Path, name: str) -> None:
    """Stored, not deflated: weights hardly shrink, and other versions of zlib would write other bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"{name}/{path.name}", ZIP_TIME)
            entry.external_attr = ZIP_MODE
            entry.create_system = 3
            with path.open("rb") as reading, packed.open(entry, "w", force_zip64=True) as writing:
                shutil.copyfileobj(reading, writing, 2**20)


def is_packed_bundle(path: Path) -> bool:
    """Whether this is a zip that holds a bundle, at its top or in one folder."""
    if path.suffix.lower() != ".zip" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as packed:
            names = [item.filename for item in packed.infolist()[: MOST_FILES * 2]]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return any(name.count("/") <= 1 and name.split("/")[-1] == VERSIONS for name in names)


def unpack_bundle(path: Path) -> Path:
    """The folder of the bundle in a zip, unpacked into the cache under the digest of its bytes.

    Raises:
        DataError: the zip is damaged, leads out of its folder, or is larger than a bundle of these weights.
        RunError: it holds no bundle, or several.
    """
    limits = ArchiveLimits(files=MOST_FILES, bytes=_declared_bytes(path))
    folder, _ = extract(path, cache_folder(), limits)
    found = [place for place in (folder, *sorted(folder.iterdir())) if is_bundle(place)]
    if len(found) != 1:
        raise RunError("this zip holds no bundle, or several", where=path, got=f"{len(found)} bundles")
    return found[0]


def _declared_bytes(path: Path) -> int:
    """What the one bundle in a zip unpacks to, by the zip's directory: a claim that unpacking then holds it to.

    Raises:
        DataError: the zip cannot be read, or a file of the bundle is beyond its limit.
        RunError: it holds no bundle, or several, or files that are no part of one.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            sizes = {item.filename: item.file_size for item in packed.infolist() if not item.is_dir()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError("the archive cannot be unpacked", where=path, got=str(error)[:200]) from error
    if len(sizes) > MOST_FILES:
        raise DataError("the archive holds too many files", where=path, expected=f"at most {MOST_FILES:,}")
    homes = [name.removesuffix(VERSIONS) for name in sizes if name.split("/")[-1] == VERSIONS]
    if len(homes) != 1:
        raise RunError("this zip holds no bundle, or several", where=path, got=f"{len(homes)} bundles")
    missing = [name for name in REQUIRED if homes[0] + name not in sizes]
    if missing:
        raise RunError("this zip holds no whole bundle", where=path, got=f"no {missing[0]}")
    for name, size in sizes.items():
        most = MOST_WEIGHT_BYTES if name == homes[0] + WEIGHTS else MOST_OTHER_BYTES
        if name.endswith(".json"):
            most = MOST_JSON_BYTES
        if size > most:
            raise DataError(
                "a file in this zip is larger than a bundle's can be",
                where=path,
                got=f"{name[:120]!r} of {size:,} bytes",
                expected=f"at most {most:,}",
            )
    return sum(sizes.values())
