"""How far an artefact's predictions are from those of the trained module, measured on the same raw input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from flambeau.data.samples import PictureFiles, Samples
from flambeau.deploy.answer import device_of, picture_inputs, predict_inputs, read_pixels
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.inputs import PIXELS, Raw, raw_batches
from flambeau.deploy.export.rows import TrialRows
from flambeau.deploy.export.series_inputs import eager_windows, series_batches
from flambeau.deploy.forecasts import answer_windows
from flambeau.deploy.mixed import row_inputs
from flambeau.errors import DataError
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation

TOLERANCE = 1e-5

Artefact = Callable[[Raw], np.ndarray]


@dataclass(frozen=True)
class Compared:
    """Predictions of the artefact and of the module for the same rows.

    Args:
        exported, eager: (rows, classes or labels), or (rows,) for regression.
        targets: of these rows, as `Samples` holds them.
    """

    exported: np.ndarray
    eager: np.ndarray
    targets: np.ndarray

    @property
    def error(self) -> float:
        """max |exported - eager| / max |eager|; infinite where one of them is not finite."""
        if not (np.isfinite(self.exported).all() and np.isfinite(self.eager).all()):
            return float("inf")
        # of forecasts each target by itself, as their units may be far apart
        apart = (0, 1, 3) if self.eager.ndim == 4 else None
        largest, gap = (np.abs(part).max(axis=apart) for part in (self.eager, self.exported - self.eager))
        return float(np.max(gap / np.where(largest > 0, largest, 1.0)))

    @property
    def same_answers(self) -> float | None:
        """The share of rows with the same label (or set of labels); None for regression."""
        if self.eager.ndim in (1, 4):
            return None
        if self.targets.ndim == 2:
            return float(((self.exported > 0.5) == (self.eager > 0.5)).all(axis=1).mean())
        return float((self.exported.argmax(1) == self.eager.argmax(1)).mean())


def compare(bundle: Bundle, artefact: Artefact, rows: TrialRows, max_pixels: int) -> Compared:
    """Ask both for every row, in batches of one and of more rows; where the rows are files, each reads them itself.

    Raises:
        DataError: no row can be read.
    """
    exported, eager, targets = [], [], []
    for samples, raw, positions in batches_of(bundle, rows, max_pixels):
        exported.append(artefact(raw))
        if isinstance(samples.pictures, PictureFiles):
            eager.append(file_answer(bundle, samples.pictures, positions, max_pixels))
        else:
            eager.append(eager_answer(bundle, samples, raw, positions))
        targets.append(samples.targets[positions])
    if not exported:
        raise DataError("none of the rows can be read", where=rows.origin, got=f"{len(rows):,} rows")
    return Compared(np.concatenate(exported), np.concatenate(eager), np.concatenate(targets))


def batches_of(bundle: Bundle, rows: TrialRows, max_pixels: int) -> Iterator[tuple[Samples, Raw, np.ndarray]]:
    """Batches of raw inputs with the samples that they are of, and the positions in them."""
    for samples, chosen in rows.parts:
        if samples.series is not None:
            batches = series_batches(bundle, samples, chosen)
        else:
            batches = raw_batches(bundle, samples, chosen, max_pixels)
        for raw, positions in batches:
            yield samples, raw, positions


def file_answer(bundle: Bundle, pictures: PictureFiles, positions: np.ndarray, max_pixels: int) -> np.ndarray:
    """What `flambeau predict` answers for the files themselves.

    Raises:
        DataError: one of them cannot be read.
    """
    preparation = bundle.preparation
    assert isinstance(preparation, PicturePreparation)
    read = []
    for position in positions.tolist():
        path = pictures.path(position)
        pixels = read_pixels(preparation, path, path.name, max_pixels)
        if isinstance(pixels, str):
            raise DataError("a picture can no longer be read", where=path, got=pixels)
        read.append(pixels)
    return predict_inputs(bundle, picture_inputs(preparation, read, device_of(bundle.module)))


def eager_answer(bundle: Bundle, samples: Samples, raw: Raw, positions: np.ndarray) -> np.ndarray:
    """What flambeau itself predicts for the rows of a batch, from the same raw values."""
    if isinstance(bundle.preparation, PicturePreparation):
        return predict_inputs(bundle, (bundle.preparation.prepare(torch.from_numpy(raw[PIXELS])),))
    if isinstance(bundle.preparation, SeriesPreparation):
        return answer_windows(bundle, eager_windows(bundle.preparation, raw))
    assert samples.columns is not None and isinstance(bundle.preparation, TablePreparation)
    part = {name: values[positions] for name, values in samples.columns.items()}
    # the file sees no picture there either
    inputs = row_inputs(bundle.preparation, part, torch.device("cpu"), on_problem=lambda *problem: None)
    return predict_inputs(bundle, inputs)
