"""Known data sets whose pictures are files: ImageNet, CelebA, LSUN, COCO and VOC, the last three as several labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.known.arrays import load_known
from flambeau.data.places import cache_folder
from flambeau.data.samples import PictureFiles
from flambeau.data.source import Source
from flambeau.errors import DataError

LARGEST_ANNOTATIONS = 2**29
VOC_YEARS = ("2012", "2011", "2010", "2009", "2008", "2007")
LSUN_MAP_BYTES = 2**40


@dataclass(frozen=True)
class Listed:
    """What a set lists.

    Args:
        root: the folder that names are relative to.
        names: of the pictures.
        targets: name of a target → (n,) values: one of classes, or one for each label with 0 and 1.
        parts: of each picture.
    """

    root: Path
    names: list[str]
    targets: dict[str, np.ndarray]
    parts: list[str]


def open_known_files(name: str, root: str | None) -> Source:
    """One of `KNOWN_FILES` as a source of pictures.

    Args:
        name: of the set.
        root: the folder that holds its files as torchvision keeps them; None to look in the usual places.

    Raises:
        DataError: the files are not there, are damaged, or ask for a library that is not installed.
    """
    load, size, holds = KNOWN_FILES[name]
    try:
        listed: Listed = load_known(name, root, load, size, holds)
    except ImportError as error:
        raise DataError(
            f"{name} needs a library that is not installed",
            got=str(error),
            command=f"pip install {error.name}",
        ) from error
    if not listed.names:
        raise DataError(f"there are no pictures of {name}", where=listed.root, expected=holds)
    return Source(
        ids=tuple(listed.names),
        target=listed.targets,
        pictures=PictureFiles(listed.root, tuple(listed.names)),
        parts=np.array(listed.parts) if len(set(listed.parts)) > 1 else None,
    )


def _load_imagenet(place: Path, download: bool) -> Listed:
    """Its validation part is what models are tested on; the archives are unpacked where they lie."""
    from torchvision import datasets

    names: list[str] = []
    classes: list[str] = []
    parts: list[str] = []
    for split, part in (("train", "train"), ("val", "test")):
        data = datasets.ImageNet(place, split=split)
        words = [f"{code} {told[0]}" for code, told in zip(data.wnids, data.classes, strict=True)]
        for path, target in data.samples:
            names.append(Path(path).resolve().relative_to(place.resolve()).as_posix())
            classes.append(words[target])
            parts.append(part)
    return Listed(place.resolve(), names, {"class": np.array(classes, dtype=object)}, parts)


def _load_celeba(place: Path, download: bool) -> Listed:
    from torchvision import datasets

    names: list[str] = []
    parts: list[str] = []
    flags, attributes = [], []
    for part in ("train", "valid", "test"):
        data = datasets.CelebA(place, split=part, target_type="attr", download=download)
        names += list(data.filename)
        parts += [part] * len(data.filename)
        flags.append(data.attr.numpy())
        attributes = [one for one in data.attr_names if one]
    stacked = np.concatenate(flags)
    targets = {name: stacked[:, column].astype(np.int64) for column, name in enumerate(attributes)}
    root = (place / "celeba" / "img_align_celeba").resolve()
    return Listed(root, names, targets, parts)


def _load_voc(place: Path, download: bool) -> Listed:
    """The newest year that is there; its validation part tests where the test part is not public."""
    from torchvision import datasets

    base = place / "VOCdevkit"
    years = [year for year in VOC_YEARS if (base / f"VOC{year}" / "JPEGImages").is_dir()]
    if not years:
        if not download:
            raise FileNotFoundError(f"there is no {base}/VOC2012/JPEGImages")
        datasets.VOCDetection(place, year="2012", image_set="trainval", download=True)
        years = ["2012"]
    root = base / f"VOC{years[0]}"
    sets = root / "ImageSets" / "Main"
    test = "test" if (sets / "test.txt").is_file() else "val"
    order = [("train", "train"), ("val", "valid" if test == "test" else "test")]
    order += [("test", "test")] if test == "test" else []
    labels = sorted({path.name.removesuffix("_train.txt") for path in sets.glob("*_train.txt")})
    names: list[str] = []
    parts: list[str] = []
    flags: dict[str, list[int]] = {label: [] for label in labels}
    for split, part in order:
        listed = (sets / f"{split}.txt").read_text(encoding="utf-8").split()
        names += [f"{name}.jpg" for name in listed]
        parts += [part] * len(listed)
        for label in labels:
            told = dict(_flag_lines(sets / f"{label}_{split}.txt"))
            flags[label] += [int(told.get(name, -1) == 1) for name in listed]
    targets = {label: np.array(values, dtype=np.int64) for label, values in flags.items()}
    return Listed((root / "JPEGImages").resolve(), names, targets, parts)


def _flag_lines(path: Path) -> list[tuple[str, int]]:
    """ "2008_000002 -1": 1 for there, 0 for there but difficult, -1 for not there."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return [(words[0], int(words[1])) for words in lines if len(words) == 2]


def _load_coco(place: Path, download: bool) -> Listed:
    """Which of the 80 kinds of objects are in a picture; its validation part tests."""
    names: list[str] = []
    parts: list[str] = []
    seen: list[set[int]] = []
    kinds: dict[int, str] = {}
    found = False
    for split, part in (("train", "train"), ("val", "test")):
        for year in ("2017", "2014"):
            file = place / "annotations" / f"instances_{split}{year}.json"
            if not (file.is_file() and (place / f"{split}{year}").is_dir()):
                continue
            found = True
            told = _read_annotations(file)
            kinds |= {int(one["id"]): str(one["name"]) for one in told["categories"]}
            objects: dict[int, set[int]] = {int(one["id"]): set() for one in told["images"]}
            for one in told["annotations"]:
                objects.setdefault(int(one["image_id"]), set()).add(int(one["category_id"]))
            for one in told["images"]:
                names.append(f"{split}{year}/{Path(str(one['file_name'])).name}")
                seen.append(objects[int(one["id"])])
                parts.append(part)
            break
    if not found:
        raise FileNotFoundError(
            f"there is no {place}/annotations/instances_train2017.json beside {place}/train2017"
        )
    targets = {
        name: np.array([int(number in some) for some in seen], dtype=np.int64)
        for number, name in sorted(kinds.items())
    }
    return Listed(place.resolve(), names, targets, parts)


def _read_annotations(file: Path) -> Any:
    if file.stat().st_size > LARGEST_ANNOTATIONS:
        raise ValueError(f"{file} holds {file.stat().st_size:,} bytes; the limit is {LARGEST_ANNOTATIONS:,}")
    told = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(told, dict) or not {"images", "annotations", "categories"} <= told.keys():
        raise ValueError(f"{file} has no images, annotations and categories")
    return told


def _load_lsun(place: Path, download: bool) -> Listed:
    """Its databases are unpacked once into the cache, a file a picture; the validation part tests.

    torchvision's own reader pickles a list of keys into the present folder, so the databases are opened here.
    """
    bases = sorted(path for path in place.glob("*_lmdb") if path.is_dir())
    if not bases:
        raise FileNotFoundError(f"there is no {place}/bedroom_train_lmdb or the like")
    import lmdb  # type: ignore[import-not-found]  # installed by whoever has LSUN

    names: list[str] = []
    parts: list[str] = []
    # databases at another place may be others
    own = hashlib.blake2b(str(place.resolve()).encode(), digest_size=8).hexdigest()
    root = cache_folder() / "known" / "lsun-files" / own
    for base in bases:
        kind, _, split = base.name.removesuffix("_lmdb").rpartition("_")
        folder = root / kind / split
        folder.mkdir(parents=True, exist_ok=True)
        options = {"readonly": True, "lock": False, "readahead": False, "map_size": LSUN_MAP_BYTES}
        try:
            with lmdb.open(str(base), **options) as store, store.begin() as reader:
                for number, (_, content) in enumerate(reader.cursor()):
                    file = folder / f"{number:08d}.webp"
                    if not file.is_file() or file.stat().st_size != len(content):
                        file.write_bytes(bytes(content))
                    names.append(file.relative_to(root).as_posix())
                    parts.append("train" if split == "train" else "test")
        except lmdb.Error as error:
            raise ValueError(f"{base} is no database that lmdb reads: {error}") from error
    classes = np.array([name.split("/")[0] for name in names], dtype=object)
    return Listed(root, names, {"class": classes}, parts)


# name → how it is read, the size of its download ("" where its makers hand it out), and what lies in its folder
KNOWN_FILES: dict[str, tuple[Callable[[Path, bool], Listed], str, str]] = {
    "imagenet": (
        _load_imagenet,
        "",
        "a folder with ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar",
    ),
    "celeba": (_load_celeba, "1.4 GB", "a folder with celeba/img_align_celeba/ and celeba/list_attr_celeba.txt"),
    "lsun": (_load_lsun, "", "a folder with bedroom_train_lmdb, bedroom_val_lmdb and so on"),
    "coco": (_load_coco, "", "a folder with train2017/, val2017/ and annotations/instances_train2017.json"),
    "voc": (_load_voc, "2 GB", "a folder with VOCdevkit/VOC2012/"),
}  # fmt: skip
