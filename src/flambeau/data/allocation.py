"""Deals samples to the parts of a split: the shares of each class come out right and groups stay whole.

Groups of several samples are placed first, the largest before the others; single samples then fill up.
"""

from __future__ import annotations

import numpy as np


def allocate(
    strata: np.ndarray,
    groups: np.ndarray,
    shares: list[float],
    generator: np.random.Generator,
    *,
    first_sees_all: bool,
) -> np.ndarray:
    """The place of each sample: a position among `shares`.

    A group goes where it changes the sum over strata and places of (filled - wanted)^2 / wanted least.

    Args:
        strata: (n,) integers from 0; each place gets its share of every stratum.
        groups: (n,) integers; equal ones get the same place.
        shares: shares of the places, each above 0, that add up to 1.
        generator: draws the order of samples and of groups of equal size.
        first_sees_all: whether the first place must have a sample of every stratum.

    Returns:
        (n,) int64 places. No place is empty.

    Raises:
        ValueError: for fewer groups than places.
    """
    group_of, sizes = _dense(groups)
    if len(sizes) < len(shares):
        what = "samples" if len(sizes) == len(groups) else "groups of samples that must stay together"
        raise ValueError(f"cannot split into {len(shares)} parts: expected as many {what}, got {len(sizes)}")
    wanted = np.bincount(strata)[:, None] * np.asarray(shares)  # (strata, places)
    filled = np.zeros_like(wanted)
    place_of_group = np.zeros(len(sizes), dtype=np.int64)
    # Shuffled before a stable sort, so that groups of equal size come in a random order.
    order = generator.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    by_group = np.argsort(group_of, kind="stable")
    starts = np.cumsum(sizes) - sizes
    for group in order[sizes[order] > 1]:
        members = by_group[starts[group] : starts[group] + sizes[group]]
        present, counts = np.unique(strata[members], return_counts=True)
        amounts = counts[:, None]
        change = amounts * (2 * (filled[present] - wanted[present]) + amounts) / wanted[present]
        place = int(change.sum(axis=0).argmin())
        filled[present, place] += counts
        place_of_group[group] = place
    singles = order[sizes[order] == 1]
    needs_first = (filled[:, 0] == 0) & first_sees_all
    place_of_group[singles] = _fill(strata[by_group[starts[singles]]], wanted - filled, needs_first)
    if first_sees_all:
        _give_first_every_stratum(place_of_group, group_of, sizes, strata)
    _fill_empty_places(place_of_group, group_of, sizes, strata, len(shares))
    return place_of_group[group_of]


def _dense(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the groups without gaps, (n,), and their sizes, (groups,)."""
    order = np.argsort(groups, kind="stable")
    starts_group = np.diff(groups[order], prepend=groups[order[:1]] - 1) != 0
    group_of = np.empty(len(groups), dtype=np.int64)
    group_of[order] = np.cumsum(starts_group) - 1
    return group_of, np.bincount(group_of)


def _fill(strata: np.ndarray, missing: np.ndarray, needs_first: np.ndarray) -> np.ndarray:
    """Places of shuffled single samples, so that each stratum comes to its shares within one sample.

    Whole samples are dealt by the floor of each share; the few left over go where the rounding of earlier
    strata owes most, so that the sizes of the parts come out right too.

    Args:
        strata: (singles,) stratum of each sample, in random order.
        missing: (strata, places) samples that each place still wants; may be negative after large groups.
        needs_first: (strata,) whether the first place must be given a sample of the stratum.
    """
    places = np.zeros(len(strata), dtype=np.int64)
    owed = np.zeros(missing.shape[1])
    by_stratum = np.argsort(strata, kind="stable")
    bounds = np.searchsorted(strata[by_stratum], np.arange(len(missing) + 1))
    for stratum in np.unique(strata):
        chosen = by_stratum[bounds[stratum] : bounds[stratum + 1]]
        wanted = np.maximum(missing[stratum], 0)
        # Large groups may have overfilled a place; the singles are then shared among the others.
        wanted = wanted * (len(chosen) / wanted.sum())
        counts = np.floor(wanted + 1e-9).astype(np.int64)
        urgency = np.where(wanted - counts > 1e-9, wanted - counts + owed, -np.inf)
        if needs_first[stratum] and counts[0] == 0:
            urgency[0] = np.inf
        counts[np.argsort(-urgency, kind="stable")[: len(chosen) - counts.sum()]] += 1
        owed += wanted - counts
        places[chosen] = np.repeat(np.arange(len(counts)), counts)
    return places


def _give_first_every_stratum(
    place_of_group: np.ndarray, group_of: np.ndarray, sizes: np.ndarray, strata: np.ndarray
) -> None:
    """Move to the first place the smallest group of each stratum that it has nothing of."""
    seen = np.bincount(strata[place_of_group[group_of] == 0], minlength=int(strata.max()) + 1)
    for stratum in np.flatnonzero(seen == 0):
        candidates = np.unique(group_of[strata == stratum])
        if len(candidates) and not (place_of_group[candidates] == 0).any():
            place_of_group[candidates[sizes[candidates].argmin()]] = 0


def _fill_empty_places(
    place_of_group: np.ndarray, group_of: np.ndarray, sizes: np.ndarray, strata: np.ndarray, place_count: int
) -> None:
    """Move to each empty place the smallest group of the place with most groups, from its largest strata."""
    held = np.bincount(place_of_group, minlength=place_count)
    for place in np.flatnonzero(held == 0):
        giver = int(held.argmax())
        at_giver = place_of_group[group_of] == giver
        left = np.bincount(strata[at_giver], minlength=int(strata.max()) + 1)
        scarcest = np.full(len(sizes), len(strata))
        np.minimum.at(scarcest, group_of, left[strata])
        candidates = np.flatnonzero(place_of_group == giver)
        group = candidates[np.lexsort((-scarcest[candidates], sizes[candidates]))[0]]
        held[giver] -= 1
        held[place] += 1
        place_of_group[group] = place
