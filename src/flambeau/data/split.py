"""Which samples train, which choose and which only test: indices only, a pure function of the seed.

Stratified by class (or by quantiles of a number), grouped where samples must stay together, and faithful to
parts that the data came with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flambeau.data.allocation import allocate

# Of two folds each is outside of the other, where one group trains and another chooses.
GROUPS_OF_TWO_FOLDS = 4


@dataclass(frozen=True)
class Split:
    """Positions of the samples of each part.

    Args:
        train, valid, test: sorted int64 positions; no position is in two of them.
        method: how it was made, in a few words, such as "stratified".
        reason: why, in a sentence for the user.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    method: str
    reason: str


def split_indices(
    count: int,
    *,
    fractions: tuple[float, float] = (0.70, 0.15),
    strata: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    parts: np.ndarray | None = None,
    seed: int = 0,
) -> Split:
    """Split `count` samples into a train, a valid and a test part.

    Without groups, each stratum's share of each part is exact to within one sample, and every stratum has a
    sample in train. With groups, the largest are placed first, each where it disturbs the shares least.

    Args:
        count: how many samples there are.
        fractions: shares of train and valid; what is left is test (nothing is left where they add up to 1).
        strata: (count,) integers; their shares are kept equal in all parts.
        groups: (count,) integers; equal ones are never on two sides.
        parts: (count,) of "train", "valid" and "test" as the data came; kept, and what is missing is carved
            out of train. A source with only train and valid is tested on its valid part.
        seed: equal seeds give equal splits.

    Raises:
        ValueError: for fractions that leave nothing to train on, arrays of another length, unknown names of
            parts, or fewer samples or groups than parts.
    """
    strata, groups = _dense_codes(count, strata, groups)
    train_share, valid_share = fractions
    if not (0 < train_share < 1 and 0 < valid_share < 1 and train_share + valid_share <= 1 + 1e-9):
        raise ValueError(f"fractions: expected two shares above 0 that add up to at most 1, got {fractions}")
    given = _given_parts(count, parts)
    if given is not None:
        return _complete_parts(given, valid_share / (train_share + valid_share), strata, groups, seed)
    test_share = max(0.0, 1.0 - train_share - valid_share)
    shares = [train_share, valid_share] + ([test_share] if test_share > 1e-9 else [])
    places = allocate(strata, groups, shares, np.random.default_rng(seed), first_sees_all=True)
    reason = "the data came unsplit: " + ", ".join(
        f"{share:.0%} {name}" for share, name in zip(shares, ("train", "valid", "test"), strict=False)
    )
    return _split_of(places, _method(strata, groups), reason + _manner(strata, groups))


def fold_indices(
    count: int,
    folds: int,
    *,
    strata: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
    valid_fraction: float = 0.15,
) -> list[Split]:
    """Splits for cross-validation: the test parts are disjoint and cover all samples.

    Args:
        count: how many samples there are.
        folds: how many splits, at least 2.
        strata, groups, seed: as for `split_indices`.
        valid_fraction: share of the samples outside the test fold that choose the best epoch.

    Raises:
        ValueError: for fewer than 2 folds, or fewer samples or groups than folds need.
    """
    if folds < 2:
        raise ValueError(f"folds: expected at least 2, got {folds}")
    if not 0 < valid_fraction < 1:
        raise ValueError(f"valid_fraction: expected a share between 0 and 1, got {valid_fraction}")
    strata, groups = _dense_codes(count, strata, groups)
    found, needed = len(np.unique(groups)), GROUPS_OF_TWO_FOLDS if folds == 2 else folds
    if found < needed:
        what = "samples" if found == count else "groups of samples that must stay together"
        raise ValueError(
            f"{folds} folds, each of which leaves some to train and some to choose the epoch: expected at least "
            f"{needed} {what}, got {found}"
        )
    generator = np.random.default_rng(seed)
    fold_of = _deal(strata, groups, folds, generator)
    shares = [1 - valid_fraction, valid_fraction]
    splits = []
    for fold in range(folds):
        rest = np.flatnonzero(fold_of != fold)
        places = np.full(count, 2, dtype=np.int64)
        places[rest] = allocate(strata[rest], groups[rest], shares, generator, first_sees_all=True)
        reason = f"fold {fold + 1} of {folds}: each sample is tested once, by a model that has not seen it"
        splits.append(_split_of(places, _method(strata, groups), reason))
    return splits


def equal_parts(
    count: int, parts: int, *, strata: np.ndarray, groups: np.ndarray | None = None, seed: int = 0
) -> list[np.ndarray]:
    """Sorted positions of as many parts, disjoint and of all samples: those that each of several models leaves out.

    Args:
        count: how many samples there are.
        parts: how many parts, at least 2.
        strata, groups, seed: as for `split_indices`.

    Raises:
        ValueError: for fewer samples or groups than parts.
    """
    strata, groups = _dense_codes(count, strata, groups)
    part_of = _deal(strata, groups, parts, np.random.default_rng(seed))
    return [np.flatnonzero(part_of == part) for part in range(parts)]


def _deal(strata: np.ndarray, groups: np.ndarray, parts: int, generator: np.random.Generator) -> np.ndarray:
    """(n,) the part of each sample; where there are enough groups, at least two are outside of each part."""
    part_of = allocate(strata, groups, [1 / parts] * parts, generator, first_sees_all=False)
    if len(np.unique(groups)) < GROUPS_OF_TWO_FOLDS:
        return part_of
    for part in range(parts):
        inside, others = np.unique(groups[part_of == part]), len(np.unique(groups[part_of != part]))
        # training and choosing take a group each
        part_of[np.isin(groups, inside[: max(0, 2 - others)])] = (part + 1) % parts
    return part_of


def regression_strata(targets: np.ndarray, *, bins: int = 10) -> np.ndarray:
    """Quantile bins of a number, for a split whose parts have alike distributions.

    Args:
        targets: (n,) finite numbers.
        bins: at most so many bins; fewer where there are under 5 samples a bin or where values repeat.

    Returns:
        (n,) int64 bin of each sample.
    """
    bins = max(1, min(bins, len(targets) // 5))
    edges = np.quantile(targets, np.linspace(0, 1, bins + 1)[1:-1]) if bins > 1 else np.empty(0)
    return np.searchsorted(np.unique(edges), targets, side="left").astype(np.int64)


def multilabel_strata(targets: np.ndarray) -> np.ndarray:
    """The rarest label that each sample has, so that rare labels are spread over all parts.

    Rarest labels first is the order of iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011).

    Args:
        targets: (n, labels) of 0 and 1.

    Returns:
        (n,) int64 label of each sample, or the number of labels for a sample without any.
    """
    present = targets > 0.5
    frequency = np.append(present.sum(axis=0), len(targets) + 1)
    padded = np.column_stack([present, np.ones(len(targets), dtype=bool)])
    return np.where(padded, frequency, len(targets) + 2).argmin(axis=1).astype(np.int64)


def _dense_codes(
    count: int, strata: np.ndarray | None, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Dense integer codes of strata and groups; one stratum and single-sample groups where None is given."""
    for name, array in (("strata", strata), ("groups", groups)):
        if array is not None and array.shape != (count,):
            raise ValueError(f"{name}: expected shape ({count},), got {array.shape}")
    stratum_of = np.zeros(count, dtype=np.int64)
    group_of = np.arange(count, dtype=np.int64)
    if strata is not None:
        stratum_of = np.unique(strata, return_inverse=True)[1].reshape(-1).astype(np.int64)
    if groups is not None:
        group_of = np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return stratum_of, group_of


def _given_parts(count: int, parts: np.ndarray | None) -> np.ndarray | None:
    """The parts that the data came with, checked; None where they say nothing (all are "train")."""
    if parts is None:
        return None
    given = np.asarray(parts).astype(str)
    if given.shape != (count,):
        raise ValueError(f"parts: expected shape ({count},), got {given.shape}")
    unknown = sorted(set(given.tolist()) - {"train", "valid", "test"})
    if unknown:
        raise ValueError(
            f"parts: expected 'train', 'valid' or 'test', got {', '.join(map(repr, unknown[:5]))}"
        )
    names = set(given.tolist())
    if "train" not in names and names:
        raise ValueError(f"parts: expected some samples of 'train', got only {', '.join(sorted(names))}")
    return None if names <= {"train"} else given


def _complete_parts(
    given: np.ndarray, valid_share: float, strata: np.ndarray, groups: np.ndarray, seed: int
) -> Split:
    """Keep given parts and carve out of train what they lack."""
    names = set(given.tolist())
    if names == {"train", "valid", "test"}:
        places = np.searchsorted(["test", "train", "valid"], given)
        places = np.array([2, 0, 1], dtype=np.int64)[places]
        return _split_of(places, "given", "the data came with a train, a valid and a test part")
    train = np.flatnonzero(given == "train")
    places = np.full(len(given), 2, dtype=np.int64)
    places[train] = allocate(
        strata[train],
        groups[train],
        [1 - valid_share, valid_share],
        np.random.default_rng(seed),
        first_sees_all=True,
    )
    carved = f"{valid_share:.0%} of train chooses the best epoch" + _manner(strata, groups)
    if "test" in names:
        reason = f"the data came with a train and a test part; {carved}"
    else:
        reason = f"the data came with a train and a valid part; the valid part only tests, and {carved}"
    return _split_of(places, "given", reason)


def _split_of(places: np.ndarray, method: str, reason: str) -> Split:
    train, valid, test = (np.flatnonzero(places == place).astype(np.int64) for place in range(3))
    return Split(train, valid, test, method, reason)


def _method(strata: np.ndarray, groups: np.ndarray) -> str:
    stratified = len(strata) > 0 and strata.max() > 0
    grouped = groups.max(initial=-1) + 1 < len(groups)
    return (
        " and ".join(word for word, holds in (("stratified", stratified), ("grouped", grouped)) if holds)
        or "random"
    )


def _manner(strata: np.ndarray, groups: np.ndarray) -> str:
    """How it was done, as the rest of a sentence."""
    return {
        "random": ", drawn at random",
        "stratified": ", with equal shares of each class or range of the target",
        "grouped": ", with samples that belong together on one side",
        "stratified and grouped": ", with samples that belong together on one side and classes kept balanced",
    }[_method(strata, groups)]
