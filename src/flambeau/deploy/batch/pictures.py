"""Pictures as one long row of samples: listed once into a file, decoded by threads a few batches ahead of the model."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

import numpy as np

from flambeau.data.listing import Skipped, open_if_archive, walk_files
from flambeau.data.pictures.arrays import ARRAY_SUFFIXES, is_idx
from flambeau.data.pictures.folder import scan_folder
from flambeau.data.pictures.image import PICTURE_SUFFIXES
from flambeau.data.pictures.source import open_arrays
from flambeau.data.read_inputs import missing_input
from flambeau.data.samples import PictureArray
from flambeau.data.scans.scans import is_unnamed_scan
from flambeau.deploy.answer import read_pixels
from flambeau.deploy.batch.plan import Fingerprint
from flambeau.errors import DataError
from flambeau.records.files import atomic_file
from flambeau.schema import Finding
from flambeau.transforms.image import PicturePreparation

BATCHES_AHEAD = 2
_TOLD_EVERY = 10_000

Decoded = list[tuple[str, np.ndarray | str]]


class PictureRows:
    """The pictures of all paths that were named, in their order.

    Attributes:
        total: how many there are.
        fingerprint: what tells these inputs from others.
        findings: what was noticed while listing.

    Args:
        paths: pictures, folders, archives, or one source of arrays.
        preparation: how the model takes pictures.
        max_pixels: pictures with more are not decoded.
        listing: the file that the list is written to.
        on_look: told of the path that is listed, and how many pictures were found so far.
    """

    def __init__(
        self,
        paths: Sequence[str],
        preparation: PicturePreparation,
        max_pixels: int,
        listing: Path,
        on_look: Callable[[str, int], None] = lambda name, count: None,
    ) -> None:
        self._preparation = preparation
        self._max_pixels = max_pixels
        self._listing = listing
        self._on_look = on_look
        self._array: PictureArray | None = None
        self._array_ids: tuple[str, ...] = ()
        self.fingerprint = Fingerprint()
        self.findings: tuple[Finding, ...] = ()
        self.total = 0
        with atomic_file(listing) as temporary, temporary.open("w", encoding="utf-8") as file:
            for given in paths:
                self._list(given, file, alone=len(paths) == 1)

    def _list(self, given: str, file: TextIO, alone: bool) -> None:
        path = Path(given).expanduser()
        self._on_look(given, self.total)
        if not path.exists():
            raise missing_input(given, path)
        folder, findings = open_if_archive(path)
        self.findings += findings
        if folder != path:
            self.fingerprint.add(given, path)
        if folder.is_dir():
            before = self.total
            skipped = Skipped()
            for name in walk_files(folder, skipped):
                if name.lower().endswith(PICTURE_SUFFIXES) or is_unnamed_scan(folder / name):
                    told = (path / name).as_posix()
                    self._add(file, told, folder / name, timed=folder == path)
            self.findings += skipped.closed_finding(path)
            if self.total > before:
                return
            folder = _other_source(folder)
        if is_idx(folder) or folder.suffix.lower() in ARRAY_SUFFIXES or folder.is_dir():
            if not alone:
                raise DataError("arrays are predicted alone", got="several paths", expected="one path")
            self._open_array(given, folder)
        else:
            self._add(file, folder.as_posix(), folder)

    def _add(self, file: TextIO, name: str, path: Path, timed: bool = True) -> None:
        try:
            self.fingerprint.add(name, path, timed=timed)
        except OSError:
            self.fingerprint.add_missing(name)
        text = path.as_posix()
        # JSON, because a name may hold a line break, or bytes that are no UTF-8.
        file.write(json.dumps(name if name == text else [name, text]) + "\n")
        self.total += 1
        if self.total % _TOLD_EVERY == 0:
            self._on_look(name, self.total)

    def _open_array(self, given: str, path: Path) -> None:
        if path.is_file():
            self.fingerprint.add(given, path)
        else:
            for one in sorted(path.iterdir()):
                self.fingerprint.add(one.name, one)
        opened = open_arrays(path, self._preparation.bits, need_labels=False)
        assert isinstance(opened.pictures, PictureArray)
        self._array, self._array_ids = opened.pictures, opened.ids
        self.findings += opened.findings
        self.total = len(opened.ids)

    def batches(self, start: int, size: int, threads: int) -> Generator[Decoded]:
        """Names with pixels as the preparation takes them, or with the reason why there are none; `size` at a time.

        Args:
            start: the first picture.
            size: of a batch; only the last is smaller.
            threads: that decode.
        """
        items = self._array_items(start) if self._array is not None else self._listed_items(start)
        waiting: deque[list[tuple[str, Future[np.ndarray | str]]]] = deque()
        pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        try:
            while group := list(itertools.islice(items, size)):
                waiting.append([(name, pool.submit(read)) for name, read in group])
                if len(waiting) > BATCHES_AHEAD:
                    yield [(name, future.result()) for name, future in waiting.popleft()]
            while waiting:
                yield [(name, future.result()) for name, future in waiting.popleft()]
        finally:
            pool.shutdown(cancel_futures=True)

    def _listed_items(self, start: int) -> Iterator[tuple[str, Callable[[], np.ndarray | str]]]:
        with self._listing.open(encoding="utf-8") as file:
            for line in itertools.islice(file, start, None):
                item = json.loads(line)
                name, path = (item, item) if isinstance(item, str) else item
                yield name, _Reader(self._preparation, Path(path), name, self._max_pixels)

    def _array_items(self, start: int) -> Iterator[tuple[str, Callable[[], np.ndarray | str]]]:
        assert self._array is not None
        for row in range(start, self.total):
            name = self._array_ids[row]
            yield name, _Reader(self._preparation, self._array.pixels[row], name, self._max_pixels)


class _Reader:
    """Reads one picture when it is called."""

    def __init__(
        self, preparation: PicturePreparation, source: Path | np.ndarray, name: str, max_pixels: int
    ) -> None:
        self._preparation, self._source = preparation, source
        self._name, self._max_pixels = name, max_pixels

    def __call__(self) -> np.ndarray | str:
        return read_pixels(self._preparation, self._source, self._name, self._max_pixels)


def _other_source(folder: Path) -> Path:
    """Where a folder without pictures leads: arrays, or a file that is told to be no picture."""
    scan = scan_folder(folder)
    if any(is_idx(Path(name)) for name in scan.arrays):
        return scan.root
    return scan.root / [*scan.arrays, *scan.tables][0]
