"""Data sets that are known by name, read by torchvision: found on disk, or downloaded where that is possible.

Sets of small pictures become one file of arrays in the cache, which is read like any other; of sets of files nothing is
copied. torchvision takes seconds to import, so that is done here only, when such a name is asked for.
"""

from __future__ import annotations

import contextlib
import io
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.places import cache_folder
from flambeau.errors import DataError
from flambeau.records.files import atomic_file

SECONDS_TO_CONNECT = 30.0
# Raised whenever the same files would give other arrays than before.
_VERSION = 1

Loader = Callable[[Path, bool], dict[str, tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class KnownArrays:
    """A set of small pictures.

    Args:
        load: (a folder, whether to download) → part → pictures (count, height, width[, channels]) and names of classes.
        size: of the download, in words.
        holds: what lies in the folder, in words.
    """

    load: Loader
    size: str
    holds: str


def place_of_arrays(name: str, root: str | None) -> Path:
    """The `.npz` of one of `KNOWN_ARRAYS` in the cache, made now from the set's own files where it is not there yet.

    Args:
        name: of the set.
        root: the folder that holds its files as torchvision keeps them; None to look in the usual places, and to
            download into the cache otherwise.

    Raises:
        DataError: the files are neither there nor can be downloaded, or are damaged.
    """
    known = KNOWN_ARRAYS[name]
    # files that the person named may be others than those of the download
    where = "" if root is None else "-" + _tidy(str(Path(root).expanduser().resolve()))
    target = cache_folder() / "known" / f"{name}{where}-v{_VERSION}.npz"
    if target.is_file():
        return target
    found = load_known(name, root, known.load, known.size, known.holds)
    arrays: dict[str, np.ndarray] = {}
    for part, (images, labels) in found.items():
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    with atomic_file(target) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy's stub takes any ** for allow_pickle
    return target


def _tidy(path: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in path).strip("-")[-80:]


def usual_places(name: str) -> list[Path]:
    """Where files of a known set are looked for: data/, data/NAME and the cache."""
    return [Path("data"), Path("data") / name, cache_folder() / "known" / name]


def load_known(name: str, root: str | None, load: Callable[[Path, bool], Any], size: str, holds: str) -> Any:
    """What `load` gives in the first place where it finds its files, or after a download.

    Raises:
        DataError: they are nowhere and cannot be downloaded; says where they were looked for, and what to type.
    """
    places = usual_places(name) if root is None else [Path(root).expanduser()]
    problems = []
    for place in places:
        if place.is_dir():
            try:
                with _quiet():
                    return load(place, False)
            except (
                RuntimeError,
                OSError,
                ValueError,
                TypeError,
                KeyError,
                AttributeError,
                EOFError,
            ) as error:
                problems.append(f"{place}: {_first_line(error)}")
        else:
            problems.append(f"{place}: there is no such folder")
    if root is None and size:
        place = cache_folder() / "known" / name
        place.mkdir(parents=True, exist_ok=True)
        try:
            with _quiet(), _patience(SECONDS_TO_CONNECT):
                return load(place, True)
        except (
            Exception
        ) as error:  # urllib, gdown, tarfile and torchvision have an error each for a bad network
            problems.append(f"download: {_first_line(error)}")
    raise DataError(
        f"the files of {name} are not on this machine"
        + (", and could not be downloaded" if root is None else ""),
        where="; ".join(problems),
        expected=holds + (f", or a network to download {size}" if size else ", which their makers hand out"),
        command=f"flambeau train {name} --root FOLDER_WITH_ITS_FILES",
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torchvision prints; what flambeau prints may be read by a program."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        yield
    if printed.getvalue().strip():
        print(printed.getvalue().strip().splitlines()[-1], file=sys.stderr)


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _named(labels: Any, classes: Any) -> np.ndarray:
    """Labels as names of their classes, which a person reads more easily than numbers."""
    return np.asarray([str(one) for one in classes])[np.asarray(labels, dtype=np.int64)]


def _load_mnist(kind: str) -> Loader:
    def load(place: Path, download: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        from torchvision import datasets

        found = {}
        for part, train in (("train", True), ("test", False)):
            data = getattr(datasets, kind)(place, train=train, download=download)
            classes = [name.split(" - ")[0] for name in data.classes]
            found[part] = (data.data.numpy(), _named(data.targets, classes))
        return found

    return load


def _load_cifar(kind: str) -> Loader:
    def load(place: Path, download: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        from torchvision import datasets

        found = {}
        for part, train in (("train", True), ("test", False)):
            # its files are pickles, which torchvision reads only where they have the published digests
            data = getattr(datasets, kind)(place, train=train, download=download)
            found[part] = (data.data, _named(data.targets, data.classes))
        return found

    return load


def _load_svhn(place: Path, download: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from torchvision import datasets

    found = {}
    for part in ("train", "test"):
        data = datasets.SVHN(place, split=part, download=download)
        found[part] = (np.ascontiguousarray(data.data.transpose(0, 2, 3, 1)), _named(data.labels, range(10)))
    return found


def _load_stl10(place: Path, download: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from torchvision import datasets

    found = {}
    for part in ("train", "test"):
        data = datasets.STL10(place, split=part, download=download)
        pixels = np.ascontiguousarray(data.data.transpose(0, 2, 3, 1))
        found[part] = (pixels, _named(data.labels, data.classes))
    return found


KNOWN_ARRAYS = {
    "mnist": KnownArrays(
        _load_mnist("MNIST"), "12 MB", "a folder with MNIST/raw/train-images-idx3-ubyte and so on"
    ),
    "fashion_mnist": KnownArrays(
        _load_mnist("FashionMNIST"),
        "31 MB",
        "a folder with FashionMNIST/raw/train-images-idx3-ubyte and so on",
    ),
    "cifar10": KnownArrays(_load_cifar("CIFAR10"), "170 MB", "a folder with cifar-10-batches-py/"),
    "cifar100": KnownArrays(_load_cifar("CIFAR100"), "169 MB", "a folder with cifar-100-python/"),
    "svhn": KnownArrays(_load_svhn, "247 MB", "a folder with train_32x32.mat and test_32x32.mat"),
    "stl10": KnownArrays(_load_stl10, "2.6 GB", "a folder with stl10_binary/"),
}
