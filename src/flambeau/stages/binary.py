"""What is found out about decisions between classes: the operating point, a shift between parts, doubtful labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from flambeau.data.samples import Samples
from flambeau.evaluation.decide import choose_classes
from flambeau.evaluation.label_quality import find_suspects
from flambeau.evaluation.operating_point import choose_threshold, score_decisions
from flambeau.evaluation.shift import find_shift
from flambeau.evaluation.uncertainty import bootstrap_intervals
from flambeau.planning.words import positive_class
from flambeau.recipe import Recipe
from flambeau.records import RunFolder
from flambeau.schema import Finding, Schema
from flambeau.stages.journal import Journal
from flambeau.stages.judged import Judged, Validated
from flambeau.stages.material import Material
from flambeau.stages.shown import shown_pictures

SUSPECTS = "suspects.json"
MOST_SUSPECTS = 48
LISTED = 20


def validate_rows(
    samples: Samples, recipe: Recipe, rows: np.ndarray, predictions: np.ndarray
) -> Validated | None:
    """The validation of one split, with the operating point that it asks for; None where there is none of classes.

    Args:
        samples, recipe: of the run.
        rows: (n,) positions of those that were not trained on.
        predictions: (n, classes) calibrated probabilities.
    """
    schema = samples.schema
    if schema.task != "classification":
        return None
    rule = recipe.evaluation.operating_point or "half"
    point = None
    if len(schema.classes) == 2 and rule != "half":
        place = positive_place(schema, recipe)
        point = choose_threshold(rule, samples.targets[rows] == place, predictions[:, place])
        point = other_point(point) if place == 0 else point
    return Validated(rows, predictions, point)


def with_decisions(judged: Judged, validated: Validated | None) -> Judged:
    """The same with the classes that are answered, decided at this split's own point."""
    if validated is None:
        return judged
    decided = choose_classes(judged.predictions, validated.point)
    return replace(judged, decided=decided, validated=(validated,))


def judge_decisions(
    run: RunFolder,
    material: Material,
    tested: Judged,
    recipe: Recipe,
    journal: Journal,
    point: float | None = None,
    *,
    trusted: bool = True,
) -> dict[str, Any]:
    """What scores.json tells of decisions; the doubtful labels are written beside, and all is told.

    Args:
        run, material, tested, recipe, journal: of the run.
        point: of the model that is kept, where it is none of those that were tested.
        trusted: whether the model may doubt labels; one that loses to a baseline may not.

    Returns:
        "validation" scores, "shift" where the test part is harder than luck explains, and of two classes
        "operating_point" with its rates; nothing for other tasks.
    """
    schema = material.samples.schema
    if tested.decided is None or not tested.validated:
        return {}
    targets = material.samples.targets
    rows = np.concatenate([part.rows for part in tested.validated])
    predictions = np.concatenate([part.predictions for part in tested.validated])
    found: dict[str, Any] = {
        "validation": bootstrap_intervals(
            "classification",
            targets[rows],
            predictions,
            resamples=recipe.evaluation.resamples,
            seed=recipe.seed,
        )
    }
    shift = _tell_shift(material, tested, (rows, predictions), recipe, journal)
    if shift is not None:
        found["shift"] = shift
    if trusted:
        _keep_suspects(run, material, tested, (rows, predictions), journal, shifted=shift is not None)
    if len(schema.classes) == 2:
        found["operating_point"] = _point_scores(schema, tested, targets[tested.rows], recipe, point)
        if recipe.evaluation.operating_point is not None:
            journal.note(describe_point(found["operating_point"]))
    return found


def kept_point(scores: dict[str, Any]) -> float | None:
    """The point of the model that is kept; None where the most probable class is answered."""
    told = scores.get("operating_point") or {}
    if told.get("rule", "half") == "half":
        return None
    threshold = float(told["threshold"])
    return threshold if told["positive"] == scores["classes"][1] else 1 - threshold


def positive_place(schema: Schema, recipe: Recipe) -> int:
    """Of two classes, the index of the one that is looked for."""
    return schema.classes.index(recipe.evaluation.positive or positive_class(schema.classes)[0])


def other_point(threshold: float) -> float:
    """From which probability of the second class it is answered, where the first one is from `threshold` on."""
    return float(min(1.0, np.nextafter(np.float32(1 - threshold), np.float32(2))))


def _point_scores(
    schema: Schema, tested: Judged, targets: np.ndarray, recipe: Recipe, point: float | None
) -> dict[str, Any]:
    assert tested.decided is not None
    points = [0.5 if part.point is None else part.point for part in tested.validated]
    place = positive_place(schema, recipe)
    threshold = float(np.median(points)) if point is None else point
    rates = score_decisions(
        targets == place, tested.decided == place, resamples=recipe.evaluation.resamples, seed=recipe.seed
    )
    return {
        "rule": recipe.evaluation.operating_point or "half",
        "threshold": threshold if place == 1 else 1 - threshold,
        "positive": schema.classes[place],
        "rates": rates,
        **({} if point is None else {"trained_again": True, "tested_at": sorted(_of_place(points, place))}),
    }


def _of_place(points: list[float], place: int) -> list[float]:
    """Points of the second class as probabilities of the one that is looked for."""
    return [round(point if place == 1 else 1 - point, 4) for point in points]


def describe_point(point: dict[str, Any]) -> str:
    """One sentence about an operating point and its rates on the tested samples."""
    rates = ", ".join(
        f"{name} {rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]"
        for name in ("sensitivity", "specificity")
        if (rate := point["rates"].get(name)) is not None
    )
    told = f"from a probability of {point['threshold']:.3f} on ({point['rule']})"
    if point.get("trained_again"):
        low, high = point["tested_at"][0], point["tested_at"][-1]
        at = f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"
        return (
            f"the model that is kept answers '{point['positive']}' {told}, where it calls as large a share of its "
            f"training samples so as the tested models did of theirs; these, each at its own point ({at}): {rates}"
        )
    return f"'{point['positive']}' is answered {told}: {rates}"


def _tell_shift(
    material: Material,
    tested: Judged,
    validated: tuple[np.ndarray, np.ndarray],
    recipe: Recipe,
    journal: Journal,
) -> dict[str, Any] | None:
    """A warning where the test part is harder than the validation part by more than luck; the gap is returned."""
    samples = material.samples
    metric = "roc_auc" if len(samples.schema.classes) == 2 else "accuracy"
    rows, predictions = validated
    gap = find_shift(
        metric,
        (samples.targets[rows], predictions),
        (samples.targets[tested.rows], tested.predictions),
        resamples=recipe.evaluation.resamples,
        seed=recipe.seed,
    )
    if gap is None:
        return None
    words = "ROC-AUC" if metric == "roc_auc" else metric
    came = "the parts came from different places, times or devices"
    why = (
        f"perhaps {came}"
        if samples.parts is not None
        else "perhaps the epochs were chosen too closely on so few"
    )
    message = (
        f"the test part is harder than the validation part: {words} {gap['test']:.3f} against {gap['valid']:.3f}, a "
        f"difference of {gap['low']:.3f} to {gap['high']:.3f} that luck does not explain; {why}. Expect the lower "
        "score, or a still lower one, on data from elsewhere"
    )
    journal.finding(Finding("warning", "shift-between-parts", message))
    return {"metric": metric, **gap}


def _keep_suspects(
    run: RunFolder,
    material: Material,
    tested: Judged,
    validated: tuple[np.ndarray, np.ndarray],
    journal: Journal,
    *,
    shifted: bool,
) -> None:
    """Write samples whose labels are probably wrong, found by predictions of models that had not seen them."""

    rows = np.concatenate([tested.rows, np.setdiff1d(validated[0], tested.rows)])
    first = {int(row): place for place, row in reversed(list(enumerate(validated[0])))}
    others = [validated[1][first[int(row)]] for row in rows[len(tested.rows) :]]
    predictions = np.concatenate(
        [tested.predictions, np.array(others).reshape(-1, tested.predictions.shape[1])]
    )
    samples, classes = material.samples, material.samples.schema.classes
    suspects = find_suspects(samples.targets[rows], predictions)
    if not suspects:
        return
    listed = [
        {
            "id": samples.ids[rows[one.row]],
            "part": "test" if one.row < len(tested.rows) else "validation",
            "given": classes[one.given],
            "likely": classes[one.likely],
            "confidence": round(one.confidence, 4),
            "png": shown_pictures(material, int(rows[one.row])),
        }
        for one in suspects[:MOST_SUSPECTS]
    ]
    run.write_json(
        SUSPECTS, {"count": len(suspects), "judged": len(rows), "shifted": shifted, "suspects": listed}
    )
    message = (
        f"{len(suspects):,} of {len(rows):,} labels of the test and validation parts are doubtful: a model that had "
        "not seen them is sure of another class (confident learning); look at them before you trust either"
    )
    if shifted:
        message += (
            ". The test part is unlike the validation part, so those of it may be mistakes of the model"
        )
    shown = tuple(f"{one['id']}: {one['given']}, perhaps {one['likely']}" for one in listed[:LISTED])
    journal.finding(Finding("info", "doubtful-labels", message, shown))
