"""What each kind of column tells alone: the same training on the same splits, with the other columns left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flambeau.data.split import Split
from flambeau.evaluation.calibration import apply_temperature
from flambeau.evaluation.metrics import higher_is_better, main_metric, score_predictions
from flambeau.evaluation.uncertainty import paired_difference
from flambeau.evaluation.wording import metric_name, score_number
from flambeau.planning.mixed import kinds_of_columns
from flambeau.recipe import Recipe
from flambeau.stages.judged import Judged
from flambeau.stages.material import Material
from flambeau.stages.members import Fitted
from flambeau.stages.trainings import Trainings

ALONE = "alone-"
LEFT_OUT = "left out, so that the others are judged alone"


def trainings_of_parts(trainings: Trainings) -> dict[str, Trainings]:
    """Kind of columns → the run's trainings with only these columns; empty where that is not asked for."""
    material = trainings.material
    if not trainings.recipe.mixed.parts:
        return {}
    return {
        kind: Trainings(
            material_of(material, columns),
            trainings.choices,
            trainings.journal,
            trainings.folder / f"{ALONE}{kind}",
            ranks=trainings.ranks,
            stop=trainings.stop,
            encoded=trainings.encoded,
        )
        for kind, columns in kinds_of_columns(material.samples.schema).items()
    }


def material_of(material: Material, columns: Sequence[str]) -> Material:
    """The same samples with only these columns."""
    samples = material.samples
    assert samples.columns is not None
    known = tuple(
        column if column.name in columns else replace(column, used=False, reason=LEFT_OUT)
        for column in samples.schema.columns
    )
    pixels = {name: one for name, one in material.column_pixels.items() if name in columns}
    schema = replace(samples.schema, columns=known, picture=samples.schema.picture if pixels else None)
    own = {name: values for name, values in samples.columns.items() if name in columns}
    return replace(
        material,
        samples=replace(samples, schema=schema, columns=own),
        column_pixels=pixels,
        weights=material.weights if pixels else None,
    )


def answer_alone(trainings: Trainings, fitted: Fitted, split: Split) -> np.ndarray:
    """Predictions of a part's model on the test part of a split, calibrated as the whole model's are."""
    task = trainings.material.samples.schema.task
    raw = trainings.predict(fitted.module, fitted.feed, split.test)
    if task == "regression":
        return raw
    return apply_temperature(raw, fitted.temperature, multilabel=task == "multilabel")


def score_parts(material: Material, judged: Judged, recipe: Recipe) -> dict[str, Any]:
    """What scores.json says of each kind of column alone.

    Returns:
        kind → "columns", "scores", and "difference": by how much each metric of the whole model exceeds the part's,
        with a paired interval.
    """
    schema = material.samples.schema
    targets = material.samples.targets[judged.rows]
    columns = kinds_of_columns(schema)
    own = score_predictions(schema.task, targets, judged.predictions)
    found = {}
    for kind, predictions in judged.alone.items():
        scores = score_predictions(schema.task, targets, predictions)
        found[kind] = {
            "columns": list(columns[kind]),
            "scores": scores,
            "difference": {
                metric: paired_difference(
                    schema.task,
                    metric,
                    targets,
                    judged.predictions,
                    predictions,
                    resamples=recipe.evaluation.resamples,
                )
                for metric in scores
                if metric in own
            },
        }
    return found


def tell_parts(task: str, whole: Mapping[str, float], parts: Mapping[str, Any]) -> str:
    """One honest sentence: whether all columns together are better than the best kind of them alone."""
    metric = main_metric(task)
    known = {kind: part for kind, part in parts.items() if metric in part["scores"]}
    if not known or metric not in whole:
        return ""
    sign = 1 if higher_is_better(metric) else -1
    best = max(known, key=lambda kind: sign * known[kind]["scores"][metric])
    gap = known[best]["difference"][metric]
    low, high = sorted((sign * gap["low"], sign * gap["high"]))
    alone = ", ".join(f"{kind} alone {score_number(part['scores'][metric])}" for kind, part in known.items())
    comparison = f"{metric_name(metric)} {score_number(whole[metric])} together; {alone}"
    if low > 0:
        return f"All columns together are better than the {best} alone: {comparison}."
    if high < 0:
        return f"The {best} alone are better than all columns together: {comparison}. Leave the others out."
    lead = f"All columns together are no better than the {best} alone by more than luck could explain"
    return f"{lead}: {comparison}."
