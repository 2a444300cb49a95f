"""Predictions for all samples that can be read; the others are told as findings."""

from __future__ import annotations

import numpy as np

from flambeau.data.samples import Samples
from flambeau.deploy.answer import answer_samples
from flambeau.deploy.bundle import Bundle
from flambeau.errors import DataError
from flambeau.recipe import Recipe
from flambeau.schema import Finding
from flambeau.stages.journal import Journal


def predict_readable(
    bundle: Bundle, samples: Samples, recipe: Recipe, journal: Journal
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the samples that can be read, and the predictions for them."""
    rows: list[int] = []
    blocks: list[np.ndarray] = []
    for answer in answer_samples(bundle, samples, batch=256, max_pixels=recipe.data.max_pixels):
        rows.extend(answer.rows)
        if len(answer.rows):
            blocks.append(answer.predictions)
        for row, reason in answer.problems:
            journal.finding(Finding("warning", "unreadable", f"{samples.ids[row]}: {reason}"))
    if not blocks:
        raise DataError("none of the samples can be read", got=f"{len(samples):,} samples")
    return np.asarray(rows, dtype=np.int64), np.concatenate(blocks)
