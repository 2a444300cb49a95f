"""Small runs over nearly every pair of techniques: what is trained here must also resume, eject, export and serve.

Whoever adds a technique adds a level here; `test_every_option_is_covered` fails until then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shipping_once import BASES, ONCE
from shipping_pairs import pairwise

# Each factor: the recipe's settings for each of its levels. Every pair of levels of two factors occurs in some case.
TRAINING: dict[str, list[dict[str, Any]]] = {
    "precision": [
        {"training.precision": "fp32"},
        {"training.precision": "bf16"},
    ],
    "optimizer": [
        {
            "training.optimizer.name": "adamw",
            "training.optimizer.lr": 2e-3,
            "training.optimizer.beta2": 0.99,
            "training.optimizer.eps": 1e-6,
        },
        {
            "training.optimizer.name": "sgd",
            "training.optimizer.lr": 1e-3,
            "training.optimizer.momentum": 0.8,
            "training.optimizer.nesterov": False,
            "training.optimizer.weight_decay": 0.01,
        },
        {
            "training.optimizer.name": "muon",
            "training.optimizer.lr": 5e-3,
            "training.optimizer.layer_decay": 0.8,
        },
    ],
    "schedule": [
        {"training.schedule.name": "one_cycle"},
        {"training.schedule.name": "cosine", "training.schedule.warmup": 0.3, "training.schedule.end": 0.1},
        {
            "training.schedule.name": "plateau",
            "training.schedule.patience": 0,
            "training.schedule.gamma": 0.5,
        },
    ],
    "average": [{"training.ema": 0.0}, {"training.ema": 0.9}],
    "gradient": [
        {"training.clip_norm": 0.0, "training.clip_value": 0.1},
        {"training.clip_norm": 0.5, "training.micro_batch": 5},
        {"training.micro_batch": 3},
    ],
    "frozen": [
        {},
        {"training.unfreeze_every": 1, "training.recompute": True},
        {"training.freeze": ["*bias"], "training.batch_norm_momentum": 0.3},
    ],
    "selection": [
        {"training.patience": 0, "training.tolerance": 1.0},
        {"training.patience": 1, "training.tolerance": 0.0, "training.epochs": 4},
    ],
    "split": [
        {"split.folds": 0, "training.bags": 1},
        {"split.folds": 0, "training.bags": 2},
        {"split.folds": 2, "training.bags": 2},
        {"split.folds": 0, "split.refit": True, "training.bags": 1},
    ],
    "loss": [
        {"training.label_smoothing": 0.0, "training.class_weights": "balanced"},
        {"training.label_smoothing": 0.1, "training.class_weights": "none"},
    ],
}
PICTURES: dict[str, list[dict[str, Any]]] = {
    "data": [
        {"source": "folders"},
        {"source": "labels", "data.target": "tags"},
        {"source": "labels", "data.target": "weight"},
        {"source": "arrays"},
    ],
    "model": [
        {"model.name": "small_cnn", "model.width": 4, "model.dropout": 0.2},
        {"model.name": "small_resnet", "model.width": 4, "model.depth": 1, "model.init": "kaiming_normal"},
        {"model.name": "fast_cnn", "model.width": 4, "model.init": "dirac", "model.whiten": True},
        {"model.name": "resnet", "model.width": 4, "model.depth": 1},
        {"model.name": "own"},
        {
            "model.pretrained": "weights",
            "training.head_epochs": 2,
            "training.freeze_early": True,
            "training.optimizer.body_lr": 0.5,
        },
    ],
    "augment": [
        {
            "image.augment.mixup": 0.4,
            "image.augment.flip_horizontal": True,
            "image.augment.rotate": 10.0,
            "image.flip_average": True,
        },
        {
            "image.augment.mixup": 0.0,
            "image.augment.erase": 0.5,
            "image.augment.contrast": 0.3,
            "image.augment.flip_horizontal": True,
            "image.augment.flip_alternate": True,
            "image.augment.crop": 2,
        },
        {
            "image.augment.brightness": 0.2,
            "image.augment.flip_vertical": True,
            "image.augment.shift": 0.1,
            "image.augment.scale": 0.2,
        },
    ],
    "pixels": [
        {"image.size": 16, "image.normalise": "dataset", "training.memory_format": "channels_last"},
        {
            "image.size": 12,
            "image.resize": "pad",
            "image.interpolation": "bicubic",
            "image.normalise": "none",
        },
        {"image.size": 20, "image.resize": "crop", "image.channels": 1, "image.interpolation": "nearest"},
    ],
}
TABLES: dict[str, list[dict[str, Any]]] = {
    "data": [
        {"source": "table", "data.target": "kind"},
        {"source": "table", "data.target": "price"},
        {"source": "table", "data.target": "tags"},
        {"source": "untidy", "data.target": "price"},
    ],
    "model": [
        {"model.name": "tabm", "model.width": 16, "model.members": 3, "table.bins": 4},
        {"model.name": "tabm", "model.width": 8, "model.depth": 1, "model.members": 2, "table.bins": 0},
        {
            "model.name": "mlp",
            "model.width": 16,
            "model.dropout": 0.2,
            "model.activation": "tanh",
            "model.normalisation": "batch",
            "model.init": "orthogonal",
        },
        {"model.name": "own"},
    ],
    "scaling": [
        {"table.scaling": "quantile"},
        {"table.scaling": "robust"},
        {"table.scaling": "standard", "table.rare": 1},
    ],
}
MOST_CASES = {"pictures": 12, "table": 10}
# What a bundle shows of a recipe; the rest decides only how its weights came about.
SHOWN = ("source", "image.", "table.", "mixed.", "model.", "data.", "training.bags")


def settings_of(
    factors: Mapping[str, Sequence[Mapping[str, Any]]], case: Mapping[str, int]
) -> dict[str, Any]:
    """The recipe of a case: the settings of its levels, one after the other."""
    settings: dict[str, Any] = {
        "training.epochs": 2,
        "training.batch_size": 16,
        "threads": 1,
        "evaluation.resamples": 100,
    }
    for name, level in case.items():
        settings.update(factors[name][level])
    if "model.pretrained" in settings:
        # at 12 px its last stride is wider than its picture, where torch's bf16 gradients are wrong (docs/log.md)
        settings["training.precision"] = "fp32"
    return settings


def all_cases() -> list[tuple[str, dict[str, Any]]]:
    """Name and settings of every case."""
    result = []
    for kind, own in (("pictures", PICTURES), ("table", TABLES)):
        factors = {**own, **TRAINING}
        for number, case in enumerate(pairwise(factors)[: MOST_CASES[kind]]):
            result.append((f"{kind}-{number}", settings_of(factors, case)))
    for name, own in ONCE.items():
        kind = name.partition("-")[0]
        basis = BASES[kind]
        result.append((name, settings_of({"basis": [{**basis, **own}]}, {"basis": 0})))
    return result


def shipped_cases() -> list[str]:
    """Names of few cases in which each setting that a bundle shows occurs."""
    seen: set[tuple[str, str]] = set()
    chosen = []
    for name, settings in all_cases():
        # tests/export has every encoder of texts
        if name.startswith("text-") and name not in ("text-bag", "text-mixed"):
            continue
        shown = {(key, str(value)) for key, value in settings.items() if key.startswith(SHOWN)}
        # what makes pictures answers nothing: tests/whole/test_generate.py has what it ships as
        if shown - seen and settings.get("task") != "generate":
            chosen.append(name)
            seen |= shown
    return chosen
