"""Few combinations of levels in which every pair of levels of two factors occurs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any


def pairwise(factors: Mapping[str, Sequence[Any]], seed: int = 0) -> list[dict[str, int]]:
    """Few combinations of levels in which every pair of levels of two factors occurs (greedy, as in AETG).

    Source: Cohen et al. 1997, "The AETG system: an approach to testing based on combinatorial design".
    """
    names = list(factors)
    draw = random.Random(seed)
    missing = {
        ((one, i), (two, j))
        for one, two in itertools.combinations(names, 2)
        for i in range(len(factors[one]))
        for j in range(len(factors[two]))
    }
    cases = []
    while missing:
        candidates = []
        for _ in range(40):
            chosen = dict(draw.choice(sorted(missing)))
            for name in draw.sample(names, len(names)):
                if name not in chosen:
                    levels = range(len(factors[name]))
                    chosen[name] = max(
                        levels, key=lambda level: (_gain(chosen, name, level, missing), draw.random())
                    )
            candidates.append(chosen)
        best = max(candidates, key=lambda case: len(_pairs(case, names) & missing))
        missing -= _pairs(best, names)
        cases.append({name: best[name] for name in names})
    return cases


def _pairs(case: Mapping[str, int], names: Sequence[str]) -> set[tuple[tuple[str, int], tuple[str, int]]]:
    return {((one, case[one]), (two, case[two])) for one, two in itertools.combinations(names, 2)}


def _gain(case: Mapping[str, int], name: str, level: int, missing: set[Any]) -> int:
    return sum(
        ((other, i), (name, level)) in missing or ((name, level), (other, i)) in missing
        for other, i in case.items()
    )
