"""Looks at the samples before anything is trained and tells what it finds, in sentences with consequences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from flambeau.data.check_targets import FEWEST_SAMPLES, check_imbalance, check_targets, count_of
from flambeau.data.duplicates import Duplicates, texts_of
from flambeau.data.pictures.check import check_pictures_on_disk
from flambeau.data.samples import Samples
from flambeau.data.split import GROUPS_OF_TWO_FOLDS, Split
from flambeau.data.tables.check import check_columns
from flambeau.data.texts.check import check_texts
from flambeau.errors import DataError
from flambeau.recipe.options import Recipe
from flambeau.schema import Finding

_LISTED = 20


def check_samples(
    samples: Samples,
    duplicates: Duplicates,
    split: Split | None,
    unreadable: tuple[Finding, ...],
    recipe: Recipe,
) -> list[Finding]:
    """All findings about the samples, errors first, then warnings.

    Args:
        samples: the readable ones.
        duplicates: of the same samples.
        split: how they were split; None where that is not known yet.
        unreadable: findings about samples that could not be read and are not among `samples`.
        recipe: for what will be done about the findings.
    """
    findings = [
        *unreadable,
        *check_targets(samples),
        *_check_duplicates(samples, duplicates),
        *check_parts(samples, duplicates, split),
        *check_imbalance(samples, recipe),
        *check_columns(samples),
        *check_texts(samples),
        *check_pictures_on_disk(samples),
    ]
    rank = {"error": 0, "warning": 1, "info": 2}
    return sorted(findings, key=lambda finding: rank[finding.level])


def check_counts(samples: Samples) -> None:
    """Stop where nothing can be trained or tested: under 10 samples, one class, one sample a class.

    Raises:
        DataError: tells what is there and what is needed.
    """
    needed = "2 classes with 2 samples each"
    if samples.schema.task == "regression":
        needed = "targets that differ"
    elif samples.schema.task == "generate":
        needed = "the more, the better: a net that makes pictures needs hundreds"
    for finding in check_targets(samples):
        if finding.level == "error":
            raise DataError(
                finding.message,
                got="; ".join(finding.items),
                expected=f"at least {FEWEST_SAMPLES} samples in all, and {needed}",
                command="flambeau check DATA",
            )


def _check_duplicates(samples: Samples, duplicates: Duplicates) -> list[Finding]:
    findings = []
    level: Literal["warning", "info"]
    thing = "picture" if samples.schema.source == "pictures" else "row"
    texts = texts_of(samples)
    thing = thing if texts is None else "text"
    kept = (
        "each set of copies stays on one side of the split, so that no copy is tested after another trained"
    )
    if samples.parts is not None:
        kept = "the split that the data came with is kept as it is"
    for pairs, code, how in (
        (duplicates.exact_pairs, "duplicates", "exactly"),
        (duplicates.near_pairs, "near-duplicates", "nearly"),
    ):
        if pairs:
            verb = "repeats" if len(pairs) == 1 else "repeat"
            where = " in the columns that are used" if thing == "row" else ""
            message = f"{count_of(len(pairs), thing, thing + 's')} {verb} another one {how}{where}; {kept}"
            findings.append(Finding("info", code, message, _name_pairs(samples, pairs)))
    if duplicates.not_compared:
        message = (
            f"{count_of(duplicates.not_compared, 'text was', 'texts were')} compared for equality alone: nearly equal "
            "ones are looked for among the first only, so some may stand on both sides of the split"
        )
        findings.append(Finding("info", "near-duplicates-of-some", message))
    empty = [row for row, text in enumerate(texts or ()) if not text.strip()]
    if empty:
        message = (
            f"{count_of(len(empty), 'text is', 'texts are')} empty; the model answers "
            f"{'it' if len(empty) == 1 else 'them'} by habit alone"
        )
        shown = tuple(samples.ids[row] for row in empty[:_LISTED])
        findings.append(Finding("warning", "empty-texts", message, shown))
    if duplicates.conflicting:
        number = len(duplicates.conflicting)
        shown = tuple(
            f"{samples.ids[one]} ({_target(samples, one)}) = {samples.ids[other]} ({_target(samples, other)})"
            for one, other in duplicates.conflicting[:_LISTED]
        )
        if thing == "text":
            level = "warning"
            message = (
                f"{count_of(number, 'pair', 'pairs')} of texts that say the same, with different targets: at most "
                "one of each pair is right; both are kept, so look at them"
            )
        elif thing == "picture":
            level = "warning"
            message = (
                f"{count_of(number, 'pair', 'pairs')} of (nearly) equal pictures with different targets: "
                "at most one of each pair is right; both are kept, so look at them"
            )
        else:
            level = "info"
            message = (
                f"{count_of(number, 'pair', 'pairs')} of rows equal in all columns used, with different targets: "
                "no model can tell these apart, so the best possible score is below perfect"
            )
        findings.append(Finding(level, "conflicting-targets", message, shown))
    return findings


def check_groups(
    samples: Samples, duplicates: Duplicates, groups: np.ndarray | None, recipe: Recipe
) -> list[Finding]:
    """An error where so much must stay together that nothing is left to test on.

    Args:
        samples: the readable ones.
        duplicates: of the same samples.
        groups: (n,) integers, equal where samples stay on one side, for whatever reason; None where nothing groups.
        recipe: with the folds that are chosen.
    """
    options = recipe.split
    if groups is None or samples.parts is not None or samples.schema.task == "generate":
        return []
    found = len(np.unique(groups))
    if len(samples) < FEWEST_SAMPLES:
        return []  # which is told as such
    folds = options.folds or 0
    tests = options.train + options.valid < 1 - 1e-9
    needed = max(folds, GROUPS_OF_TWO_FOLDS if folds == 2 else 0) if folds else 2 + tests
    if found >= needed:
        return []
    why, ways = [], []
    if duplicates.near_pairs:
        why.append(f"{len(duplicates.near_pairs):,} are nearly equal to another")
        ways.append("split.near_duplicates=false, if these are not copies but alike by nature")
    if duplicates.exact_pairs:
        why.append(f"{len(duplicates.exact_pairs):,} are equal to another")
    if samples.groups is not None:
        of = f"values of '{options.group}'" if options.group else "patients or scenes"
        why.append(f"they are of {len(np.unique(samples.groups)):,} {of}")
        ways.append(
            "split.group=COLUMN, another one" if options.group else "split.patients=false, if they are none"
        )
    if folds > GROUPS_OF_TWO_FOLDS <= found:
        ways.append(f"split.folds={GROUPS_OF_TWO_FOLDS}")
    purpose = (
        f"{folds} folds" if folds else "training, choosing and testing" if tests else "training and choosing"
    )
    message = (
        f"{len(samples):,} samples form {count_of(found, 'group', 'groups')} that must stay on one side, and {purpose} "
        f"need {needed} ({'; '.join(why)}). More samples of other kinds help"
        + (f", or --set {'; or '.join(ways)}" if ways else "")
    )
    return [Finding("error", "too-few-groups", message)]


def check_parts(samples: Samples, duplicates: Duplicates, split: Split | None) -> list[Finding]:
    """Copies and groups on both sides of a split, and classes that a part lacks.

    Args:
        samples: the readable ones.
        duplicates: of the same samples.
        split: how they were split; None for the parts that they came with.
    """
    part_of = _parts(samples, split)
    if part_of is None:
        return []
    findings = []
    # Where the data came without a test part, its valid part is what tests.
    tested = part_of == ("test" if (part_of == "test").any() else "valid")
    pairs = (*duplicates.exact_pairs, *duplicates.near_pairs)
    leaks = [(one, other) for one, other in pairs if tested[one] != tested[other]]
    if leaks:
        number = int((tested & np.isin(duplicates.groups, duplicates.groups[~tested])).sum())
        which = "sample of the test part repeats" if number == 1 else "samples of the test part repeat"
        message = (
            f"{number:,} {which} one that is trained on or chosen with: the score flatters "
            "the model; remove these copies from one of the two parts"
        )
        findings.append(Finding("warning", "leak-between-splits", message, _name_pairs(samples, leaks)))
    if samples.groups is not None:
        crossing = np.intersect1d(samples.groups[tested], samples.groups[~tested])
        if len(crossing):
            message = (
                f"{count_of(len(crossing), 'group', 'groups')} of samples that belong together are in the "
                "test part and outside it: the score flatters the model; split the data by group"
            )
            members = np.isin(samples.groups, crossing[:5])
            shown = tuple(samples.ids[index] for index in np.flatnonzero(members)[:_LISTED])
            findings.append(Finding("warning", "leak-between-splits", message, shown))
    if samples.schema.task == "classification":
        findings += _check_classes_of_parts(samples, part_of)
    return findings


def _check_classes_of_parts(samples: Samples, part_of: np.ndarray) -> list[Finding]:
    findings = []
    classes = samples.schema.classes
    present = np.bincount(samples.targets, minlength=len(classes)) > 0
    for part, consequence in (
        ("train", "in the part that is trained on: the model cannot know"),
        ("test", "in the test part: the score says nothing about"),
    ):
        seen = np.bincount(samples.targets[part_of == part], minlength=len(classes)) > 0
        lacking = tuple(classes[index] for index in np.flatnonzero(present & ~seen))
        if lacking and (part_of == part).any():
            which = "it" if len(lacking) == 1 else "them"
            message = f"{count_of(len(lacking), 'class has', 'classes have')} no sample {consequence} {which}"
            findings.append(Finding("warning", f"classes-not-in-{part}", message, lacking))
    return findings


def _parts(samples: Samples, split: Split | None) -> np.ndarray | None:
    if split is None:
        return None if samples.parts is None else samples.parts.astype(str)
    part_of = np.full(len(samples), "train", dtype="<U5")
    part_of[split.valid] = "valid"
    part_of[split.test] = "test"
    return part_of


def _target(samples: Samples, index: int) -> str:
    target = samples.targets[index]
    if samples.schema.task in ("classification", "generate"):
        return samples.schema.classes[int(target)]
    if samples.schema.task == "regression":
        return f"{target:g}"
    names = [name for name, value in zip(samples.schema.classes, target, strict=True) if value > 0.5]
    return "|".join(names) or "no label"


def _name_pairs(samples: Samples, pairs: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(f"{samples.ids[one]} = {samples.ids[other]}" for one, other in list(pairs)[:_LISTED])
