"""Time series before they are split: what is forecast, by which model and from what, all of it told."""

from __future__ import annotations

import numpy as np

from flambeau.data.samples import Samples
from flambeau.data.series.check import check_filled, check_series
from flambeau.planning.common import plan_class_weights
from flambeau.planning.effects import effect_findings
from flambeau.planning.machine import Machine
from flambeau.planning.series import plan_series
from flambeau.planning.weights import plan_frozen
from flambeau.recipe import Choices
from flambeau.schema import Finding
from flambeau.stages.journal import Journal
from flambeau.stages.series.feed import divide_series, parts_of, targets_are_positive, with_windows
from flambeau.stages.series.trial import choose_ridge
from flambeau.stages.starting.weights import OwnWeights, find_own_weights


def gather_series(
    samples: Samples, choices: Choices, machine: Machine, journal: Journal, *, compare: bool = True
) -> tuple[Samples, tuple[Finding, ...], OwnWeights | None]:
    """Choose everything, the form of ridge by the validation part where forms are to be compared, and check.

    Returns:
        The samples with their windows, what the check found, and weights for a person's own model.
    """
    series, facts = parts_of(samples)
    longest = int(np.diff(series.starts).max(initial=0))
    positive = targets_are_positive(samples, choices.recipe)
    plan_series(choices, facts=facts, rows=len(samples), longest=longest, machine=machine, positive=positive)
    plan_class_weights(choices, targets=np.empty(0), schema=samples.schema)
    plan_frozen(choices)
    own_weights = find_own_weights(choices, journal)
    for finding in effect_findings(choices, task="forecast", pictures=False, pretrained=False):
        journal.finding(finding)
    samples = with_windows(samples, choices.recipe.forecast)
    # what no form of a model could mend is told before forms are compared
    divide_series(samples, choices.recipe, choices.recipe.forecast.lookback or 1)
    findings = tuple(check_series(samples))
    for finding in findings:
        journal.finding(finding)
    if not any(finding.level == "error" for finding in findings):
        if compare and choices.recipe.model.name == "ridge":
            choose_ridge(samples, choices, journal)
        samples = with_windows(samples, choices.recipe.forecast)
        # the rows to look back on say how many windows there are, so they are chosen first
        filled = check_filled(samples)
        for finding in filled:
            journal.finding(finding)
        findings += tuple(filled)
    return samples, findings, own_weights
