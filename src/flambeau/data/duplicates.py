"""Finds samples that are equal or nearly equal, and groups them so that a split keeps them on one side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flambeau.data.pictures.near_duplicates import SMALLEST_SIDE, find_near_pairs
from flambeau.data.samples import Samples
from flambeau.data.texts.near_texts import MOST_TEXTS, find_near_texts
from flambeau.transforms.text import join_texts


@dataclass(frozen=True)
class Duplicates:
    """Which samples repeat others.

    Args:
        groups: (n,) int64; equal numbers for samples that are equal or nearly equal.
        exact_pairs: (first, copy) positions of samples with equal content.
        near_pairs: (representative, member) positions of nearly equal pictures or texts.
        conflicting: those of both kinds whose two samples have different targets. Of texts, only those that say the
            same, but for case, marks and blanks: a word more may well make another target.
        not_compared: texts beyond those among which nearly equal ones are looked for.
    """

    groups: np.ndarray
    exact_pairs: tuple[tuple[int, int], ...] = ()
    near_pairs: tuple[tuple[int, int], ...] = ()
    conflicting: tuple[tuple[int, int], ...] = ()
    not_compared: int = 0


def find_duplicates(samples: Samples, pixels: np.ndarray | None = None, *, near: bool = True) -> Duplicates:
    """Find exact duplicates by digest, and near duplicates: of pictures of 32 px and more, and of rows of texts.

    Args:
        samples: with one digest a sample; none are found without.
        pixels: (n, height, width, channels) of the same samples, for near duplicates; None skips those.
        near: whether near duplicates are looked for.
    """
    count = len(samples)
    firsts: dict[str, int] = {}
    first_of = np.arange(count, dtype=np.int64)
    for index, digest in enumerate(samples.digests):
        first_of[index] = firsts.setdefault(digest, index)
    copies = np.flatnonzero(first_of != np.arange(count))
    exact = [(int(first_of[copy]), int(copy)) for copy in copies]
    near_pairs: list[tuple[int, int]] = []
    same: list[tuple[int, int]] = []
    not_compared = 0
    texts = texts_of(samples)
    groups = first_of.copy()
    if near and pixels is not None and _large_enough(samples, pixels):
        originals = np.flatnonzero(first_of == np.arange(count))
        near_pairs = same = find_near_pairs(pixels, originals)
    elif near and texts is not None:
        same, alike = find_near_texts(texts, np.flatnonzero(first_of == np.arange(count)))
        near_pairs = same + alike
        not_compared = max(0, count - len(exact) - len(same) - MOST_TEXTS)
    for one, other in near_pairs:
        groups[other] = one
    groups = _roots(groups)[first_of]
    conflicting = [
        pair for pair in exact + same if np.any(samples.targets[pair[0]] != samples.targets[pair[1]])
    ]
    return Duplicates(groups, tuple(exact), tuple(near_pairs), tuple(conflicting), not_compared)


def texts_of(samples: Samples) -> list[str] | None:
    """The texts of samples that are nothing but texts, those of a row with line breaks between; None for others."""
    names = [column.name for column in samples.schema.used_columns if column.kind == "text"]
    if samples.columns is None or not names or len(names) < len(samples.schema.used_columns):
        return None
    return join_texts(samples.columns, names)


def _roots(groups: np.ndarray) -> np.ndarray:
    """The first sample of each group, where a representative may itself be a member of another."""
    while not np.array_equal(groups, groups[groups]):
        groups = groups[groups]
    return groups


def _large_enough(samples: Samples, pixels: np.ndarray) -> bool:
    facts = samples.schema.picture
    own = min(facts.height, facts.width) if facts is not None else 0
    return min(own, pixels.shape[1], pixels.shape[2]) >= SMALLEST_SIDE


def merge_groups(*groupings: np.ndarray | None) -> np.ndarray | None:
    """Join groupings: samples that share a group in any of them share one in the result, transitively.

    Args:
        groupings: (n,) integers each; None is left out.

    Returns:
        (n,) int64, numbered from 0; None where nothing is given.
    """
    given = [
        np.unique(grouping, return_inverse=True)[1].reshape(-1)
        for grouping in groupings
        if grouping is not None
    ]
    if not given:
        return None
    joined = np.arange(len(given[0]), dtype=np.int64)
    # Each round gives every sample the smallest number in each of its groups, until nothing changes.
    while True:
        before = joined.copy()
        for codes in given:
            smallest = np.full(int(codes.max(initial=-1)) + 1, len(codes), dtype=np.int64)
            np.minimum.at(smallest, codes, joined)
            joined = smallest[codes]
        joined = joined[joined]
        if np.array_equal(joined, before):
            return _codes(joined)


def _codes(grouping: np.ndarray) -> np.ndarray:
    return np.unique(grouping, return_inverse=True)[1].reshape(-1).astype(np.int64)
