"""Short names of common options: flags on the command line, keywords in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHORT_NAMES = {
    "target": "data.target",
    "task": "task",
    "horizon": "forecast.horizon",
    "test": "data.test",
    "root": "data.root",
    "model": "model.name",
    "pretrained": "model.pretrained",
    "trust_pickle": "model.trust_pickle",
    "arch": "model.arch",
    "freeze": "training.freeze",
    "optimizer": "training.optimizer.name",
    "lr": "training.optimizer.lr",
    "schedule": "training.schedule.name",
    "loss": "training.loss.name",
    "epochs": "training.epochs",
    "minutes": "training.minutes",
    "batch_size": "training.batch_size",
    "precision": "training.precision",
    "seed": "seed",
    "device": "device",
    "devices": "devices",
    "threads": "threads",
    "folds": "split.folds",
    "refit": "split.refit",
    "log": "log",
    "baselines": "evaluation.baselines",
}

# What "auto" switches on for these; for all other options it leaves the choice to the rules.
FINDERS = {"lr": "training.lr_finder", "batch_size": "training.batch_finder"}
LISTS = ("freeze", "log")


def give_way(values: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Take out of a recipe's given values what settings on top of it take back.

    A finder opens the value that the recipe gives, and a value switches off the recipe's finder. Where both are among
    the settings, both stay, and `check_finders` refuses them.

    Args:
        values: of the lower layer, as nested dictionaries; changed in place.
        settings: dotted key → value, on top.
    """
    for short, finder in FINDERS.items():
        key = SHORT_NAMES[short]
        given = settings.get(key) not in (None, "auto")
        if settings.get(finder) is True and not given:
            _drop(values, key)
        elif given and finder not in settings:
            _drop(values, finder)


def _drop(values: dict[str, Any], key: str) -> None:
    *path, last = key.split(".")
    for name in path:
        values = values.get(name) or {}
    values.pop(last, None)


def long_setting(name: str, value: Any) -> tuple[str, Any]:
    """The dotted key and the value that a short name and its value mean.

    >>> long_setting("lr", 0.01), long_setting("lr", "auto"), long_setting("freeze", "conv1, layer1.*")
    (('training.optimizer.lr', 0.01), ('training.lr_finder', True), ('training.freeze', ['conv1', 'layer1.*']))
    """
    if value == "auto" and name in FINDERS:
        return FINDERS[name], True
    if name in LISTS and isinstance(value, str):
        return SHORT_NAMES[name], [part.strip() for part in value.split(",") if part.strip()]
    return SHORT_NAMES.get(name, name), value
