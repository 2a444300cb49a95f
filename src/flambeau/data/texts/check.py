"""Texts that give their target away: a word that stands in all texts of a class and in hardly any other."""

from __future__ import annotations

from collections import Counter

import numpy as np

from flambeau.data.samples import Samples
from flambeau.data.texts.near_texts import plain_words
from flambeau.schema import Finding

_FEWEST_ROWS = 50
_MOST_ROWS = 5_000
_MOST_LETTERS = 4_000
# The same share as for a column of a table that tells its target.
_SURE = 0.98
_FEWEST_OF_A_CLASS = 10
_NAMED = 8


def check_texts(samples: Samples) -> list[Finding]:
    """A warning for each column of texts that names the class of its rows.

    Of many rows, evenly spaced ones are looked at, and of a long text its beginning; rows that are to be tested are
    not. A word tells a class if nearly all texts of the class have it and nearly no other has. It is told where
    words tell all classes, or all but one.
    """
    if samples.columns is None or samples.schema.task != "classification":
        return []
    rows = np.arange(len(samples)) if samples.parts is None else np.flatnonzero(samples.parts != "test")
    if len(rows) < _FEWEST_ROWS:
        return []
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(np.int64))]
    found = []
    for column in samples.schema.used_columns:
        if column.kind != "text":
            continue
        texts = [str(text or "")[:_MOST_LETTERS] for text in samples.columns[column.name][rows].tolist()]
        words = telling_words(texts, samples.targets[rows], samples.schema.classes)
        if words:
            shown = ", ".join(f"'{word}' tells {name}" for name, word in list(words.items())[:_NAMED])
            message = (
                f"words of '{column.name}' alone tell the class almost perfectly: {shown}; if they were written there "
                "because the class was known, the score means nothing"
            )
            found.append(Finding("warning", "telling-words", message, tuple(words.values())))
    return found


def telling_words(texts: list[str], targets: np.ndarray, classes: tuple[str, ...]) -> dict[str, str]:
    """Class → a word that tells it; empty where words do not tell every class but one.

    Args:
        texts: (n,) of rows.
        targets: (n,) class indices.
        classes: their names.
    """
    having: dict[str, Counter[int]] = {}
    for text, target in zip(texts, targets.tolist(), strict=True):
        for word in set(plain_words(text).split()):
            having.setdefault(word, Counter())[target] += 1
    counts = np.bincount(targets, minlength=len(classes))
    there = [place for place in range(len(classes)) if counts[place] >= _FEWEST_OF_A_CLASS]
    found: dict[str, str] = {}
    for place in there:
        own, others = int(counts[place]), len(texts) - int(counts[place])
        telling = [
            (held[place], word)
            for word, held in having.items()
            if held[place] >= _SURE * own and held.total() - held[place] <= (1 - _SURE) * others
        ]
        if telling:
            name = classes[place]
            parts = set(plain_words(name).split())
            # its own name first, if it is among them
            found[name] = max(telling, key=lambda one: (one[1] in parts, one))[1]
    return found if len(there) > 1 and len(found) >= len(there) - 1 else {}
