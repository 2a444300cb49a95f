"""Whether, and below which confidence, answers are given up: chosen on validation samples, told and scored."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.data.samples import Samples
from flambeau.evaluation.unknown import choose_threshold, score_unknown
from flambeau.planning.texts import unknown_class
from flambeau.recipe import Recipe
from flambeau.schema import Schema
from flambeau.stages.journal import Journal
from flambeau.stages.judged import Judged
from flambeau.stages.material import Material

UNKNOWN_LABEL = "unknown"


def unknown_place(schema: Schema) -> int | None:
    """The index of the class that stands for what is out of scope; None where there is none."""
    name = unknown_class(schema.classes)
    return None if name is None else schema.classes.index(name)


def unknown_label(schema: Schema) -> str:
    """What is answered instead of a class: that class, or "unknown"."""
    return unknown_class(schema.classes) or UNKNOWN_LABEL


def threshold_of_validation(
    samples: Samples, recipe: Recipe, rows: np.ndarray, predictions: np.ndarray
) -> float:
    """The threshold for the model of one split, by its calibrated predictions on rows that it was not trained on.

    0 where none is wanted.
    """
    if not recipe.text.unknown:
        return 0.0
    return choose_threshold(predictions, samples.targets[rows], unknown_place(samples.schema))


def threshold_of_folds(judged: Judged) -> float:
    """The middle one of the splits' thresholds, each chosen on validation rows of its own; 0 where none is wanted."""
    return 0.0 if judged.thresholds is None else float(np.median(judged.thresholds))


def tell_unknown(material: Material, judged: Judged, threshold: float, journal: Journal) -> dict[str, Any]:
    """What giving up does on the tested samples, as scores.json keeps it; told in a sentence."""
    schema = material.samples.schema
    scores = score_unknown(
        judged.predictions,
        material.samples.targets[judged.rows],
        threshold if judged.thresholds is None else judged.thresholds,
        unknown_place(schema),
    )
    behind = scores["with_threshold"]
    label = unknown_label(schema)
    chosen = "chosen on the validation part"
    if judged.thresholds is not None and len(np.unique(judged.thresholds)) > 1:
        chosen = "the middle of what each fold chose on validation rows of its own"
    told = (
        f"below a confidence of {threshold:.2f}, {chosen}, the answer is '{label}': "
        f"{behind['answered']:.1%} of the tested samples in scope are answered, {behind['in_scope_accuracy']:.1%} right"
    )
    if scores["out_of_scope_recall"] is not None:
        told += (
            f" (without: {scores['in_scope_accuracy']:.1%}); of those out of scope, "
            f"{behind['out_of_scope_recall']:.1%} are found (without: {scores['out_of_scope_recall']:.1%})"
        )
    journal.note(told)
    return {"label": label, **scores}
