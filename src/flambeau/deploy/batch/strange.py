"""What is strange about the rows of a batch, as one text a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from flambeau.deploy.familiar.strange import Oddity

_MOST_TOLD = 5


def tell_rows(oddities: Iterable[Oddity], rows: int) -> list[str | None]:
    """One text a row that says what is strange about it; None for a row like the training rows."""
    told: dict[int, list[str]] = defaultdict(list)
    for oddity in oddities:
        told[oddity.row].append(oddity.sentence)
    return [join_reasons(told[row]) if row in told else None for row in range(rows)]


def join_reasons(reasons: Sequence[str]) -> str:
    """Reasons as one text; where they are many, the first of them.

    >>> join_reasons(["'area' is missing", "'colour' is missing"])
    "'area' is missing; 'colour' is missing"
    """
    more = len(reasons) - _MOST_TOLD
    return "; ".join(reasons[:_MOST_TOLD]) + (f"; {more} more" if more > 0 else "")
