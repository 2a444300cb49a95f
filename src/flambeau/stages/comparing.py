"""The verdict of a run: its model beside the best baseline, in one sentence that does not flatter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flambeau.evaluation.metrics import higher_is_better, main_metric, score_predictions
from flambeau.evaluation.uncertainty import paired_difference
from flambeau.evaluation.wording import metric_name, score_number
from flambeau.recipe import Recipe


def compare_with_baselines(
    task: str,
    targets: np.ndarray,
    predictions: np.ndarray,
    baselines: Mapping[str, np.ndarray],
    recipe: Recipe,
    *,
    longer: bool = False,
) -> tuple[str, str | None]:
    """One honest sentence: whether the model beats the best baseline, and whether that is more than luck.

    Args:
        task, targets, predictions, baselines, recipe: of the tested rows.
        longer: whether more epochs might have helped.

    Returns:
        The sentence, and "better", "unclear" or "worse"; None where there is nothing to compare with.
    """
    metric = main_metric(task)
    sign = 1 if higher_is_better(metric) else -1
    own = score_predictions(task, targets, predictions)
    others = {name: score_predictions(task, targets, values) for name, values in baselines.items()}
    others = {name: scores for name, scores in others.items() if metric in scores}
    words = metric_name(metric)
    if metric not in own:
        return "These samples define no score.", None
    if not others:
        return f"{words} {score_number(own[metric])}; no baseline was fitted.", None
    best = max(others, key=lambda name: sign * others[name][metric])
    gap = paired_difference(
        task,
        metric,
        targets,
        predictions,
        baselines[best],
        resamples=recipe.evaluation.resamples,
    )
    values = f"{score_number(own[metric])} against {score_number(others[best][metric])}"
    comparison = f"{words} {values} of the best baseline ({best})"
    low, high = sorted((sign * gap["low"], sign * gap["high"]))
    return verdict_on(comparison, low, high, ahead=sign * gap["value"] > 0, longer=longer, best=best)


def verdict_on(
    comparison: str,
    low: float,
    high: float,
    *,
    ahead: bool,
    longer: bool = False,
    best: str = "that baseline",
) -> tuple[str, str]:
    """A sentence about a model and the best baseline, and "better", "worse" or "unclear".

    Args:
        comparison: both scores in words.
        low, high: the interval of the model's lead; above 0 the model is better.
        ahead: whether the lead itself is above 0.
        longer: whether more epochs might have helped.
        best: the name of the best baseline.
    """
    if low > 0:
        return f"The model beats every baseline: {comparison}.", "better"
    if high < 0:
        lead = "The model is worse than a baseline, by more than luck could explain"
        way_out = "Train longer: the last epoch was the best" if longer else "Look for more data"
        meaning = f"As it stands, {best} predicts better than the model that is kept"
        return f"{lead}: {comparison}. {meaning}. {way_out}.", "worse"
    if ahead:
        lead = "The model is ahead of every baseline, but by no more than luck could explain"
        return f"{lead}: {comparison}.", "unclear"
    return f"The model does not beat the best baseline: {comparison}.", "unclear"
