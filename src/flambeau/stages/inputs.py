"""From material to what a model is fed: fitted preparation, gathers, targets as tensors, random changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flambeau.data.batches import Change, Gather, gather_pixels, gather_tensors
from flambeau.deploy.bundle import Preparation
from flambeau.recipe import Recipe
from flambeau.stages.material import Material
from flambeau.stages.start import Start
from flambeau.transforms.augment import augment_pictures, change_pictures
from flambeau.transforms.image import PicturePreparation, fit_pictures
from flambeau.transforms.table import TablePreparation, TargetScaler, fit_table, fit_target

SHARE_OF_DEVICE_MEMORY = 0.3


@dataclass(frozen=True)
class Feed:
    """What a model is fed.

    Args:
        preparation: fitted on the training rows.
        scaler: of a regression target; the identity otherwise.
        train_gather: rows → inputs before the random changes.
        gather: rows → inputs as they are evaluated.
        change: random changes of training batches; None for none.
        targets: of all samples, on the device: class indices (n,), 0/1 (n, labels) or scaled numbers (n,).
    """

    preparation: Preparation
    scaler: TargetScaler
    train_gather: Gather
    gather: Gather
    change: Change | None
    targets: Tensor


def make_feed(
    material: Material,
    fitting_rows: np.ndarray,
    recipe: Recipe,
    device: torch.device,
    start: Start | None = None,
) -> Feed:
    """Fit the preparation on these rows alone, or take the earlier run's, and make everything ready for all rows."""
    samples = material.samples
    task = samples.schema.task
    scaler = TargetScaler(0.0, 1.0)
    if start is not None:
        scaler = start.scaler
    elif task == "regression":
        scaler = fit_target(samples.targets[fitting_rows])
    plain = scaler.scale(samples.targets) if task == "regression" else samples.targets
    targets = torch.from_numpy(np.ascontiguousarray(plain)).to(device)
    prepared = None if start is None else start.preparation
    if material.pixels is not None:
        if not isinstance(prepared, PicturePreparation):
            prepared = fit_pixels_of(material.pixels, fitting_rows, recipe)
        classes = len(samples.schema.classes) if task == "classification" else 0
        return _picture_feed(material.pixels, prepared, recipe, device, scaler, targets, classes)
    assert samples.columns is not None
    if not isinstance(prepared, TablePreparation):
        prepared = fit_columns_of(material, fitting_rows, recipe)
    numbers, categories = prepared.transform(samples.columns)
    gather = gather_tensors(torch.from_numpy(numbers).to(device), torch.from_numpy(categories).to(device))
    return Feed(prepared, scaler, gather, gather, None, targets)


def fit_columns_of(material: Material, fitting_rows: np.ndarray, recipe: Recipe) -> TablePreparation:
    """The preparation of a table, fitted on these rows."""
    samples = material.samples
    assert samples.columns is not None
    kinds = {column.name: column.kind for column in samples.schema.used_columns}
    fitted = {name: values[fitting_rows] for name, values in samples.columns.items()}
    return fit_table(fitted, kinds, scaling=recipe.table.scaling or "quantile", rare=recipe.table.rare)


def fit_pixels_of(pixels: np.ndarray, fitting_rows: np.ndarray, recipe: Recipe) -> PicturePreparation:
    """The preparation of pictures, its statistics from these rows."""
    image = recipe.image
    assert image.size is not None and image.channels is not None and image.normalise is not None
    return fit_pictures(
        _spread(pixels, fitting_rows),
        size=image.size,
        channels=image.channels,
        bits=16 if pixels.dtype == np.uint16 else 8,
        fit=image.resize,
        interpolation=image.interpolation,
        normalise=image.normalise,
    )


def _picture_feed(
    pixels: np.ndarray,
    preparation: PicturePreparation,
    recipe: Recipe,
    device: torch.device,
    scaler: TargetScaler,
    targets: Tensor,
    classes: int,
) -> Feed:
    layout = (
        torch.channels_last if recipe.training.memory_format == "channels_last" else torch.contiguous_format
    )

    def prepare(block: Tensor) -> Tensor:
        return preparation.prepare(block).contiguous(memory_format=layout)

    return Feed(
        preparation,
        scaler,
        _gather(pixels, preparation.scale, device),
        _gather(pixels, prepare, device),
        make_change(preparation, recipe, classes, layout),
        targets,
    )


def _spread(pixels: np.ndarray, rows: np.ndarray, most: int = 5000) -> np.ndarray:
    """At most so many evenly spaced rows, so that a memory map larger than memory is never read whole."""
    return pixels[rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64))]]


def _gather(pixels: np.ndarray, prepare: Any, device: torch.device) -> Gather:
    """Pixels that fit are kept on the device whole; others are read from the memory map batch by batch."""
    if device.type != "cuda" or pixels.dtype != np.uint8:
        return gather_pixels(pixels, prepare, device)
    free, _ = torch.cuda.mem_get_info(device)
    if pixels.nbytes > free * SHARE_OF_DEVICE_MEMORY:
        return gather_pixels(pixels, prepare, device)
    resident = gather_tensors(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))
    return lambda rows: (prepare(resident(rows)[0]),)


def make_change(
    preparation: PicturePreparation, recipe: Recipe, classes: int, layout: torch.memory_format
) -> Change:
    """The random changes of training pictures that the recipe asks for; `classes` is 0 for other targets."""
    options = recipe.image.augment.model_dump(exclude={"mixup"}, exclude_none=True)
    return partial(
        change_pictures,
        augment=partial(augment_pictures, **options),
        normalise=preparation.normalise,
        mixup=recipe.image.augment.mixup or 0.0,
        classes=classes,
        layout=layout,
    )
