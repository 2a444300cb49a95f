"""Two models on the same samples: which one is better, and whether by more than the luck of these samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.read import read_test
from flambeau.data.samples import Samples
from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.making.generators import refuse_generator
from flambeau.errors import DataError, RunError
from flambeau.evaluation.metrics import higher_is_better, main_metric, score_predictions
from flambeau.evaluation.uncertainty import paired_difference
from flambeau.evaluation.wording import metric_name, score_number
from flambeau.recipe import Recipe
from flambeau.recipe.text import load_recipe
from flambeau.records import RunFolder
from flambeau.schema import Finding
from flambeau.stages.journal import Journal, Listener
from flambeau.stages.starting.start import read_seen, read_tested, short_digests
from flambeau.using.kept import kept_predictions, saw_its_test
from flambeau.using.readable import predict_readable

FEWEST_COMPARED = 2


@dataclass(frozen=True)
class Contestant:
    """One of the two: its name as it was typed, its bundle, the recipe in it, and the folder of both."""

    name: str
    folder: Path
    bundle: Bundle
    recipe: Recipe


def compare(
    first: RunFolder,
    second: RunFolder,
    source: str | None = None,
    *,
    names: tuple[str, str] | None = None,
    listener: Listener = lambda record: None,
) -> dict[str, Any]:
    """Score two models on the same samples, paired.

    Args:
        first, second: runs or bundles, of the same task and classes.
        source: labelled data, all of which test. If None, the test part of the first; or, where a model was
            cross-validated and then trained on all samples, the predictions that the folds of both runs kept.
        names: what to call them.
        listener: receives every record.

    Returns:
        {"first", "second", "task", "metric", "rows", "scores": [two mappings], "differences": metric → {"value",
        "low", "high"} of the second minus the first, "standing": "better", "worse", "unclear" or "equal" for the
        second, "verdict"}.

    Raises:
        RunError: the models cannot be compared, or one of them was trained on a sample that would test it.
        DataError: the data cannot be read, or do not fit a model.
    """
    called = names or (first.name, second.name)
    pair = [
        Contestant(name, run.model, load_bundle(run.model), load_recipe(run.model / "recipe.yaml"))
        for name, run in zip(called, (first, second), strict=True)
    ]
    refuse_generator(pair[0].bundle.schema, "compare sample by sample", first.path)
    _require_same_question(*pair)
    journal = Journal(listener)
    if source is None and (saw_its_test(first) or saw_its_test(second)):
        targets, predictions = kept_predictions((first, second), called)
        journal.note(
            "these are the kept predictions of both cross-validations: each sample was answered by a model that "
            "had not seen it, trained as the kept model was"
        )
        return _judge(pair, targets, predictions)
    place = source or _own_source(pair[0])
    journal.stage("read", f"reading {place}")
    read = [_read_for(contestant, place) for contestant in pair]
    _require_same_samples(read, place)
    rows = np.arange(len(read[0]))
    if source is None:
        rows = _tested_rows(pair[0], read[0], place, journal)
    for contestant, samples in zip(pair, read, strict=True):
        _require_unseen(contestant, samples.take(rows), named=source is not None)
    journal.stage("test", f"testing both on {len(rows):,} samples")
    answers = [
        predict_readable(contestant.bundle, samples.take(rows), contestant.recipe, journal)
        for contestant, samples in zip(pair, read, strict=True)
    ]
    both = np.intersect1d(answers[0][0], answers[1][0])
    if len(both) < FEWEST_COMPARED:
        raise DataError("too few samples to compare on", where=place, got=f"{len(both)} that both can read")
    predictions = [values[np.searchsorted(known, both)] for known, values in answers]
    return _judge(pair, read[0].targets[rows][both], predictions)


def _require_same_question(first: Contestant, second: Contestant) -> None:
    one, other = first.bundle.schema, second.bundle.schema
    for what in ("source", "task", "target", "classes"):
        before, now = getattr(one, what), getattr(other, what)
        if before != now:
            raise RunError(
                "these models answer different questions, so no score compares them",
                got=f"{what} {str(now)[:150]} of {second.name}",
                expected=f"{what} {str(before)[:150]}, as {first.name}",
            )


def _own_source(contestant: Contestant) -> str:
    """Where the test part of a model was read from."""
    source = contestant.recipe.data.test or contestant.recipe.source
    if source is None:
        raise RunError(
            f"{contestant.name} does not say which data it was tested on", expected="data to test on"
        )
    return source


def _read_for(contestant: Contestant, source: str) -> Samples:
    return read_test(source, contestant.bundle.schema, contestant.recipe)


def _require_same_samples(read: list[Samples], place: str) -> None:
    if read[0].ids != read[1].ids or not np.array_equal(read[0].targets, read[1].targets):
        raise DataError(
            "the two models read these data differently, so their answers cannot be paired",
            where=place,
            got=f"{len(read[0]):,} and {len(read[1]):,} samples, with other names or targets",
        )


def _tested_rows(contestant: Contestant, samples: Samples, place: str, journal: Journal) -> np.ndarray:
    """Positions of the samples that gave the model's own scores. Raises RunError where none is left."""
    tested = read_tested(contestant.folder)
    digests = short_digests(samples)
    rows = np.flatnonzero(np.isin(digests, tested))
    lost = len(tested) - len(np.intersect1d(tested, digests))
    if len(rows) < FEWEST_COMPARED:
        raise RunError(
            f"the test part of {contestant.name} is not in these data any more",
            where=place,
            got=f"{len(rows)} of {len(tested):,} samples",
            expected="labelled data as a third word",
        )
    if lost:
        message = (
            f"{lost:,} of {len(tested):,} samples of the test part of {contestant.name} are gone or changed"
        )
        journal.finding(Finding("warning", "test-part-changed", message))
    return rows


def _require_unseen(contestant: Contestant, samples: Samples, *, named: bool) -> None:
    known = np.isin(short_digests(samples), read_seen(contestant.folder))
    if not known.any():
        return
    share = f"{int(known.sum()):,} of {len(samples):,} samples, such as {samples.ids[int(known.argmax())]}"
    raise RunError(
        f"{contestant.name} was trained on samples that would test it, so the comparison would not be honest",
        got=share,
        expected="labelled data that neither was trained on"
        + ("" if named else ", as a third word; or two runs on the same split (the same data and --seed)"),
    )


def _judge(pair: list[Contestant], targets: np.ndarray, predictions: list[np.ndarray]) -> dict[str, Any]:
    """Scores of both, differences with intervals, and the verdict."""
    first, second = pair
    task = first.bundle.schema.task
    scores = [score_predictions(task, targets, values) for values in predictions]
    differences = {
        metric: paired_difference(
            task,
            metric,
            targets,
            predictions[1],
            predictions[0],
            resamples=first.recipe.evaluation.resamples,
            seed=first.recipe.seed,
        )
        for metric in scores[0]
        if metric in scores[1]
    }
    metric = main_metric(task)
    if metric not in differences:
        metric = next(iter(differences))
    standing = (
        "equal" if np.array_equal(predictions[0], predictions[1]) else _standing(metric, differences[metric])
    )
    return {
        "first": first.name,
        "second": second.name,
        "task": task,
        "metric": metric,
        "rows": len(targets),
        "scores": scores,
        "differences": differences,
        "standing": standing,
        "verdict": _verdict(pair, metric, scores, standing),
    }


def _standing(metric: str, gap: dict[str, float]) -> str:
    """Of the second against the first: only an interval that leaves out zero decides."""
    if gap["low"] <= 0 <= gap["high"]:
        return "unclear"
    return "better" if (gap["low"] > 0) == higher_is_better(metric) else "worse"


def _verdict(pair: list[Contestant], metric: str, scores: list[dict[str, float]], standing: str) -> str:
    first, second = (contestant.name for contestant in pair)
    values = [score_number(score[metric]) for score in scores]
    figures = f"{metric_name(metric)} {values[1]} of {second} against {values[0]} of {first}"
    return {
        "better": f"{second} is better than {first}, by more than luck could explain: {figures}.",
        "worse": f"{second} is worse than {first}, by more than luck could explain: {figures}.",
        "unclear": f"Neither is better by more than luck could explain: {figures}.",
        "equal": f"{second} and {first} give the very same answers.",
    }[standing]
