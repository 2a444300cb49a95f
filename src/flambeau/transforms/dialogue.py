"""From questions and answers to numbers: hashed pieces of words to compare them, subwords to write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flambeau.transforms.corpus import CorpusPreparation, fit_corpus
from flambeau.transforms.text import TextPreparation

PIECES_OF_A_TEXT = 128
BETWEEN = "\n"
NO_TARGET = -1


@dataclass(frozen=True)
class ChatPreparation:
    """How questions and answers become numbers, and what is known of how sure answers are.

    Args:
        pieces: of questions and answers that are compared.
        tokens: of texts that are written; behind its ids come one for the end of a question and one for the end.
        answers: the texts of each answer; of several one is said.
        tags: of the answers.
        temperature, doubt: divides the similarities, and the logit of knowing no answer; fitted on held-out questions.
        threshold: below it is said that nothing is known.
        unknown: what is said then.
        length: the most ids of a question and its answer together.
    """

    pieces: TextPreparation
    tokens: CorpusPreparation
    answers: tuple[tuple[str, ...], ...]
    tags: tuple[str, ...]
    temperature: float
    doubt: float
    threshold: float
    unknown: str
    length: int

    @property
    def separator(self) -> int:
        """The id behind a question."""
        return self.tokens.cardinality

    @property
    def end(self) -> int:
        """The id behind an answer, which also fills up."""
        return self.tokens.cardinality + 1

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def chat_pieces(buckets: int) -> TextPreparation:
    """Hashed n-grams of a few words and of the letters inside words, which need no training."""
    return TextPreparation(
        columns=("text",), tokens="ngrams", length=PIECES_OF_A_TEXT, buckets=buckets, ngrams=(2, 4)
    )


def fit_chat_tokens(texts: Sequence[str], vocabulary: int, length: int) -> CorpusPreparation:
    """Subwords of the training questions and answers, in small letters as they are compared."""
    return fit_corpus(BETWEEN.join(texts), tokens="subwords", context=length, vocabulary=vocabulary)


def wide_pieces(pieces: TextPreparation, texts: Sequence[str]) -> np.ndarray:
    """(texts, longest) int64 piece numbers; 0 is padding."""
    return pieces.encode(list(texts)).astype(np.int64)


def piece_rarity(questions: np.ndarray, answers: np.ndarray, buckets: int) -> np.ndarray:
    """(buckets + 1,) float32: the logarithm of how few of these texts, (count, longest) each, hold each piece."""
    counts = np.zeros(buckets + 1)
    for row in (*questions, *answers):
        counts[np.unique(row)] += 1
    rarity = np.log((1 + len(questions) + len(answers)) / (1 + counts)) + 1
    rarity[0] = 0.0
    return rarity.astype(np.float32)


def pair_ids(
    tokens: CorpusPreparation, pairs: Sequence[tuple[str, str]], length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ids and targets of (question, answer) pairs as one text each: question, separator, answer, end.

    Of a question at most half the length is read, and an answer is cut where it does not fit. Only the answer and
    its end are targets; all else is `NO_TARGET`.

    Args:
        tokens: of the texts.
        pairs: (question, answer).
        length: of a row.

    Returns:
        Two arrays (pairs, length) int64.
    """
    separator, end = tokens.cardinality, tokens.cardinality + 1
    inputs = np.full((len(pairs), length), end, dtype=np.int64)
    targets = np.full((len(pairs), length), NO_TARGET, dtype=np.int64)
    for row, (question, answer) in enumerate(pairs):
        asked = tokens.encode(question)[: length // 2].tolist()
        said = [*tokens.encode(answer).tolist(), end][: length - len(asked)]
        inputs[row, : len(asked) + 1] = [*asked, separator]
        inputs[row, len(asked) + 1 : len(asked) + len(said)] = said[:-1]
        targets[row, len(asked) : len(asked) + len(said)] = said
    return inputs, targets
