"""The honest score: predictions on samples that no choice has seen, beside baselines on the same samples."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from PIL import Image

from flambeau.data.pictures.paths import PictureFile
from flambeau.data.split import Split
from flambeau.evaluation.baselines import fit_baselines
from flambeau.evaluation.metrics import main_metric, score_predictions
from flambeau.evaluation.uncertainty import bootstrap_intervals
from flambeau.recipe import Recipe
from flambeau.stages.binary import Validated
from flambeau.stages.comparing import compare_with_baselines
from flambeau.stages.inputs import Feed
from flambeau.stages.material import Material
from flambeau.stages.series.judging import WORST, forecast_scores, naive_of, scale_in, worst_forecasts
from flambeau.stages.small_pixels import small_columns, small_pixels, thin
from flambeau.stages.texts.feed import judge_texts
from flambeau.transforms.table import TablePreparation

SMALLEST_PHOTO, MANY_PHOTOS = 32, 50_000
# Of a text that is shown among the worst mistakes.
MOST_LETTERS = 600
THUMBNAIL_SIDE = 96


@dataclass(frozen=True)
class Judged:
    """Predictions on tested samples.

    Args:
        rows: (n,) positions of the samples.
        predictions: of the model, in the units of the task.
        baselines: name → predictions on the same rows.
        raw: predictions before they were calibrated.
        alone: kind of columns → predictions of a model that saw only these.
        decided: (n,) the classes that are answered; None for other tasks.
        validated: predictions on the validation rows of each split.
        thresholds: (n,) the confidence below which each split's model gives up; None where none does.
    """

    rows: np.ndarray
    predictions: np.ndarray
    baselines: dict[str, np.ndarray]
    raw: np.ndarray
    alone: dict[str, np.ndarray] = field(default_factory=dict)
    decided: np.ndarray | None = None
    validated: tuple[Validated, ...] = ()
    thresholds: np.ndarray | None = None


def join_judged(parts: list[Judged]) -> Judged:
    """The tested samples of all folds, in the order of the data."""
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    names = [name for name in parts[0].baselines if all(name in part.baselines for part in parts)]
    return Judged(
        rows[order],
        np.concatenate([part.predictions for part in parts])[order],
        {name: np.concatenate([part.baselines[name] for part in parts])[order] for name in names},
        np.concatenate([part.raw for part in parts])[order],
        {name: np.concatenate([part.alone[name] for part in parts])[order] for name in parts[0].alone},
        _joined([part.decided for part in parts], order),
        tuple(one for part in parts for one in part.validated),
        _joined([part.thresholds for part in parts], order),
    )


def _joined(parts: list[np.ndarray | None], order: np.ndarray) -> np.ndarray | None:
    there = [part for part in parts if part is not None]
    return None if len(there) < len(parts) else np.concatenate(there)[order]


def judge_baselines(
    material: Material, feed: Feed, split: Split, recipe: Recipe, features: np.ndarray | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Naive and simple classical models, fitted on the train and valid rows, and sentences about them.

    Args:
        features: (n, features) of a pretrained backbone for all samples, or None.
    """
    if not recipe.evaluation.baselines:
        return {}, []
    if material.samples.series is not None:
        return naive_of(material.samples, split.test, recipe), []
    schema = material.samples.schema
    known = np.union1d(split.train, split.valid)
    texts = feed.preparation.text if isinstance(feed.preparation, TablePreparation) else None
    if (
        texts is not None
        and isinstance(feed.preparation, TablePreparation)
        and not feed.preparation.has_cells
    ):
        return judge_texts(material.samples, texts, split, recipe)
    categorical: list[int] = []
    kind: Literal["table", "pixels", "features"] = "table"
    if material.pixels is None:
        assert isinstance(feed.preparation, TablePreparation) and material.samples.columns is not None
        if feed.preparation.has_cells:
            inputs, categorical = feed.preparation.raw_features(material.samples.columns)
        else:
            kind, inputs = "pixels", small_columns(material.column_pixels, len(material.samples))
        known_inputs, tested_inputs = inputs[known], inputs[split.test]
    elif features is None:
        kind = "pixels"
        known = thin(known, recipe.seed)
        known_inputs, tested_inputs = (small_pixels(material.pixels, rows) for rows in (known, split.test))
    else:
        kind = "features"
        known_inputs, tested_inputs = features[known], features[split.test]
    return fit_baselines(
        schema.task,
        known_inputs.astype(np.float32, copy=False),
        material.samples.targets[known],
        tested_inputs.astype(np.float32, copy=False),
        outputs=schema.outputs,
        categorical=categorical,
        seed=recipe.seed,
        kind=kind,
    )


def make_scores(
    material: Material,
    splits: list[Split],
    judged: Judged,
    recipe: Recipe,
    temperature: float,
    *,
    longer: bool = False,
) -> dict[str, Any]:
    """The content of scores.json, but for the seconds, which are not over yet.

    `longer`: whether more epochs might have helped, as the last one was the best.
    """
    samples = material.samples
    task = samples.schema.task
    if samples.series is not None:
        return forecast_scores(samples, splits, judged.rows, judged.predictions, judged.baselines, recipe)
    targets = samples.targets[judged.rows]
    options = recipe.evaluation
    intervals = bootstrap_intervals(
        task, targets, judged.predictions, resamples=options.resamples, seed=recipe.seed
    )
    baselines = {name: score_predictions(task, targets, values) for name, values in judged.baselines.items()}
    folds = len(splits)
    sentence, standing = compare_with_baselines(
        task, targets, judged.predictions, judged.baselines, recipe, longer=longer
    )
    return {
        "task": task,
        "rows": {
            "train": len(samples) if folds > 1 else len(splits[0].train),
            "valid": 0 if folds > 1 else len(splits[0].valid),
            "test": len(judged.rows),
        },
        "seconds": 0.0,
        "test": intervals,
        "baselines": baselines,
        "method": f"{folds}-fold cross-validation" if folds > 1 else "test part",
        "metric": main_metric(task),
        "verdict": sentence,
        "standing": standing,
        "calibration": None
        if task == "regression"
        else {"temperature": temperature, "in_scores": folds <= 1},
        "classes": list(samples.schema.classes),
        "advice": advise_weights(material, recipe),
        "kept": "a model trained on all samples, after the test"
        if folds > 1 or recipe.split.refit
        else "the model that was tested",
    }


def advise_weights(material: Material, recipe: Recipe) -> str | None:
    """The command that would start from pretrained weights, where photos were trained on from scratch."""
    facts = material.samples.schema.picture
    if facts is None or material.weights is not None or facts.channels != 3:
        return None
    if min(facts.height, facts.width) < SMALLEST_PHOTO or len(material.samples) > MANY_PHOTOS:
        return None
    target = f" --target {recipe.data.target}" if recipe.data.target else ""
    return f"flambeau train {recipe.source}{target} --pretrained mobilenet_v2"


def worst_mistakes(material: Material, judged: Judged, scores: dict[str, Any]) -> list[dict[str, Any]]:
    """The tested samples that the model was most wrong about, the worst first; `scores` are those of all of them."""
    samples, schema = material.samples, material.samples.schema
    if samples.series is not None:
        return worst_forecasts(samples, judged.rows, judged.predictions, scale_in(scores))
    targets, predictions = samples.targets[judged.rows], judged.predictions
    if schema.task == "classification":
        errors = 1 - predictions[np.arange(len(targets)), targets]
        wrong = predictions.argmax(axis=1) != targets
    elif schema.task == "multilabel":
        errors = np.abs(predictions - targets).max(axis=1)
        wrong = errors > 0.5
    else:
        errors = np.abs(predictions - targets)
        wrong = np.ones(len(targets), dtype=bool)
    order = [index for index in np.argsort(-errors, kind="stable") if wrong[index]][:WORST]
    return [_mistake(material, int(judged.rows[i]), predictions[i], float(errors[i])) for i in order]


def _mistake(material: Material, row: int, prediction: Any, error: float) -> dict[str, Any]:
    samples = material.samples
    schema = samples.schema
    target = samples.targets[row]
    confidence: float | None = None
    shown_target: str | float
    shown: str | float
    if schema.task == "classification":
        shown_target, shown = schema.classes[int(target)], schema.classes[int(np.argmax(prediction))]
        confidence, error = float(np.max(prediction)), 1 - error
    elif schema.task == "multilabel":
        shown_target, shown = (
            "|".join(name for name, value in zip(schema.classes, values, strict=True) if value > 0.5)
            or "none"
            for values in (target, prediction)
        )
    else:
        shown_target, shown = float(target), float(prediction)
    return {
        "id": samples.ids[row],
        "target": shown_target,
        "predicted": shown,
        "confidence": confidence,
        "error": error,
        "png": shown_pictures(material, row),
        "row": None if samples.columns is None else {k: _plain(v[row]) for k, v in samples.columns.items()},
    }


def shown_pictures(material: Material, row: int) -> str | None:
    """The sample's picture, or those of its columns side by side, as a small PNG; None where there is none."""
    if material.pixels is not None:
        return thumbnail(material.pixels[row])
    there = [one.pixels[one.places[row]] for one in material.column_pixels.values() if one.places[row] >= 0]
    return thumbnail(np.concatenate(there, axis=1), len(there)) if there else None


def thumbnail(pixels: np.ndarray, pictures: int = 1) -> str:
    """A small PNG of (height, width, channels), as base64; wider where it shows several pictures."""
    values = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else np.asarray(pixels)
    # of many channels, such as slices of a volume, the middle one
    image = Image.fromarray(values[..., values.shape[2] // 2] if values.shape[2] != 3 else values)
    factor = THUMBNAIL_SIDE / max(image.height, image.width / pictures)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    image = image.resize(size, Image.Resampling.NEAREST if factor > 2 else Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, PictureFile):
        return value.name
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, (float, np.floating)):
        return None if not np.isfinite(value) else round(float(value), 6)
    if isinstance(value, str) and len(value) > MOST_LETTERS:
        return value[:MOST_LETTERS] + "…"
    return value
