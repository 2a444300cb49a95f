"""From rows or decoded pictures to the columns of answers, a batch at a time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow

from flambeau.deploy.answer import device_of, picture_inputs
from flambeau.deploy.batch.ahead import Ahead
from flambeau.deploy.batch.answers import AnswerColumns
from flambeau.deploy.batch.pictures import Decoded, PictureRows
from flambeau.deploy.batch.strange import join_reasons, tell_rows
from flambeau.deploy.batch.tables import Rows, TableRows
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.familiar.familiar import Familiar, predict_and_compare
from flambeau.deploy.familiar.strange import FAR, Strangeness
from flambeau.deploy.mixed import MAX_PIXELS, decode_pictures, on_device
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TablePreparation

TABLE_BATCH = 256
CHUNK_VALUES, CHUNK_ROWS = 2**18, 2**15
PICTURE_BATCH_PIXELS = 2**20
PICTURE_VALUES = 2**22  # of the pictures of all rows that the model sees at a time
LARGEST_PICTURE_BATCH = 64


@dataclass(frozen=True)
class Piece:
    """Answers to the inputs of some whole batches.

    Args:
        table: one row an input.
        unread: column → values that are not of its kind.
    """

    table: pyarrow.Table
    unread: dict[str, int] = field(default_factory=dict)


class TablePredictor:
    """Answers to rows of tables. A thread reads and prepares the next rows while the model sees these.

    Attributes:
        schema, kept, total, fingerprint, findings: as `TableRows` and the bundle have them.
        batch: rows that the model sees at a time.

    Args:
        max_pixels: pictures with more are not unpacked, and count as unreadable.
        threads: that unpack pictures.
    """

    def __init__(
        self,
        bundle: Bundle,
        familiar: Familiar | None,
        rows: TableRows,
        batch: int | None,
        *,
        max_pixels: int = MAX_PIXELS,
        threads: int = 1,
    ) -> None:
        assert isinstance(bundle.preparation, TablePreparation)
        self._bundle = bundle
        self._preparation = bundle.preparation
        self._familiar = familiar
        self._rows = rows
        self._max_pixels, self._threads = max_pixels, threads
        self._strangeness = Strangeness(bundle.schema.columns, bundle.preparation)
        self.schema = bundle.schema
        self.kept = rows.kept
        self.total = rows.total
        self.fingerprint = rows.fingerprint
        self.findings = rows.findings
        self._pixels = sum(math.prod(one.pixels_shape) for one in bundle.preparation.pictures)
        self.batch = batch or max(1, min(TABLE_BATCH, PICTURE_VALUES // max(1, self._pixels)))

    def pieces(self, start: int, columns: AnswerColumns) -> Generator[Piece]:
        """Answers from row `start` on, which begins a batch."""
        width = len(self.schema.used_columns) + len(self.kept) + self._pixels
        most = min(CHUNK_VALUES // max(width, 1), CHUNK_ROWS)
        chunk = max(most // self.batch, 1) * self.batch
        with Ahead(self._prepared(start, chunk)) as ahead:
            for rows, arrays, strange in ahead:
                yield self._answer(rows, arrays, strange, columns)

    def _prepared(
        self, start: int, chunk: int
    ) -> Iterator[tuple[Rows, tuple[np.ndarray, ...], list[str | None]]]:
        with ThreadPoolExecutor(self._threads) as pool:
            for rows in self._rows.chunks(start, chunk):
                columns, unread = decode_pictures(
                    self._preparation, rows.columns, max_pixels=self._max_pixels, pool=pool
                )
                for name, problems in unread.items():
                    rows.unread[name][list(problems)] = True
                arrays = self._preparation.transform(columns)
                codes = arrays[1] if self._preparation.has_cells else None
                found = self._strangeness.find(rows.columns, rows.unread, codes)
                yield rows, arrays, tell_rows(found, len(rows))

    def _answer(
        self,
        rows: Rows,
        arrays: tuple[np.ndarray, ...],
        strange: list[str | None],
        columns: AnswerColumns,
    ) -> Piece:
        device = device_of(self._bundle.module)
        found = []
        for begin in range(0, len(rows), self.batch):
            part = slice(begin, begin + self.batch)
            inputs = on_device(self._preparation, tuple(array[part].copy() for array in arrays), device)
            predictions, distances = predict_and_compare(self._bundle, self._familiar, inputs)
            found.append(predictions)
            _tell_far(self._familiar, distances, strange, range(begin, begin + len(predictions)))
        table = columns.table(rows.ids, np.arange(len(rows)), np.concatenate(found), strange, kept=rows.kept)
        return Piece(table, {name: int(unread.sum()) for name, unread in rows.unread.items() if unread.any()})


class PicturePredictor:
    """Answers to pictures, which threads decode ahead of the model.

    Attributes:
        schema, total, fingerprint, findings: as `PictureRows` and the bundle have them.
        kept: None, as pictures have no columns.
        batch: pictures that the model sees at a time.
    """

    kept: pyarrow.Schema | None = None

    def __init__(
        self,
        bundle: Bundle,
        familiar: Familiar | None,
        pictures: PictureRows,
        batch: int | None,
        threads: int,
    ) -> None:
        assert isinstance(bundle.preparation, PicturePreparation)
        self._bundle = bundle
        self._preparation = bundle.preparation
        self._familiar = familiar
        self._pictures = pictures
        self._threads = threads
        self.schema = bundle.schema
        self.total = pictures.total
        self.fingerprint = pictures.fingerprint
        self.findings = pictures.findings
        self.batch = batch or picture_batch(bundle.preparation.size)

    def pieces(self, start: int, columns: AnswerColumns) -> Generator[Piece]:
        """Answers from picture `start` on, which begins a batch."""
        batches = self._pictures.batches(start, self.batch, self._threads)
        with contextlib.closing(batches):
            for batch in batches:
                yield Piece(self._answer(batch, columns))

    def _answer(self, batch: Decoded, columns: AnswerColumns) -> pyarrow.Table:
        errors = [pixels if isinstance(pixels, str) else None for _, pixels in batch]
        read = [(row, pixels) for row, (_, pixels) in enumerate(batch) if not isinstance(pixels, str)]
        rows = [row for row, _ in read]
        strange: list[str | None] = [None] * len(batch)
        predictions = np.empty(0)
        if read:
            device = device_of(self._bundle.module)
            inputs = picture_inputs(self._preparation, [pixels for _, pixels in read], device)
            predictions, distances = predict_and_compare(self._bundle, self._familiar, inputs)
            _tell_far(self._familiar, distances, strange, rows)
        return columns.table([name for name, _ in batch], rows, predictions, strange, errors)


def picture_batch(size: tuple[int, int]) -> int:
    """How many pictures the model sees at a time: as many as have about a million pixels, a power of two up to 64.

    Args:
        size: height and width in pixels.
    """
    most = max(PICTURE_BATCH_PIXELS // (size[0] * size[1]), 1)
    return int(min(2 ** (most.bit_length() - 1), LARGEST_PICTURE_BATCH))


def _tell_far(
    familiar: Familiar | None,
    distances: np.ndarray | None,
    strange: list[str | None],
    rows: range | list[int],
) -> None:
    """Add to what is strange about these rows that they are far from all training samples."""
    if familiar is None or distances is None:
        return
    for place in np.flatnonzero(distances > familiar.threshold):
        row = rows[int(place)]
        strange[row] = join_reasons([*filter(None, [strange[row]]), FAR])
