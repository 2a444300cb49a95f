"""Bundles of every kind, made in milliseconds without a training, and a hand that alters their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flambeau.deploy.bundle import Bundle, Preparation, save_bundle
from flambeau.deploy.familiar.familiar import Familiar
from flambeau.deploy.familiar.files import save_familiar
from flambeau.deploy.familiar.fit import fit_familiar
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec, ensemble_spec
from flambeau.records.files import digest_file
from flambeau.schema import Column, PictureFacts, Schema, Task
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TargetScaler, fit_table

RECIPE = "seed: 0\n"
COLUMNS = {
    "area": np.array([30.0, 50.0, np.nan, 80.0, 120.0]),
    "colour": np.array(["red", "blue", None, "red", "blue"], dtype=object),
    "built": np.array(["1990-01-01", "2001-05-06", "NaT", "2010-01-01", "2020-02-02"], dtype="datetime64[s]"),
}
KINDS = {"area": "number", "colour": "category", "built": "date"}


def scores_of(task: str) -> dict[str, Any]:
    score = {"value": 0.9, "low": 0.8, "high": 0.95}
    metric = {"classification": "accuracy", "multilabel": "average_precision", "regression": "rmse"}[task]
    return {
        "task": task,
        "rows": {"train": 70, "valid": 15, "test": 15},
        "test": {metric: score},
        "baselines": {"majority": {metric: 0.5}},
        "method": "test part",
        "verdict": "The model beats every baseline.",
        "calibration": {"temperature": 1.0},
        "kept": "the model that was tested",
    }


def table_bundle(model: str = "mlp", task: Task = "classification") -> Bundle:
    preparation = fit_table(COLUMNS, KINDS, rare=1)
    classes = () if task == "regression" else ("large", "small")
    columns = (
        Column("area", "number", low=30, high=120),
        Column("colour", "category", values=("blue", "red")),
        Column("built", "date"),
    )
    schema = Schema("table", task, "size", classes, columns)
    arguments = {
        "number_features": len(preparation.numbers),
        "cardinalities": list(preparation.cardinalities),
        "outputs": schema.outputs,
        "width": 8,
        "depth": 1,
    }
    if model == "tabm":
        arguments |= {"bins": 4, "members": 2}
    return _bundle(schema, ModelSpec(model, arguments), preparation)


def picture_bundle(model: str = "small_cnn", task: Task = "classification") -> Bundle:
    schema = Schema(
        "pictures",
        task,
        "folder",
        () if task == "regression" else ("cat", "dog", "owl"),
        (Column("image", "image"),),
        PictureFacts(3, 8, 12, 12),
    )
    preparation = PicturePreparation((8, 8), 3, 8, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    arguments: dict[str, Any] = {"channels": 3, "outputs": schema.outputs, "size": [8, 8], "width": 4}
    return _bundle(schema, ModelSpec(model, arguments), preparation)


def bag_bundle() -> Bundle:
    one = table_bundle("tabm")
    return _bundle(one.schema, ensemble_spec([one.spec, one.spec]), one.preparation)


def _bundle(schema: Schema, spec: ModelSpec, preparation: Preparation) -> Bundle:
    torch.manual_seed(0)
    module = build_model(spec).eval()
    return Bundle(
        schema,
        spec,
        preparation,
        module,
        TargetScaler(10.0, 2.0),
        scores=scores_of(schema.task),
        facts=facts(),
    )


def facts() -> dict[str, Any]:
    return {
        "name": "things-1",
        "made": "2026-01-01",
        "data": {"source": "things.csv", "test_source": None, "fingerprint": "ab" * 16, "count": 100},
        "split": {"method": "stratified", "reason": "the data came unsplit"},
        "findings": [{"level": "warning", "code": "duplicates", "message": "4 duplicates"}],
        "weights": None,
    }


BUNDLES: dict[str, Callable[[], Bundle]] = {
    "mlp": table_bundle,
    "tabm regression": lambda: table_bundle("tabm", "regression"),
    "bag": bag_bundle,
    "cnn": picture_bundle,
    "resnet multilabel": lambda: picture_bundle("resnet", "multilabel"),
}


def write_bundle(folder: Path, kind: str = "mlp") -> Path:
    bundle = BUNDLES[kind]()
    folder.mkdir(parents=True, exist_ok=True)
    save_familiar(folder, familiar_of(bundle))
    save_bundle(folder, bundle, RECIPE)
    return folder


def familiar_of(bundle: Bundle) -> Familiar:
    """What made-up training rows of the right shapes look like."""
    preparation, draw = bundle.preparation, torch.Generator().manual_seed(0)
    if isinstance(preparation, PicturePreparation):
        pictures = torch.rand(60, preparation.channels, *preparation.size, generator=draw)
        return fit_familiar(bundle.module, [(pictures,)], "pictures")
    numbers = torch.randn(60, len(preparation.numbers), generator=draw)
    codes = torch.randint(0, 3, (60, len(preparation.categories)), generator=draw)
    return fit_familiar(bundle.module, [(numbers, codes)], "table")


def alter(folder: Path, name: str, content: bytes | Any) -> None:
    """Write a file of a bundle anew, and its digest, as somebody would who wants it to be believed."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / name).write_bytes(data)
    sign(folder)


def sign(folder: Path) -> None:
    versions = json.loads((folder / "versions.json").read_text())
    versions["digests"] = {
        path.name: digest_file(path)
        for path in folder.iterdir()
        if path.name != "versions.json" and path.is_file()
    }
    (folder / "versions.json").write_text(json.dumps(versions))
