"""Findings about the targets alone: too few samples, classes of few samples, classes out of balance."""

from __future__ import annotations

import numpy as np

from flambeau.data.samples import Samples
from flambeau.recipe.options import Recipe
from flambeau.schema import Finding

FEWEST_SAMPLES = 10
IMBALANCE_RATIO = 4.0
WEIGHED_RATIO = 2.0
_FEW_OF_A_CLASS = 10
_LISTED = 20


def check_targets(samples: Samples) -> list[Finding]:
    """What the targets alone tell; errors are what `check_counts` stops at."""
    findings = []
    count = len(samples)
    if count < FEWEST_SAMPLES:
        message = f"{count_of(count, 'sample is', 'samples are')} too few to train, choose and test on"
        findings.append(Finding("error", "too-few-samples", message, (count_of(count, "sample", "samples"),)))
    if samples.schema.task == "regression":
        if count and np.ptp(samples.targets) == 0:
            message = f"all targets in '{samples.schema.target}' are equal: there is nothing to predict"
            findings.append(Finding("error", "constant-target", message, (f"{samples.targets[0]:g}",)))
        return findings
    if samples.schema.task == "forecast":
        # what time series are checked for is in check_series
        return findings
    if samples.schema.task == "generate":
        # labels serve the score alone
        return findings
    classes = samples.schema.classes
    if samples.schema.task == "multilabel":
        return findings + _check_labels(samples)
    counts = np.bincount(samples.targets, minlength=len(classes))
    shown = tuple(f"{name}: {number:,}" for name, number in zip(classes, counts, strict=True))
    if (counts > 0).sum() < 2:
        findings.append(
            Finding("error", "one-class", "there is only one class: nothing to tell apart", shown)
        )
    elif (counts > 1).sum() < 2:
        message = "too many classes have a single sample: one to train on leaves none to test with"
        findings.append(Finding("error", "too-few-of-a-class", message, shown[:_LISTED]))
    else:
        findings += _check_class_counts(classes, counts)
    return findings


def _check_class_counts(classes: tuple[str, ...], counts: np.ndarray) -> list[Finding]:
    findings = []
    for chosen, code, consequence in (
        (counts == 0, "empty-classes", "no sample that can be read, and will never be predicted"),
        (
            counts == 1,
            "single-samples",
            "a single sample, which is trained on: its answers are never tested",
        ),
        (
            (counts > 1) & (counts < _FEW_OF_A_CLASS),
            "few-of-a-class",
            f"fewer than {_FEW_OF_A_CLASS} samples: scores of so few are rough guesses",
        ),
    ):
        names = tuple(f"{classes[index]}: {counts[index]}" for index in np.flatnonzero(chosen))
        if names:
            message = f"{len(names):,} classes each have {consequence}"
            if len(names) == 1:
                message = f"class '{classes[int(np.flatnonzero(chosen)[0])]}' has {consequence}"
            findings.append(Finding("warning", code, message, names))
    return findings


def _check_labels(samples: Samples) -> list[Finding]:
    """Labels that no sample, all samples or few samples have."""
    counts = (samples.targets > 0.5).sum(axis=0)
    count = len(samples)
    findings = []
    if not ((counts > 0) & (counts < count)).any():
        message = "no label is present in some samples and absent in others: there is nothing to tell apart"
        return [Finding("error", "one-class", message, samples.schema.classes[:_LISTED])]
    constant = [name for name, n in zip(samples.schema.classes, counts, strict=True) if n in (0, count)]
    if constant:
        number = count_of(len(constant), "label is", "labels are")
        message = f"{number} the same in all samples and cannot be learnt"
        findings.append(Finding("warning", "constant-labels", message, tuple(constant)))
    few = [
        f"{name}: {n}"
        for name, n in zip(samples.schema.classes, counts, strict=True)
        if 0 < n < _FEW_OF_A_CLASS
    ]
    if few:
        number = count_of(len(few), "label is", "labels are")
        message = (
            f"{number} present in fewer than {_FEW_OF_A_CLASS} samples: scores of these will be rough guesses"
        )
        findings.append(Finding("warning", "few-of-a-class", message, tuple(few)))
    return findings


def check_imbalance(samples: Samples, recipe: Recipe) -> list[Finding]:
    """Classes of very different size, and what will be done about it."""
    if samples.schema.task != "classification":
        return []
    ratio = imbalance(samples.targets)
    weights = recipe.training.class_weights
    if ratio < (WEIGHED_RATIO if weights == "balanced" else IMBALANCE_RATIO):
        return []
    counts = np.bincount(samples.targets, minlength=len(samples.schema.classes))
    largest, smallest = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max() + 1).argmin())
    names = samples.schema.classes
    done = {
        "balanced": "they are weighed by the inverse of their frequency (training.class_weights: balanced)",
        "none": "they are not weighed (training.class_weights: none)",
        None: "training.class_weights: balanced weighs them by the inverse of their frequency",
    }[weights]
    message = (
        f"classes are out of balance: '{names[largest]}' has {counts[largest]:,} samples, "
        f"'{names[smallest]}' {counts[smallest]:,}, {ratio:.1f} times fewer; {done}; "
        "read balanced accuracy beside accuracy"
    )
    shown = tuple(f"{name}: {number:,}" for name, number in zip(names, counts, strict=True))
    return [Finding("warning", "imbalance", message, shown)]


def imbalance(targets: np.ndarray) -> float:
    """Size of the largest class over that of the smallest that has any sample.

    Args:
        targets: (n,) class indices.
    """
    counts = np.bincount(targets)
    return float(counts.max() / counts[counts > 0].min()) if len(targets) else 1.0


def count_of(count: int, one: str, many: str) -> str:
    """A number with its noun: "1 class", "3 classes"."""
    return f"{count:,} {one if count == 1 else many}"
