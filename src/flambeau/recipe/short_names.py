"""Short names of common options: flags on the command line, keywords in Python."""

from __future__ import annotations

SHORT_NAMES = {
    "target": "data.target",
    "task": "task",
    "test": "data.test",
    "model": "model.name",
    "pretrained": "model.pretrained",
    "trust_pickle": "model.trust_pickle",
    "arch": "model.arch",
    "epochs": "training.epochs",
    "minutes": "training.minutes",
    "batch_size": "training.batch_size",
    "lr": "training.optimizer.lr",
    "seed": "seed",
    "device": "device",
    "threads": "threads",
    "folds": "split.folds",
    "refit": "split.refit",
    "baselines": "evaluation.baselines",
}
