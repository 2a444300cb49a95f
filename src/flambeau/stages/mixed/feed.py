"""Tables with columns of pictures: pictures decoded once for each column, and what the model is fed of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from flambeau.data.batches import Change, Gather, gather_present
from flambeau.data.cache import cached_pictures
from flambeau.data.pictures.columns import column_files
from flambeau.data.pictures.source import digest_pictures
from flambeau.data.samples import Samples
from flambeau.data.split import Split
from flambeau.errors import DataError, ModelError
from flambeau.planning.effects import effect_findings
from flambeau.planning.machine import Machine
from flambeau.planning.mixed import has_long_tail, is_mixed, plan_mixed
from flambeau.planning.tables import plan_log_target
from flambeau.planning.texts import plan_unknown
from flambeau.recipe import Choices, Recipe
from flambeau.schema import Finding
from flambeau.stages.journal import Journal
from flambeau.stages.starting.weights import StartingWeights, find_starting_weights
from flambeau.transforms.augment import augment_pictures
from flambeau.transforms.image import PicturePreparation, fit_pictures
from flambeau.transforms.mixed import PictureColumn, change_mixed


@dataclass(frozen=True)
class ColumnPixels:
    """The decoded pictures of one column.

    Args:
        pixels: (pictures, height, width, channels) uint8, often a memory map.
        places: (rows,) int64 position of each row's picture in `pixels`, -1 where there is none.
    """

    pixels: np.ndarray
    places: np.ndarray

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Positions in `pixels` of the pictures that these rows have."""
        places = self.places[rows]
        return places[places >= 0]


def plan_and_decode(
    samples: Samples, choices: Choices, machine: Machine, journal: Journal
) -> tuple[StartingWeights | None, dict[str, ColumnPixels], tuple[Finding, ...]]:
    """Pretrained weights, all choices, and the decoded pictures of a table with columns of several kinds.

    Raises:
        ModelError: pretrained weights are asked for, and no column holds pictures.
    """
    schema = samples.schema
    weights = find_starting_weights(choices, schema, journal) if schema.picture_columns else None
    if weights is None and choices.recipe.model.pretrained is not None:
        got = f"--pretrained {choices.recipe.model.pretrained}"
        raise ModelError("pretrained weights are for pictures, and no column here holds any", got=got)
    if any(column.kind == "text" for column in schema.used_columns):
        plan_unknown(choices, task=schema.task, classes=schema.classes)
    plan_mixed(
        choices,
        rows=len(samples),
        schema=schema,
        pretrained=weights is not None,
        machine=machine,
    )
    pretrained = weights is not None
    for finding in effect_findings(
        choices,
        task=schema.task,
        pictures=False,
        pretrained=pretrained,
        mixed=True,
        texts="beside" if any(column.kind == "text" for column in schema.used_columns) else "",
    ):
        journal.finding(finding)
    return weights, *decode_columns(samples, choices.recipe, machine, journal)


def choose_log_target(choices: Choices, samples: Samples, split: Split) -> None:
    """Fill in whether a logarithm is learnt of a mixed table's target: training rows, of the first fold, decide."""
    schema = samples.schema
    if schema.source == "table" and schema.task == "regression" and is_mixed(schema):
        plan_log_target(choices, schema.task, skewed=has_long_tail(samples.targets[split.train]))


def decode_columns(
    samples: Samples, recipe: Recipe, machine: Machine, journal: Journal
) -> tuple[dict[str, ColumnPixels], tuple[Finding, ...]]:
    """The pictures of every column, from the cache or decoded into it, and findings about those that cannot be read.

    Rows whose picture cannot be read are kept, without it.

    Raises:
        DataError: no picture of a column can be read.
    """
    if not samples.schema.picture_columns:
        return {}, ()
    assert samples.columns is not None and recipe.image.size is not None
    found: dict[str, ColumnPixels] = {}
    findings = []
    for name in samples.schema.picture_columns:
        height, width = recipe.image.size
        journal.stage("decode", f"decoding the pictures of '{name}' at {height}×{width}")
        rows, files = column_files(samples.columns[name])
        if len(rows) == 0:
            raise DataError(f"no row has a picture in '{name}'", command=f"--set data.drop=[{name}]")
        ids = tuple(f"{samples.ids[row]}: {samples.columns[name][row]}" for row in rows)
        pictures = replace(
            samples,
            ids=ids,
            targets=samples.targets[rows],
            pictures=files,
            columns=None,
            parts=None,
            groups=None,
            digests=digest_pictures(files),
        )
        cached = cached_pictures(
            pictures,
            size=recipe.image.size,
            channels=recipe.image.channels or 3,
            bits=8,
            resize=recipe.image.resize,
            interpolation=recipe.image.interpolation,
            max_pixels=recipe.data.max_pixels,
            cache_gb=recipe.data.cache_gb,
            progress=lambda done, total: journal(
                {"kind": "progress", "name": "decode", "done": done, "total": total}
            ),
            threads=machine["cores"],
        )
        places = np.full(len(samples), -1, dtype=np.int64)
        places[rows[cached.readable]] = np.arange(len(cached.pixels))
        found[name] = ColumnPixels(cached.pixels, places)
        if cached.problems:
            message = (
                f"'{name}': {len(cached.problems):,} of {len(rows):,} pictures cannot be read; "
                "their rows are kept, and the model is told that the picture is not there"
            )
            listed = tuple(f"{one}: {reason}" for one, reason in cached.problems)
            findings.append(Finding("warning", "unreadable", message, listed))
    return found, tuple(findings)


def fit_picture_columns(
    columns: dict[str, ColumnPixels], fitting_rows: np.ndarray, recipe: Recipe
) -> tuple[PictureColumn, ...]:
    """The preparations of all columns of pictures: one statistic of all their training pictures."""
    image = recipe.image
    assert image.size is not None and image.channels is not None and image.normalise is not None
    share = max(1, 5000 // max(1, len(columns)))
    blocks = []
    for one in columns.values():
        places = one.of_rows(fitting_rows)
        if len(places):
            chosen = np.unique(np.linspace(0, len(places) - 1, min(len(places), share)).astype(np.int64))
            blocks.append(one.pixels[places[chosen]])
    if not blocks:
        raise DataError("no training row has a picture")
    preparation = fit_pictures(
        np.concatenate(blocks),
        size=image.size,
        channels=image.channels,
        bits=8,
        fit=image.resize,
        interpolation=image.interpolation,
        normalise=image.normalise,
    )
    return tuple(PictureColumn(name, preparation) for name in columns)


def picture_gathers(
    pictures: tuple[PictureColumn, ...],
    columns: dict[str, ColumnPixels],
    recipe: Recipe,
    device: torch.device,
    *,
    training: bool,
) -> list[Gather]:
    """One gather a column: pictures and present; for training, pictures are still integers."""
    layout = layout_of(recipe)
    gathers = []
    for column in pictures:
        own = columns[column.column]
        prepare = column.pictures.shape if training else partial(prepare_pictures, column.pictures, layout)
        gathers.append(gather_present(own.pixels, own.places, prepare, device))
    return gathers


def prepare_pictures(preparation: PicturePreparation, layout: torch.memory_format, block: Tensor) -> Tensor:
    """Integer pixels of a block → what the model sees."""
    return preparation.prepare(block).contiguous(memory_format=layout)


def layout_of(recipe: Recipe) -> torch.memory_format:
    """How pictures lie in memory."""
    last = recipe.training.memory_format == "channels_last"
    return torch.channels_last if last else torch.contiguous_format


def make_mixed_change(pictures: tuple[PictureColumn, ...], recipe: Recipe) -> Change:
    """The random changes of the pictures of a row that the recipe asks for."""
    options = recipe.image.augment.model_dump(exclude={"mixup"}, exclude_none=True)
    return partial(
        change_mixed,
        columns=pictures,
        augment=partial(augment_pictures, largest=255.0, **options),
        layout=layout_of(recipe),
    )
