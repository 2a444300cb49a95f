"""A split covers all samples once, keeps groups whole and shares equal, and repeats from its seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambeau.data.split import (
    Split,
    equal_parts,
    fold_indices,
    multilabel_strata,
    regression_strata,
    split_indices,
)

labels = st.lists(st.integers(0, 4), min_size=8, max_size=120)


def places_of(split: Split, count: int) -> np.ndarray:
    """The part of each sample, after making sure that every sample is in exactly one."""
    places = np.full(count, -1)
    for place, part in enumerate((split.train, split.valid, split.test)):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
        assert (places[part] == -1).all()
        places[part] = place
    assert (places >= 0).all()
    return places


@settings(max_examples=60, deadline=None)
@given(labels, st.integers(0, 5))
def test_stratified_shares_are_within_one_sample(classes: list[int], seed: int) -> None:
    strata = np.array(classes)
    split = split_indices(len(strata), strata=strata, seed=seed)
    places = places_of(split, len(strata))
    if len(set(classes)) <= len(classes) // 3:
        for label in set(classes):
            for place, share in enumerate((0.70, 0.15, 0.15)):
                got = ((strata == label) & (places == place)).sum()
                assert abs(got - share * (strata == label).sum()) <= 1 + 1e-9
    assert set(strata[split.train]) == set(classes)


@settings(max_examples=60, deadline=None)
@given(labels, st.integers(0, 5), st.data())
def test_groups_never_cross(classes: list[int], seed: int, data: st.DataObject) -> None:
    strata = np.array(classes)
    count = len(strata)
    groups = np.array(data.draw(st.lists(st.integers(0, 9), min_size=count, max_size=count)))
    if len(set(groups.tolist())) < 3:
        with pytest.raises(ValueError, match="groups"):
            split_indices(count, strata=strata, groups=groups, seed=seed)
        return
    split = split_indices(count, strata=strata, groups=groups, seed=seed)
    places = places_of(split, count)
    for group in set(groups.tolist()):
        assert len(set(places[groups == group].tolist())) == 1
    assert min(len(split.train), len(split.valid), len(split.test)) > 0


@settings(max_examples=40, deadline=None)
@given(labels, st.integers(2, 5), st.booleans())
def test_folds_test_every_sample_once(classes: list[int], folds: int, grouped: bool) -> None:
    strata = np.array(classes)
    count = len(strata)
    groups = np.arange(count) // 2 if grouped and count >= 2 * (folds + 2) else None
    splits = fold_indices(count, folds, strata=strata, groups=groups, seed=3)
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested.tolist()) == list(range(count))
    for split in splits:
        places = places_of(split, count)
        assert len(split.valid) > 0
        if groups is not None:
            assert all(len(set(places[groups == group].tolist())) == 1 for group in set(groups.tolist()))
        else:
            for label in set(classes):
                share = (strata == label).sum() / folds
                assert abs((strata[split.test] == label).sum() - share) < 1 + 1e-9


def test_sizes_come_out_right_with_many_small_classes() -> None:
    split = split_indices(500, strata=np.repeat(np.arange(100), 5), seed=0)
    assert abs(len(split.train) - 350) <= 2
    assert abs(len(split.valid) - 75) <= 2


def test_groups_are_balanced_by_class() -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 60, 1200)
    strata = (groups % 2 == 0).astype(int)
    split = split_indices(1200, strata=strata, groups=groups, seed=0)
    assert "grouped" in split.method
    for part, share in ((split.train, 0.70), (split.valid, 0.15), (split.test, 0.15)):
        assert abs(len(part) / 1200 - share) < 0.03
        assert abs(strata[part].mean() - strata.mean()) < 0.08


def test_one_huge_group_leaves_something_for_every_part() -> None:
    groups = np.array([0] * 90 + [1] * 5 + [2] * 5)
    split = split_indices(100, groups=groups, seed=0)
    assert len(split.train) == 90
    equal = split_indices(120, groups=np.repeat([0, 1, 2], 40), seed=0)
    assert [len(equal.train), len(equal.valid), len(equal.test)] == [40, 40, 40]


def test_equal_seeds_give_equal_splits_and_others_differ() -> None:
    strata = np.arange(300) % 3
    one, same, other = (split_indices(300, strata=strata, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.train, same.train)
    assert np.array_equal(one.test, same.test)
    assert not np.array_equal(one.test, other.test)


def test_given_parts_are_kept() -> None:
    parts = np.array(["train"] * 50 + ["test"] * 30 + ["valid"] * 20, dtype=object)
    split = split_indices(100, parts=parts, strata=np.arange(100) % 2)
    assert split.train.tolist() == list(range(50))
    assert split.test.tolist() == list(range(50, 80))
    assert split.valid.tolist() == list(range(80, 100))


@pytest.mark.parametrize("other", ["valid", "test"])
def test_missing_valid_is_carved_from_train(other: str) -> None:
    parts = np.array(["train"] * 85 + [other] * 15)
    groups = np.arange(100) // 5
    split = split_indices(100, parts=parts, groups=groups, strata=np.arange(100) % 2)
    assert split.test.tolist() == list(range(85, 100))
    assert len(split.valid) == 15
    assert not set(groups[split.valid].tolist()) & set(groups[split.train].tolist())
    assert ("valid part only tests" in split.reason) == (other == "valid")


def test_all_train_counts_as_not_split() -> None:
    split = split_indices(20, parts=np.array(["train"] * 20))
    assert len(split.test) == 3


def test_no_test_part_where_the_fractions_add_up_to_one() -> None:
    split = split_indices(100, fractions=(0.8, 0.2), strata=np.arange(100) % 4)
    assert (len(split.train), len(split.valid), len(split.test)) == (80, 20, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fractions": (0.9, 0.3)}, "add up to at most 1"),
        ({"strata": np.zeros(9)}, r"expected shape \(10,\)"),
        ({"parts": np.array(["train", "dev"] * 5)}, "got 'dev'"),
        ({"parts": np.array(["valid", "test"] * 5)}, "expected some samples of 'train'"),
        ({"groups": np.arange(10) % 2}, "expected as many groups"),
    ],
)
def test_bad_arguments_are_told(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_indices(10, **arguments)


def test_too_few_samples_and_folds_are_told() -> None:
    with pytest.raises(ValueError, match="expected as many samples, got 2"):
        split_indices(2)
    with pytest.raises(ValueError, match="at least 2"):
        fold_indices(10, 1)


def test_regression_strata_are_quantiles() -> None:
    targets = np.random.default_rng(0).exponential(size=1000)
    bins = regression_strata(targets)
    assert np.bincount(bins).tolist() == [100] * 10
    assert targets[bins == 0].max() <= targets[bins == 1].min()
    assert set(regression_strata(np.ones(50)).tolist()) == {0}
    assert set(regression_strata(np.arange(4.0)).tolist()) == {0}


def test_multilabel_strata_name_the_rarest_label() -> None:
    targets = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]], dtype=np.float32)
    assert multilabel_strata(targets).tolist() == [0, 1, 2, 3, 0]


def test_of_few_groups_no_fold_takes_all_but_one() -> None:
    # eight samples of many classes in four groups: by shares of classes alone, three groups would be one fold
    for seed in range(20):
        strata = np.random.default_rng(seed).integers(0, 5, 8)
        splits = fold_indices(8, 2, strata=strata, groups=np.arange(8) // 2, seed=3)
        assert all(min(len(split.train), len(split.valid), len(split.test)) > 0 for split in splits)


@pytest.mark.parametrize(("groups", "folds", "needed"), [(2, 2, 4), (3, 2, 4), (2, 3, 3), (4, 5, 5)])
def test_folds_of_too_few_groups_are_counted(groups: int, folds: int, needed: int) -> None:
    with pytest.raises(ValueError, match=f"at least {needed} groups .*, got {groups}"):
        fold_indices(60, folds, strata=np.arange(60) % 3, groups=np.arange(60) % groups)


def test_three_folds_of_three_groups() -> None:
    for split in fold_indices(60, 3, groups=np.arange(60) % 3):
        assert min(len(split.train), len(split.valid), len(split.test)) == 20


@pytest.mark.parametrize("groups", [2, 3, 4, 9])
def test_equal_parts_of_few_groups(groups: int) -> None:
    """Bags need rows to train on and rows to choose by: two groups are enough."""
    of_group = np.arange(60) % groups
    parts = equal_parts(60, 2, strata=np.arange(60) % 3, groups=of_group)
    assert sorted(np.concatenate(parts).tolist()) == list(range(60))
    assert all(len(part) for part in parts) and not set(of_group[parts[0]]) & set(of_group[parts[1]])
