"""Bundles with random weights, fitted preparations and every kind of column: what an exporter must take, untrained."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from flambeau.deploy.bundle import Bundle
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, PictureFacts, Schema, Task
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TargetScaler, fit_table

KINDS = {
    "area": "number",
    "ties": "number",
    "new": "boolean",
    "sold": "date",
    "value": "category",
    "zone, code": "category",
}
TARGET = TargetScaler(250_000.0, 40_000.0)


def some_columns(rows: int = 300, seed: int = 0) -> dict[str, np.ndarray]:
    """One column of each kind with missing values; a column is named as an output, another has a comma in its name."""
    generator = np.random.default_rng(seed)
    colours = np.array(["red", "green", "blue", None], dtype=object)
    codes = np.array(["1", "2", "true", "false", "rare"], dtype=object)
    area = generator.lognormal(4, 1, rows)
    area[::7] = np.nan
    sold = np.datetime64("1965-02-27", "s") + generator.integers(0, 2_000_000_000, rows)
    sold[::9] = np.datetime64("NaT")
    return {
        "area": area,
        "ties": generator.integers(0, 4, rows).astype(np.float64),
        "new": generator.integers(0, 2, rows).astype(np.float64),
        "sold": sold,
        "value": colours[generator.integers(0, 4, rows)],
        "zone, code": codes[generator.integers(0, 5, rows)],
    }


def classes_of(task: str) -> tuple[str, ...]:
    return () if task == "regression" else ("low", "middle", "é")


def outputs_of(task: str) -> int:
    return len(classes_of(task)) or 1


def finished_bundle(schema: Schema, spec: ModelSpec, preparation: Any, **options: Any) -> Bundle:
    """A bundle of a module with drawn weights, whose outputs differ from input to input."""
    torch.manual_seed(0)
    module = build_model(spec).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            last = any(word in name for word in ("head", "classifier"))
            # a fresh head is small or zero, and would hide every fault before it
            parameter.add_(torch.randn_like(parameter) * (0.5 if last else 0.05))
        if isinstance(preparation, PicturePreparation):
            # normalisations that have seen pictures keep what distinguishes them, layer after layer
            for layer in module.modules():
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.reset_running_stats()
                    layer.momentum = None  # the plain mean over all batches
            module.train()
            for _ in range(5 if max(preparation.size) <= 32 else 2):
                levels = torch.randn(16, preparation.channels, 1, 1)
                module(levels + torch.randn(16, preparation.channels, *preparation.size))
            module.eval()
    target = TARGET if schema.task == "regression" else TargetScaler(0.0, 1.0)
    return Bundle(schema, spec, preparation, module, target, **{"temperature": 0.7, **options})


def table_bundle(task: Task, model: str = "tabm", scaling: str = "quantile", members: int = 1) -> Bundle:
    """A table of `some_columns`."""
    preparation = fit_table(some_columns(), KINDS, scaling=scaling)
    arguments: dict[str, Any] = {
        "number_features": len(preparation.numbers),
        "cardinalities": list(preparation.cardinalities),
        "outputs": outputs_of(task),
        "width": 8,
    }
    if model == "tabm":
        arguments |= {"members": 2, "bins": 4}
    return finished_bundle(table_schema(task), _ensemble(ModelSpec(model, arguments), members), preparation)


def table_schema(task: Task) -> Schema:
    columns = tuple(Column(name, kind) for name, kind in KINDS.items())  # type: ignore[arg-type]  # known kinds
    return Schema("table", task, "price", classes_of(task), columns)


def picture_bundle(
    task: Task,
    model: str = "small_cnn",
    *,
    size: tuple[int, int] = (12, 8),
    channels: int = 3,
    bits: int = 8,
    fit: Any = "stretch",
    interpolation: Any = "bilinear",
    members: int = 1,
    flip_average: bool = False,
    arguments: dict[str, Any] | None = None,
) -> Bundle:
    """Pictures of any size."""
    own = {"size": list(size), "width": 4} if arguments is None else arguments
    spec = ModelSpec(model, {"channels": channels, "outputs": outputs_of(task), **own})
    schema = Schema(
        source="pictures",
        task=task,
        target="folder",
        classes=classes_of(task),
        columns=(Column("image", "image"),),
        picture=PictureFacts(channels, bits, 20, 30, True),
    )
    mean, std = (0.4,) * channels, (0.2,) * channels
    preparation = PicturePreparation(size, channels, bits, fit, interpolation, mean, std)
    return finished_bundle(schema, _ensemble(spec, members), preparation, flip_average=flip_average)


def _ensemble(spec: ModelSpec, members: int) -> ModelSpec:
    return spec if members == 1 else ModelSpec("ensemble", {"members": [spec.to_json()] * members})
