"""Small trainings for one and for two processes: their data, and what they train."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.recipe import Recipe, with_settings

# No batch statistics and no dropout, so that one process and several must agree.
OWN_MODEL = """
import torch
from torch import nn


class PlainCNN(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU())
        self.head = nn.Linear(8, num_classes)
        self.register_buffer("mask", torch.tensor([True, False]))
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(pictures).mean((2, 3)))
"""
COMMON = {
    "threads": 1,
    "device": os.environ.get("RANKS_DEVICE", "cpu"),
    "split.folds": 0,
    "evaluation.baselines": False,
    "training.epochs": 3,
    "training.precision": "fp32",
    "training.matmul": "highest",
    "training.patience": 0,
    "training.bags": 1,
    "training.checkpoint_seconds": 0.0,
}
TABLE = {
    "data.target": "y",
    "model.name": "mlp",
    "model.dropout": 0.0,
    "model.width": 24,
    "model.depth": 2,
    "training.batch_size": 21,
    "training.ema": 0.9,
    "training.clip_norm": 0.5,
}
PICTURES = {
    "model.name": "net.py:PlainCNN",
    "training.batch_size": 14,
    "training.optimizer.name": "sgd",
    "training.optimizer.lr": 0.05,
    "image.augment.shift": 0.1,
    "image.augment.rotate": 10.0,
    "image.augment.flip_horizontal": True,
    "image.augment.mixup": 0.3,
    "split.near_duplicates": False,
}
FEATURES = {
    **{key: value for key, value in PICTURES.items() if not key.startswith("image.augment")},
    **{
        f"image.augment.{name}": 0.0
        for name in ("shift", "scale", "rotate", "brightness", "contrast", "erase")
    },
    "image.augment.flip_horizontal": False,
    "image.augment.flip_vertical": False,
    "image.augment.mixup": 0.0,
    "training.freeze": ["body"],
}
SERIES = {
    "task": "forecast",
    "data.target": "load",
    "model.name": "dlinear",
    "forecast.horizon": 3,
    "forecast.lookback": 14,
    "training.batch_size": 32,
    "training.clip_norm": 0.5,
}
SGD = {"training.optimizer.name": "sgd", "training.optimizer.lr": 0.05}
CASES: dict[str, dict[str, Any]] = {
    "table": {**TABLE, **SGD},
    "table, adamw, in parts": {**TABLE, "training.micro_batch": 4},
    "table, early stopping, plateau": {
        **TABLE, **SGD, "training.epochs": 6, "training.patience": 1, "training.schedule.name": "plateau",
        "training.optimizer.lr": 0.3, "training.schedule.patience": 0,
    },
    "table, muon": {**TABLE, "training.optimizer.name": "muon", "training.optimizer.lr": 0.02},
    "table, lbfgs": {
        **TABLE, "training.optimizer.name": "lbfgs", "training.optimizer.lr": 0.5, "training.batch_size": 150,
        "training.clip_norm": 0.0, "training.epochs": 1,
    },
    "series": {**SERIES, "training.optimizer.name": "sgd", "training.optimizer.lr": 0.01},
    "pictures": PICTURES,
    "pictures, unfrozen one by one": {**PICTURES, "training.unfreeze_every": 1, "training.ema": 0.9},
    "pictures, features of a frozen body": FEATURES,
    "pictures, features, sharded": {**FEATURES, "training.distributed": "fsdp"},
    "pictures, bf16": {**PICTURES, "training.precision": "bf16"},
    "table, sharded": {**TABLE, **SGD, "training.distributed": "fsdp"},
    "table, adamw, in parts, sharded": {**TABLE, "training.micro_batch": 4, "training.distributed": "fsdp"},
    "pictures, sharded": {**PICTURES, "training.distributed": "fsdp"},
}  # fmt: skip
# Statistics of the batch and dropout make these differ from one process; they must still train, and repeat.
OTHERS: dict[str, dict[str, Any]] = {
    "pictures, batch norm": {**PICTURES, "model.name": "small_resnet", "model.dropout": 0.1, "training.ema": 0.9},
    "table, folds and bags": {
        **TABLE, **SGD, "split.folds": 2, "training.bags": 2, "training.epochs": 1, "training.ema": 0.0,
    },
}  # fmt: skip


def make_data(folder: Path) -> None:
    """table.csv, series.csv, pictures.npz and net.py."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(203, 4))
    kinds = draw.integers(0, 3, 203)
    aims = values @ draw.normal(size=4) + np.sin(2 * values[:, 0]) + kinds
    lines = ["a,b,c,d,kind,y"]
    for row, kind, aim in zip(values, kinds, aims, strict=True):
        lines.append(",".join([*(f"{value:.4f}" for value in row), "uvw"[kind], f"{aim:.4f}"]))
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    days = np.datetime64("2024-01-01") + np.arange(220)
    load = np.sin(np.arange(220) * 2 * np.pi / 7) + np.random.default_rng(1).normal(0, 0.2, 220)
    lines = ["day,load", *(f"{day},{value:.4f}" for day, value in zip(days, load, strict=True))]
    (folder / "series.csv").write_text("\n".join(lines) + "\n")
    images = draw.integers(0, 256, (101, 12, 12, 3), dtype=np.uint8)
    labels = np.arange(101) % 3
    images[np.arange(101), 2:8, 2:8, :] //= (labels[:, None, None, None] + 1).astype(np.uint8)
    np.savez(folder / "pictures.npz", images=images, labels=labels)
    (folder / "net.py").write_text(OWN_MODEL)


def folder_of(name: str) -> str:
    """The name of a case's run folder."""
    return name.replace(", ", "-").replace(" ", "_")


def source_of(settings: dict[str, Any]) -> str:
    """The data of a case, in the folder that `make_data` filled."""
    if "data.target" not in settings:
        return "pictures.npz"
    return "series.csv" if "task" in settings else "table.csv"


def recipe_of(settings: dict[str, Any]) -> Recipe:
    """The recipe of a case."""
    values = {**COMMON, **settings}
    if "data.target" in values and "training.optimizer.lr" not in values:
        values["training.optimizer.lr"] = 1e-3
    return with_settings(Recipe(), values, where="")
