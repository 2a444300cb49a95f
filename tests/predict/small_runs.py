"""Runs with small models of every task, made in milliseconds without a training, and inputs for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from PIL import Image

from flambeau.deploy.bundle import Bundle, save_bundle
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec
from flambeau.records import RunFolder
from flambeau.schema import Column, PictureFacts, Schema, Task
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.mixed import PictureColumn
from flambeau.transforms.table import TablePreparation, TargetScaler, fit_table

COLOURS = ("red", "blue", "green")
LABELS: dict[str, tuple[str, ...]] = {
    "classification": ("large", "small"), "multilabel": ("new", "old", "odd"), "regression": ()
}  # fmt: skip


def write_run(folder: Path, bundle: Bundle, recipe: str = "seed: 0\n") -> RunFolder:
    run = RunFolder(folder)
    run.path.mkdir(parents=True)
    run.append({"kind": "note", "text": "made without a training"})
    save_bundle(run.model, bundle, recipe)
    return run


def table_run(folder: Path, task: Task = "classification", seed: int = 0) -> RunFolder:
    generator = np.random.default_rng(0)
    columns = {
        "area": generator.uniform(30, 120, 200),
        "colour": generator.choice(np.array([*COLOURS, None], dtype=object), 200),
        "built": np.datetime64("1990-01-01", "s") + generator.integers(0, 10**9, 200),
    }
    preparation = fit_table(columns, {"area": "number", "colour": "category", "built": "date"}, rare=1)
    described = (
        Column("area", "number", low=30, high=120),
        Column("colour", "category", values=COLOURS),
        Column("built", "date"),
    )
    arguments = {
        "number_features": len(preparation.numbers),
        "cardinalities": list(preparation.cardinalities),
        "outputs": max(len(LABELS[task]), 1),
        "width": 8,
        "depth": 1,
    }
    schema = Schema("table", task, "size", LABELS[task], described)
    return _write(folder, schema, ModelSpec("mlp", arguments), preparation, seed)


def picture_run(folder: Path, task: Task = "classification", seed: int = 0) -> RunFolder:
    facts = PictureFacts(3, 8, 12, 12)
    schema = Schema("pictures", task, "folder", LABELS[task], (Column("image", "image"),), facts)
    preparation = PicturePreparation((8, 8), 3, 8, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    arguments = {"channels": 3, "outputs": schema.outputs, "size": [8, 8], "width": 4}
    return _write(folder, schema, ModelSpec("small_cnn", arguments), preparation, seed)


def mixed_run(folder: Path, recipe: str = "seed: 0\n") -> RunFolder:
    """A fused net of one column of pictures, with drawn weights."""
    torch.manual_seed(0)
    facts = PictureFacts(3, 8, 16, 16)
    schema = Schema("table", "regression", "price", (), (Column("front", "image"),), facts)
    pictures = PicturePreparation((16, 16), 3, 8, mean=(0.5,) * 3, std=(0.25,) * 3)
    preparation = TablePreparation((), (), pictures=(PictureColumn("front", pictures),))
    inner = ModelSpec("small_cnn", {"channels": 3, "outputs": 8, "size": [16, 16], "width": 4})
    own = {"outputs": 1, "number_features": 0, "cardinalities": [], "bins": 2, "picture": inner.to_json()}
    spec = ModelSpec("fusion", {**own, "picture_columns": 1, "picture_width": 8})
    module = build_model(spec).eval()
    return write_run(folder, Bundle(schema, spec, preparation, module, TargetScaler(0.0, 1.0)), recipe)


def _write(folder: Path, schema: Schema, spec: ModelSpec, preparation: Any, seed: int) -> RunFolder:
    torch.manual_seed(seed)
    module = build_model(spec).eval()
    return write_run(
        folder, Bundle(schema, spec, preparation, module, TargetScaler(10.0, 2.0), temperature=1.3)
    )


def make_rows(count: int, seed: int = 1) -> pyarrow.Table:
    """Rows of which some are strange: out of range, an unknown colour, missing."""
    generator = np.random.default_rng(seed)
    built = np.datetime64("1990-01-01", "s") + generator.integers(0, 10**9, count)
    return pyarrow.table(
        {
            "id": np.arange(count),
            "area": np.round(generator.uniform(20, 130, count), 3),
            "colour": generator.choice(np.array([*COLOURS, "mauve", None], dtype=object), count),
            "built": np.datetime_as_string(built, unit="s"),
        }
    )


def draw(path: Path, seed: int, size: tuple[int, int] = (12, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
