"""From material to what a model is fed: fitted preparation, gathers, targets as tensors, random changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from flambeau.data.batches import Change, Gather, gather_pixels, gather_tensors, join_gathers
from flambeau.data.samples import Samples
from flambeau.deploy.bundle import Preparation
from flambeau.errors import DataError
from flambeau.evaluation.forecasts import ForecastScale
from flambeau.planning.scans import scan_reading
from flambeau.recipe import Recipe
from flambeau.stages.material import Material
from flambeau.stages.mixed.feed import fit_picture_columns, make_mixed_change, picture_gathers
from flambeau.stages.series.feed import feed_series
from flambeau.stages.starting.start import Start
from flambeau.stages.texts.feed import fit_texts, gather_table
from flambeau.transforms.augment import augment_pictures, change_pictures
from flambeau.transforms.image import PicturePreparation, fit_pictures
from flambeau.transforms.series import SeriesPreparation
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
        scale: of time series, what their errors are measured by.
        values: of a table with columns of pictures, rows → its other inputs alone.
        lengths: of texts, (n,) tokens of each sample, on the CPU.
    """

    preparation: Preparation
    scaler: TargetScaler
    train_gather: Gather
    gather: Gather
    change: Change | None
    targets: Tensor
    placement: str = ""
    values: Gather | None = None
    scale: ForecastScale | None = None
    lengths: Tensor | None = None


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
    if samples.series is not None:
        earlier = start.preparation if start and isinstance(start.preparation, SeriesPreparation) else None
        fed = feed_series(samples, fitting_rows, recipe, device, earlier)
        return Feed(fed.preparation, scaler, fed.gather, fed.gather, None, fed.targets, scale=fed.scale)
    if start is not None:
        scaler = start.scaler
    elif task == "regression":
        scaler = fit_target(samples.targets[fitting_rows], log=learns_logarithm(samples, recipe))
    plain = scaler.scale(samples.targets) if task == "regression" else samples.targets
    targets = torch.from_numpy(np.ascontiguousarray(plain)).to(device)
    prepared = None if start is None else start.preparation
    if material.pixels is not None:
        if not isinstance(prepared, PicturePreparation):
            prepared = fit_pixels_of(material.pixels, fitting_rows, recipe)
            prepared = replace(prepared, scan=scan_reading(recipe, samples.schema.picture))
        classes = len(samples.schema.classes) if task == "classification" else 0
        return _picture_feed(material.pixels, prepared, recipe, device, scaler, targets, classes)
    assert samples.columns is not None
    if not isinstance(prepared, TablePreparation):
        prepared = fit_columns_of(material, fitting_rows, recipe)
    if prepared.pictures:
        return _mixed_feed(material, prepared, recipe, device, scaler, targets)
    gather, lengths = gather_table(prepared, prepared.transform(samples.columns), device)
    return Feed(prepared, scaler, gather, gather, None, targets, lengths=lengths)


def learns_logarithm(samples: Samples, recipe: Recipe) -> bool:
    """Whether the logarithm of the target is learnt. Raises DataError where a target has none."""
    if not recipe.table.log_target or samples.schema.source != "table":
        return False
    if not np.min(samples.targets) > 0:
        raise DataError(
            f"'{samples.schema.target}' is not always above 0, so it has no logarithm",
            got=f"{np.min(samples.targets):g}",
            command="--set table.log_target=false",
        )
    return True


def fit_columns_of(material: Material, fitting_rows: np.ndarray, recipe: Recipe) -> TablePreparation:
    """The preparation of a table, fitted on these rows."""
    samples = material.samples
    assert samples.columns is not None
    kinds = {column.name: column.kind for column in samples.schema.used_columns}
    for name in material.column_pixels:
        kinds.pop(name)
    fitted = {name: values[fitting_rows] for name, values in samples.columns.items() if name in kinds}
    prepared = TablePreparation((), ())
    if kinds:
        prepared = fit_table(
            fitted,
            kinds,
            scaling=recipe.table.scaling or "quantile",
            rare=recipe.table.rare,
            text=fit_texts(samples, fitting_rows, recipe) if "text" in kinds.values() else None,
        )
    if not material.column_pixels:
        return prepared
    return replace(prepared, pictures=fit_picture_columns(material.column_pixels, fitting_rows, recipe))


def _mixed_feed(
    material: Material,
    preparation: TablePreparation,
    recipe: Recipe,
    device: torch.device,
    scaler: TargetScaler,
    targets: Tensor,
) -> Feed:
    """What a table with columns of pictures is fed as: its own arrays on the device, pictures by batch."""
    assert material.samples.columns is not None
    own: list[Gather] = []
    lengths: Tensor | None = None
    if preparation.has_cells or preparation.text is not None:
        arrays = preparation.transform_values(material.samples.columns)
        gather, lengths = gather_table(preparation, arrays, device)
        own.append(gather)
    columns = material.column_pixels
    gathers = [
        join_gathers(
            [*own, *picture_gathers(preparation.pictures, columns, recipe, device, training=training)]
        )
        for training in (True, False)
    ]
    change = make_mixed_change(preparation.pictures, recipe)
    reason = "pictures are copied to the device batch by batch, as they stand beside other columns"
    numbers = own[0] if own else None
    train, evaluated = gathers
    return Feed(
        preparation, scaler, train, evaluated, change, targets, reason, values=numbers, lengths=lengths
    )


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
