"""From raw input to answers: the bundle's preparation, the model in fp32, probabilities that are calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from flambeau.data.pictures.load import fit_pixels
from flambeau.data.samples import PictureFiles, Samples
from flambeau.data.scans.scans import load_any
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.familiar.strange import unread_picture
from flambeau.deploy.mixed import row_inputs
from flambeau.errors import ModelError
from flambeau.evaluation.calibration import apply_temperature
from flambeau.evaluation.decide import choose_sure_classes
from flambeau.evaluation.evaluate import predict_batches
from flambeau.records.environment import usable_cores
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation


@dataclass(frozen=True)
class Answer:
    """Predictions for one batch.

    Args:
        rows: positions of the samples that could be read.
        predictions: one a row of `rows`, in the units of the task.
        problems: (position, reason) of those that could not be read.
        strange: (position, sentence) of rows that were answered without a picture that could not be read.
    """

    rows: list[int]
    predictions: np.ndarray
    problems: list[tuple[int, str]]
    strange: list[tuple[int, str]] = field(default_factory=list)


def answer_samples(
    bundle: Bundle, samples: Samples, *, batch: int, max_pixels: int = 100_000_000
) -> Iterator[Answer]:
    """Predictions batch by batch, so that any number of samples fits into memory."""
    device = device_of(bundle.module)
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(samples), batch):
            rows = list(range(start, min(start + batch, len(samples))))
            problems: list[tuple[int, str]] = []
            strange: list[tuple[int, str]] = []
            inputs: tuple[torch.Tensor, ...] | None
            if isinstance(bundle.preparation, PicturePreparation):
                blocks = list(pool.map(lambda row: _pixels(bundle, samples, row, max_pixels), rows))
                problems = [
                    (row, block) for row, block in zip(rows, blocks, strict=True) if isinstance(block, str)
                ]
                arrays = [block for block in blocks if not isinstance(block, str)]
                rows = [row for row, block in zip(rows, blocks, strict=True) if not isinstance(block, str)]
                inputs = picture_inputs(bundle.preparation, arrays, device) if arrays else None
            else:
                assert isinstance(bundle.preparation, TablePreparation)
                inputs = _table_inputs(bundle.preparation, samples, rows, device, pool, max_pixels, strange)
            predictions = np.empty(0) if inputs is None else predict_inputs(bundle, inputs)
            yield Answer(rows, predictions, problems, strange)


def device_of(module: nn.Module) -> torch.device:
    """Where a module computes: where its first parameter or buffer is, or the CPU if it has none."""
    first = next(chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def predict_inputs(bundle: Bundle, inputs: tuple[torch.Tensor, ...]) -> np.ndarray:
    """Calibrated predictions for prepared inputs of one batch, in the units of the task.

    Raises:
        ModelError: the model fails on these inputs, or answers with what is no number.
    """
    task = bundle.schema.task
    try:
        predictions = predict_batches(
            bundle.module,
            [inputs],
            task,
            target_mean=bundle.target.mean,
            target_std=bundle.target.std,
            target_log=bundle.target.log,
            flip_average=bundle.flip_average,
        )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # a person's own forward, or a bundle that was altered, may raise anything
        raise ModelError(
            f"the model '{bundle.spec.name}' fails on its inputs",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            expected="a bundle as a training wrote it",
        ) from error
    if isinstance(bundle.preparation, SeriesPreparation):
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            predictions = bundle.preparation.restore(predictions)
    if not np.isfinite(predictions).all():
        raise ModelError("the model answers with what is no number, so its weights are damaged")
    if isinstance(bundle.preparation, SeriesPreparation):
        return predictions
    if task == "regression":
        return predictions
    return apply_temperature(predictions, bundle.temperature, multilabel=task == "multilabel")


def picture_inputs(
    preparation: PicturePreparation, pictures: Sequence[np.ndarray], device: torch.device
) -> tuple[torch.Tensor, ...]:
    """What the model takes, from pictures as `read_pixels` gives them, one or more."""
    pixels = torch.from_numpy(np.stack(pictures))
    # torch computes with int32 where numpy has uint16.
    whole = pixels if pixels.dtype == torch.uint8 else pixels.to(torch.int32)
    return (preparation.prepare(whole.to(device)),)


def _pixels(bundle: Bundle, samples: Samples, row: int, max_pixels: int) -> np.ndarray | str:
    """(height, width, channels) as the preparation takes it, or why the picture cannot be read."""
    assert isinstance(bundle.preparation, PicturePreparation) and samples.pictures is not None
    pictures = samples.pictures
    source = pictures.path(row) if isinstance(pictures, PictureFiles) else pictures.pixels[row]
    return read_pixels(bundle.preparation, source, samples.ids[row], max_pixels)


def read_pixels(
    preparation: PicturePreparation, source: Path | np.ndarray, name: str, max_pixels: int = 100_000_000
) -> np.ndarray | str:
    """One picture as the preparation takes it: (height, width, channels), or why it cannot be read.

    Args:
        preparation: of the model.
        source: a file, or decoded pixels (height, width, channels).
        name: what the person calls it; told in place of the file's path.
        max_pixels: pictures with more are refused before they are unpacked.
    """
    options = preparation.load_options
    try:
        if isinstance(source, np.ndarray):
            options.pop("scan", None)
            # torch warns of memory that is read-only, such as that of a mapped file.
            return fit_pixels(source if source.flags.writeable else source.copy(), **options)
        return load_any(source, **options, max_pixels=max_pixels)
    except (ValueError, OSError) as error:
        return str(error).replace(str(source), name)


def _table_inputs(
    preparation: TablePreparation,
    samples: Samples,
    rows: list[int],
    device: torch.device,
    pool: Executor,
    max_pixels: int,
    strange: list[tuple[int, str]],
) -> tuple[torch.Tensor, ...]:
    assert samples.columns is not None
    part = {name: values[rows[0] : rows[-1] + 1] for name, values in samples.columns.items()}

    def tell(name: str, row: int, reason: str) -> None:
        strange.append((rows[row], unread_picture(name)))

    return row_inputs(preparation, part, device, max_pixels=max_pixels, pool=pool, on_problem=tell)


def answer_to_json(
    bundle: Bundle, samples: Samples, batch: int, *, max_pixels: int = 100_000_000
) -> Iterator[dict[str, Any]]:
    """One plain dictionary a sample: "input", then "label" or "value" with "probabilities", or "error".

    A row whose picture cannot be read is answered without it, and has "strange": a list of sentences.
    """
    for answer in answer_samples(bundle, samples, batch=batch, max_pixels=max_pixels):
        told: dict[int, dict[str, Any]] = {
            row: {"input": samples.ids[row], "error": reason} for row, reason in answer.problems
        }
        for row, prediction in zip(answer.rows, answer.predictions, strict=True):
            told[row] = {"input": samples.ids[row], **describe_prediction(bundle, prediction)}
        for row, sentence in answer.strange:
            told[row].setdefault("strange", []).append(sentence)
        yield from (told[row] for row in sorted(told))


def describe_prediction(bundle: Bundle, prediction: Any) -> dict[str, Any]:
    """A prediction in words: "value", or "label" (a list of labels for multilabel) and "probabilities"."""
    schema = bundle.schema
    if schema.task == "regression":
        return {"value": float(prediction)}
    probabilities = {name: round(float(p), 6) for name, p in zip(schema.classes, prediction, strict=True)}
    if schema.task == "multilabel":
        return {
            "label": [name for name, p in zip(schema.classes, prediction, strict=True) if p > 0.5],
            "probabilities": probabilities,
        }
    chosen = int(choose_sure_classes(prediction[None], bundle.point, bundle.threshold)[0])
    return {"label": bundle.unknown if chosen < 0 else schema.classes[chosen], "probabilities": probabilities}
