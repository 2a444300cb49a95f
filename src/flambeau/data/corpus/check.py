"""What a plain text alone tells before a language model learns it: how much there is, and what repeats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flambeau.data.tables.spelling import number_of
from flambeau.schema import Finding

# Shorter lines, such as names of speakers, repeat in every honest text.
SHORTEST_LINE = 40
LEAST_SHARE = 0.05
SHOWN, SHOWN_LETTERS = 5, 60


def check_text(train: Sequence[str], test: str) -> Iterator[Finding]:
    """How much text there is, and whether the tested end repeats lines that stand before it.

    Args:
        train: pieces of the parts before it.
        test: the tested end.
    """
    characters = sum(map(len, train)) + len(test)
    lines = sum(piece.count("\n") + 1 for piece in (*train, test))
    different = len(set().union(*train, test))
    words = f"{number_of(characters, 'character')}, {different:,} different ones"
    message = f"{words}, in {number_of(lines, 'line')}"
    yield Finding("info", "text", message)
    known = {line for piece in train for line in _long_lines(piece)}
    tested = list(_long_lines(test))
    repeated = [line for line in tested if line in known]
    if tested and len(repeated) >= max(2, LEAST_SHARE * len(tested)):
        message = (
            f"{len(repeated):,} of {number_of(len(tested), 'long line')} of the tested end stand in the training part, "
            "too: the score is better than it will be on new text"
        )
        shown = tuple(line[:SHOWN_LETTERS] for line in dict.fromkeys(repeated))[:SHOWN]
        yield Finding("warning", "repeated-lines", message, shown)


def _long_lines(text: str) -> Iterator[str]:
    return (line for raw in text.splitlines() if len(line := raw.strip()) >= SHORTEST_LINE)
