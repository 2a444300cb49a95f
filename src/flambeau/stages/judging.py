"""The honest score: predictions on samples that no choice has seen, beside baselines on the same samples."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from flambeau.data.pictures.paths import PictureFile
from flambeau.data.split import Split
from flambeau.evaluation.baselines import fit_baselines
from flambeau.evaluation.metrics import main_metric, score_predictions
from flambeau.evaluation.uncertainty import bootstrap_intervals
from flambeau.recipe import Recipe
from flambeau.stages.comparing import compare_with_baselines
from flambeau.stages.inputs import Feed
from flambeau.stages.judged import Judged
from flambeau.stages.material import Material
from flambeau.stages.series.judging import WORST, forecast_scores, naive_of, scale_in, worst_forecasts
from flambeau.stages.shown import shown_pictures
from flambeau.stages.small_pixels import small_columns, small_pixels, thin
from flambeau.stages.texts.feed import judge_texts
from flambeau.transforms.table import TablePreparation

SMALLEST_PHOTO, MANY_PHOTOS = 32, 50_000
# Of a text that is shown among the worst mistakes.
MOST_LETTERS = 600


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
