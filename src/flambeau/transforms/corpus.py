"""From a plain text to token ids and back: characters, bytes, or subwords of a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from flambeau.transforms.subwords import (
    load_subwords,
    subword_count,
    subword_ids,
    subword_text,
    train_subwords,
)

UNKNOWN_CHARACTER = "\ufffd"
BYTES = 256
LARGEST_CHARACTER = 0x10FFFF
MOST_CHARACTERS_TO_LEARN_FROM = 20_000_000


@dataclass(frozen=True)
class CorpusPreparation:
    """How a text becomes token ids.

    Args:
        tokens: "characters", "bytes" or "subwords".
        context: tokens that the model looks back on.
        vocabulary: the known characters in the order of their code points; their ids begin at 1, 0 is any other.
        tokenizer: of subwords: the JSON of the library `tokenizers`.
    """

    tokens: str
    context: int
    vocabulary: tuple[str, ...] = ()
    tokenizer: str = ""

    @cached_property
    def cardinality(self) -> int:
        """How many ids there are."""
        if self.tokens == "characters":
            return len(self.vocabulary) + 1
        return BYTES if self.tokens == "bytes" else subword_count(self._subwords)

    @cached_property
    def _subwords(self) -> Tokenizer:
        return load_subwords(self.tokenizer)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def encode(self, text: str) -> np.ndarray:
        """(tokens,) int32 ids of a text."""
        if self.tokens == "characters":
            return encode_characters(text, self.vocabulary)
        if self.tokens == "bytes":
            return np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int32)
        return subword_ids(self._subwords, text)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; bytes that are no UTF-8 become replacement characters."""
        if self.tokens == "characters":
            known = (UNKNOWN_CHARACTER, *self.vocabulary)
            return "".join(known[index] for index in ids)
        if self.tokens == "bytes":
            return bytes(ids).decode("utf-8", "replace")
        return subword_text(self._subwords, ids)


def encode_characters(text: str, vocabulary: tuple[str, ...]) -> np.ndarray:
    """(characters,) int32: 1 + place in the sorted vocabulary, 0 for characters that are not in it."""
    # an unpaired surrogate, which no encoding can write, is any other character too
    points = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    table = np.zeros(LARGEST_CHARACTER + 1, dtype=np.int32)
    table[[ord(character) for character in vocabulary]] = np.arange(1, len(vocabulary) + 1)
    return table[points]


def fit_corpus(text: str, *, tokens: str, context: int, vocabulary: int = 0) -> CorpusPreparation:
    """Learn what the tokens of a text are.

    Args:
        text: the training part alone.
        tokens: "characters", "bytes" or "subwords".
        context: tokens that the model looks back on.
        vocabulary: how many subwords there are, learnt on the first 20 million characters; fewer where no further pairs
            repeat.

    Raises:
        ValueError: an empty text, or another kind of token.
    """
    if not text:
        raise ValueError("there is no text to learn tokens from: got 0 characters, expected at least 1")
    if tokens == "characters":
        points = np.unique(np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32))
        return CorpusPreparation(tokens, context, vocabulary=tuple(chr(point) for point in points))
    if tokens == "bytes":
        return CorpusPreparation(tokens, context)
    if tokens == "subwords":
        learnt = train_subwords([text[:MOST_CHARACTERS_TO_LEARN_FROM]], vocabulary, exact=True)
        return CorpusPreparation(tokens, context, tokenizer=learnt)
    raise ValueError(f"unknown kind of token: got {tokens!r}, expected characters, bytes or subwords")
