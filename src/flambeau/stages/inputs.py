"""From material to what a model is fed: fitted preparation, gathers, targets as tensors, random changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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

Prepare = Callable[[Tensor], Tensor]

SHARE_OF_DEVICE_MEMORY = 0.3


@dataclass(frozen=True)
class Feed:
    """What a model is fed.

    Args:
        preparation: fitted on the training rows.
        scaler: of a regression target; the identity otherwise.
        train_gather: rows → inputs before the random changes; pictures are still integers.
        gather: rows → inputs as they are evaluated.
        change: random changes of training batches; None for none.
        targets: of all samples, on the device: class indices (n,), 0/1 (n, labels) or scaled numbers (n,).
        placement: where the inputs are kept and why, in words; empty for tables, which live on the device.
    """

    preparation: Preparation
    scaler: TargetScaler
    train_gather: Gather
    gather: Gather
    change: Change | None
    targets: Tensor
    placement: str = ""


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
        # Pixels are laid out before they become floats, which are four times as many bytes to move.
        laid_out = block.permute(0, 3, 1, 2).contiguous(memory_format=layout).permute(0, 2, 3, 1)
        return preparation.prepare(laid_out).contiguous(memory_format=layout)

    read, placement = _reader(pixels, device)
    change = make_change(preparation, recipe, classes, layout)
    return Feed(preparation, scaler, read(preparation.shape), read(prepare), change, targets, placement)


def _spread(pixels: np.ndarray, rows: np.ndarray, most: int = 5000) -> np.ndarray:
    """At most so many evenly spaced rows, so that a memory map larger than memory is never read whole."""
    return pixels[rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64))]]


def should_live_on_device(pixels: int, free: int, bits: int) -> tuple[bool, str]:
    """Whether all pictures are kept on the device, and the reason in words.

    Args:
        pixels: bytes of all pictures.
        free: bytes that are free on the device before the model is there; 0 where it is the CPU.
        bits: of a channel, 8 or 16.
    """
    if not free:
        return False, "pictures stay where they are: the CPU trains"
    if bits != 8:
        return False, "pictures of 16 bits are copied to the device batch by batch"
    share = f"{pixels / 1e9:.2f} GB of {free / 1e9:.1f} GB that are free on the device"
    if pixels > free * SHARE_OF_DEVICE_MEMORY:
        return False, f"pictures are copied to the device batch by batch: they would take {share}"
    return True, f"all pictures are kept on the device: they take {share}"


def _reader(pixels: np.ndarray, device: torch.device) -> tuple[Callable[[Prepare], Gather], str]:
    """How gathers of these pixels are made from a preparation, and why so."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    keep, reason = should_live_on_device(pixels.nbytes, free, 8 * pixels.itemsize)
    if not keep:
        return lambda prepare: gather_pixels(pixels, prepare, device), reason
    resident = gather_tensors(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))
    return lambda prepare: lambda rows: (prepare(resident(rows)[0]),), reason


def make_change(
    preparation: PicturePreparation, recipe: Recipe, classes: int, layout: torch.memory_format
) -> Change:
    """The random changes of training pictures that the recipe asks for; `classes` is 0 for other targets."""
    options = recipe.image.augment.model_dump(exclude={"mixup"}, exclude_none=True)
    return partial(
        change_pictures,
        augment=partial(augment_pictures, largest=preparation.largest, **options),
        normalise=partial(preparation.normalise, overwrite=True),
        mixup=recipe.image.augment.mixup or 0.0,
        classes=classes,
        layout=layout,
    )
