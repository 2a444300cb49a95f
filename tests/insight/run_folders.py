"""Synthetic but realistic run folders for the report's tests, as finished and unfinished runs leave them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from made_up import made_up, worst_mistakes
from safetensors.numpy import save_file

from flambeau.evaluation.metrics import main_metric, score_predictions
from flambeau.evaluation.uncertainty import bootstrap_intervals
from flambeau.recipe.choices import Choices
from flambeau.recipe.options import ModelOptions, Recipe
from flambeau.recipe.training_options import OptimizerOptions, TrainingOptions
from flambeau.recipe.write import recipe_to_yaml
from flambeau.records.folder import RunFolder
from flambeau.schema import Column, PictureFacts, Schema


def digits_schema(classes: tuple[str, ...]) -> Schema:
    return Schema(
        source="pictures",
        task="classification",
        target="folder",
        classes=classes,
        columns=(Column("image", "image"),),
        picture=PictureFacts(channels=1, bits=8, height=28, width=28),
    )


def houses_schema() -> Schema:
    return Schema(
        source="table",
        task="regression",
        target="price",
        columns=(
            Column("rooms", "number", reason="numbers in every row", low=1, high=37),
            Column("income", "number", reason="numbers in every row", low=0.5, high=15.0001),
            Column(
                "ocean",
                "category",
                reason="5 different words",
                values=("inland", "near bay", "coast", "island"),
            ),
            Column("id", "identifier", used=False, reason="every row has another value, so it says nothing"),
        ),
    )


def write_run(
    folder: Path,
    schema: Schema,
    *,
    count: int = 1797,
    scored: int = 270,
    skill: float = 4.0,
    seed: int = 0,
    stages: tuple[str, ...] = ("training",),
    finished: bool = True,
    item: str = "0/img_{}.png",
) -> Path:
    """Write a run whose predictions are made up with this much skill.

    Args:
        folder: made here.
        schema: of the data.
        count, scored: samples in all and in the test part.
        skill: how far the right class stands out among the logits, or one over the noise of a regression.
        stages: names of its trainings; five folds make a cross-validated run.
        finished: whether it has been scored.
        item: pattern of the samples' ids.
    """
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    ids = [item.format(i) for i in range(count)]
    test = sorted(generator.choice(count, scored, replace=False).tolist())
    rest = [i for i in range(count) if i not in set(test)]
    run.write_json(
        "data.json",
        {
            "source": "photos of digits/",
            "fingerprint": "9f2c" * 16,
            "schema": schema.to_json(),
            "count": count,
            "ids": ids,
        },
    )
    run.write_json(
        "split.json",
        {
            "method": "stratified",
            "reason": "each class keeps its share in every part; 14 duplicates stay on one side.",
            "train": rest[len(rest) // 6 :],
            "valid": rest[: len(rest) // 6],
            "test": test,
            "folds": [],
        },
    )
    run.write_json(
        "environment.json",
        {
            "flambeau": "0.1.0",
            "python": "3.12.4",
            "torch": "2.15.0",
            "platform": "Linux x86_64",
            "cpu": "Some CPU",
            "device": "cpu",
            "threads": 2,
            "command": "flambeau train 'photos of digits/' --set training.optimizer.lr=0.002",
        },
    )
    run.write_text("recipe.yaml", recipe_to_yaml(example_choices()))
    write_log(run, stages, main_metric(schema.task), finished)
    if finished:
        _write_scores(run, schema, test, ids, skill, generator)
    return folder


def example_choices() -> Choices:
    given = Recipe(
        training=TrainingOptions(optimizer=OptimizerOptions(lr=0.002)), model=ModelOptions(dropout=0.1)
    )
    choices = Choices(given)
    choices.choose("task", "classification", "the folders name 10 classes")
    choices.choose("image.size", (28, 28), "all pictures have this size")
    choices.choose("image.augment.flip_horizontal", False, "mirrored digits are other digits")
    choices.choose("model.name", "small_cnn", "pictures up to 64 pixels need no deeper net")
    choices.choose("training.epochs", 20, "1,257 pictures of 28 × 28 learn enough in 20 passes")
    choices.choose("training.batch_size", 64, "20 steps an epoch at least")
    choices.choose("training.precision", "fp32", "faster than bf16 for channels under 128 on this CPU")
    choices.choose("evaluation.metric", "log_loss", "smoother than accuracy on 270 pictures")
    return choices


def write_log(run: RunFolder, stages: tuple[str, ...], metric: str, finished: bool) -> None:
    """A log with choices, findings, and epochs whose loss falls."""
    write_findings(run)
    generator = np.random.default_rng(1)
    epochs = 20 if finished else 7
    for stage in stages:
        for epoch in range(1, epochs + 1):
            share = epoch / 20
            base = {
                "stage": stage,
                "epoch": epoch,
                "epochs": 20,
                "lr": 0.002 * math.sin(math.pi * share) + 1e-5,
            }
            noise = float(generator.normal(0, 0.02))
            for step in (7, 14, 20):
                here = (epoch - 1 + step / 20) / 20
                run.append(
                    {
                        **base,
                        "kind": "step",
                        "time": epoch,
                        "step": step,
                        "steps": 20,
                        "loss": 2.3 * math.exp(-4 * here),
                        "lr": 0.002 * math.sin(math.pi * here) + 1e-5,
                        "gradient_norm": 1.4 * math.exp(-2 * here) + 0.3 * float(generator.random()),
                    }
                )
            run.append(
                {
                    **base,
                    "kind": "epoch",
                    "time": epoch,
                    "loss": 2.3 * math.exp(-4 * share) + 0.03,
                    "valid_loss": 2.2 * math.exp(-4 * share) + 0.09 + noise,
                    "score": 1 - 0.85 * math.exp(-5 * share) + noise / 8,
                    "metric": metric,
                    "gradient_norm": 1.0,
                    "seconds": 1.4,
                    "best": epoch <= 17,
                }
            )


def write_trials(run: RunFolder, stages: tuple[str, ...] = ("training",)) -> None:
    """What trials, the loading of weights and the spans of each training leave in a log."""
    rates = [1e-6 * 1.18**step for step in range(80)]
    losses = [2.3 - 1.4 * math.exp(-((math.log10(rate) + 1.5) ** 2)) + max(0.0, rate - 0.1) for rate in rates]
    curve = {"rates": rates, "losses": losses, "smoothed": losses, "chosen": 0.003}
    run.append({"kind": "lr_test", "time": 1, **curve})
    rows = [
        ["precision", "layout", "ms a step"],
        ["bf16", "channels_last", "4.10"],
        ["fp32", "contiguous", "9.30"],
    ]
    run.append({"kind": "table", "time": 1, "title": "a training step", "rows": rows})
    run.append({"kind": "groups", "time": 1, "lines": ["21 tensors, decay 0: stem.<norm>.weight"]})
    loaded = {"matched": ["stem.weight"], "missing": ["head.weight", "head.bias"], "other_shape": []}
    run.append({"kind": "note", "time": 1, "text": "net.safetensors: 1 of 3 tensors loaded", **loaded})
    for number, stage in enumerate(stages):
        spans = {
            "data": 0.4,
            "compute": 8.0,
            "optimizer": 1.0,
            "validation": 0.4,
            "saving": 0.1,
            "other": 0.1,
        }
        record = {"kind": "spans", "stage": stage, "spans": spans, "seconds": 10.0, "bound_by": "compute"}
        told = {"later_data_share": 0.012, "measured": "clock", "resumed": False, "time": number}
        run.append({**record, **told})
    run.append(
        {"kind": "epoch", "stage": stages[-1], "epoch": 20, "epochs": 20, "loss": 0.1, "memory_gb": 1.25}
    )


def write_findings(run: RunFolder) -> None:
    """What the reader and the check told."""
    run.append({"kind": "stage", "time": 0.1, "name": "read", "text": "Reading 1,797 pictures"})
    run.append(
        {
            "kind": "finding",
            "time": 0.2,
            "level": "warning",
            "code": "duplicates",
            "message": "14 pictures are exact copies of another; copies stay on one side of the split.",
            "items": [f"3/img_{i}.png" for i in range(14)],
        }
    )
    run.append(
        {
            "kind": "finding",
            "time": 0.2,
            "level": "info",
            "code": "balance",
            "message": "The classes are balanced: 174 to 183 pictures each.",
            "items": [],
        }
    )
    run.append(
        {"kind": "note", "time": 0.3, "text": "--pretrained resnet18 would need an internet connection."}
    )


def _write_scores(
    run: RunFolder,
    schema: Schema,
    test: list[int],
    ids: list[str],
    skill: float,
    generator: np.random.Generator,
) -> None:
    targets, predictions = made_up(schema, len(test), skill, generator)
    save_file(
        {"targets": targets, "predictions": predictions.astype(np.float32), "indices": np.asarray(test)},
        run.evaluation,
    )
    naive = np.broadcast_to(
        targets.mean(0)
        if schema.task != "classification"
        else np.bincount(targets, minlength=len(schema.classes)) / len(targets),
        predictions.shape,
    )
    weaker = 0.45 * predictions + 0.55 * made_up(schema, len(test), 0.0, np.random.default_rng(9))[1]
    names = (
        ("mean", "ridge regression") if schema.task == "regression" else ("majority", "logistic regression")
    )
    run.write_json(
        "scores.json",
        {
            "task": schema.task,
            "rows": {"train": 1273, "valid": 254, "test": len(test)},
            "seconds": 31.4,
            "test": bootstrap_intervals(schema.task, targets, predictions, resamples=100, seed=0),
            "baselines": {
                names[0]: score_predictions(schema.task, targets, naive),
                names[1]: score_predictions(schema.task, targets, weaker),
            },
            "method": "test part",
            "metric": "log_loss",
            "verdict": "",
            "calibration": {"temperature": 1.31} if schema.task == "classification" else None,
        },
    )
    run.write_json("worst.json", worst_mistakes(schema, targets, predictions, test, ids))


def edit_json(path: Path, **changes: Any) -> None:
    """Replace some keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
