"""The end of a run: scores of the tested model, the bundle and the report of the one that is kept."""

from __future__ import annotations

import numpy as np

from flambeau.data.split import Split
from flambeau.deploy.bundle import Bundle
from flambeau.evaluation.operating_point import match_threshold
from flambeau.evaluation.temperature import fit_temperature
from flambeau.records import RunFolder
from flambeau.schema import PROBABILITY_TASKS
from flambeau.stages.binary import judge_decisions, kept_point
from flambeau.stages.facts import gather_facts
from flambeau.stages.judged import Judged
from flambeau.stages.judging import make_scores
from flambeau.stages.keeping import keep_familiar, keep_result, keep_trainings
from flambeau.stages.material import Material
from flambeau.stages.members import Fitted
from flambeau.stages.mixed.alone import score_parts, tell_parts
from flambeau.stages.starting.start import keep_seen
from flambeau.stages.texts.unknown import tell_unknown, unknown_label
from flambeau.stages.trainings import Trainings


def conclude(
    run: RunFolder,
    trainings: Trainings,
    splits: list[Split],
    tested: Judged,
    fitted: Fitted,
    fitted_rows: np.ndarray,
    *,
    longer: bool = False,
) -> None:
    """Write scores, bundle and report of the model that is kept.

    `longer`: whether more epochs might have helped, as the last one was the best in every tested training.
    """
    material, recipe, journal = trainings.material, trainings.recipe, trainings.journal
    scores = make_scores(material, splits, tested, recipe, fitted.temperature, longer=longer)
    point = matched_point(trainings, fitted, fitted_rows, tested)
    trusted = scores["standing"] != "worse"
    scores |= judge_decisions(run, material, tested, recipe, journal, point, trusted=trusted)
    scores["seconds"] = round(journal.seconds, 2)
    if fitted.threshold:
        scores["unknown"] = tell_unknown(material, tested, fitted.threshold, journal)
    if tested.alone:
        scores["parts"] = score_parts(material, tested, recipe)
        values = {metric: score["value"] for metric, score in scores["test"].items()}
        scores["verdict"] += " " + tell_parts(scores["task"], values, scores["parts"])
    feed = fitted.feed
    bundle = Bundle(
        schema=material.samples.schema,
        spec=fitted.spec,
        preparation=feed.preparation,
        module=fitted.module,
        target=feed.scaler,
        temperature=fitted.temperature,
        flip_average=trainings.flip,
        threshold=fitted.threshold,
        unknown=unknown_label(material.samples.schema) if fitted.threshold else "",
        point=kept_point(scores) if point is None else point,
    )
    keep_trainings(run, fitted_rows, fitted.trainings)
    keep_seen(run, material.samples, fitted_rows, tested.rows, trainings.start)
    keep_familiar(run, bundle, feed, fitted_rows, journal)
    bundle.facts = gather_facts(run, material, recipe.data.test)
    keep_result(run, material, tested, scores, bundle, journal)


def temperature_of(material: Material, judged: Judged) -> float:
    """The temperature that cross-validated predictions, as they came from the models, ask for."""
    if material.samples.schema.task not in PROBABILITY_TASKS:
        return 1.0
    return fit_temperature(judged.raw, material.samples.targets[judged.rows])


def matched_point(trainings: Trainings, fitted: Fitted, rows: np.ndarray, tested: Judged) -> float | None:
    """The point of a model trained again on all samples, by the rank of the tested models' points.

    Args:
        trainings: of the run.
        fitted: the model that is kept.
        rows: that it was trained on.
        tested: what the models that were tested said, and their points.

    Returns:
        The probability of the second of two classes; None where the tested model is kept, or has no point.
    """
    shares = [part.share for part in tested.validated if part.share is not None]
    points = [part.point for part in tested.validated if part.point is not None]
    if fitted.validated is not None or not shares:
        return None
    known = trainings.calibrated(trainings.predict(fitted.module, fitted.feed, rows), fitted)[:, 1]
    return match_threshold(known, float(np.median(shares)), float(np.median(points)))
