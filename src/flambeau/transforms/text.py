"""Texts to rows of token numbers: hashed n-grams, characters, bytes, words or subwords. 0 is padding everywhere.

What is learned from data (vocabularies, a tokenizer) is learned once, on training rows, and kept as plain values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from flambeau.transforms.ngrams import hash_ngrams
from flambeau.transforms.subwords import load_subwords, subword_count, subword_tokens, train_subwords

TOKENS = ("ngrams", "characters", "bytes", "words", "subwords")
UNKNOWN_TOKEN = 1
BYTES_A_TOKEN = 16
TEXTS_A_BLOCK = 512
BETWEEN_TEXTS = "\n"
WORD_PATTERN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class TextPreparation:
    """How the text columns of a table become one row of token numbers a sample.

    Args:
        columns: the text columns, joined in this order with a line break.
        tokens: "ngrams" (hashed, order within the text is kept roughly), "characters", "bytes", "words" or "subwords".
        length: the most tokens of a sample; what is behind them is left out.
        vocabulary: of characters or words, the most frequent first; number i + 2. 1 is unknown.
        buckets: of hashed n-grams, which have the numbers 1 to `buckets`.
        ngrams: n-grams of up to so many words, and of 3 up to so many bytes inside a word; 0 for none of these.
        tokenizer: of subwords: the JSON of the `tokenizers` library, whose numbers are moved by one.
    """

    columns: tuple[str, ...]
    tokens: str
    length: int
    vocabulary: tuple[str, ...] = ()
    buckets: int = 0
    ngrams: tuple[int, int] = (2, 0)
    tokenizer: str = ""

    @cached_property
    def cardinality(self) -> int:
        """How many token numbers there are, padding included."""
        if self.tokens == "ngrams":
            return self.buckets + 1
        if self.tokens == "bytes":
            return 257
        if self.tokens == "subwords":
            return subword_count(self._subwords) + 1
        return len(self.vocabulary) + 2

    @cached_property
    def _subwords(self) -> Tokenizer:
        return load_subwords(self.tokenizer, self.length)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.vocabulary, start=2)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TextPreparation:
        """From what `dataclasses.asdict` gives. Raises TypeError or KeyError for other dictionaries."""
        ngrams = data["ngrams"]
        lists = {"columns": tuple(data["columns"]), "vocabulary": tuple(data["vocabulary"])}
        return cls(**{**data, **lists, "ngrams": (ngrams[0], ngrams[1])})

    def join(self, columns: Mapping[str, np.ndarray]) -> list[str]:
        """The text of each row, (rows,) of str or None a column; a missing text is empty."""
        return join_texts(columns, self.columns)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Token numbers of each text: (rows, longest) int32, at least one wide; 0 is padding, behind the tokens."""
        if self.tokens == "subwords":
            return subword_tokens(self._subwords, texts, BYTES_A_TOKEN * self.length)
        if self.tokens == "ngrams":
            return ngram_tokens(texts, self.length, self.buckets, self.ngrams)
        if self.tokens == "characters":
            return character_tokens(texts, self.length, self.vocabulary)
        if self.tokens == "bytes":
            return byte_tokens(texts, self.length)
        return word_tokens(texts, self.length, self._index)


def join_texts(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> list[str]:
    """The texts of several columns, each (rows,) of str or None, as one text a row."""
    if len(names) == 1:
        return [text or "" for text in columns[names[0]].tolist()]
    rows = zip(*(columns[name].tolist() for name in names), strict=True)
    return [BETWEEN_TEXTS.join(text or "" for text in row) for row in rows]


def ngram_tokens(texts: Sequence[str], length: int, buckets: int, ngrams: tuple[int, int]) -> np.ndarray:
    """Hashed n-grams of words and of bytes inside words; (rows, longest) int32, 0 is padding.

    Of a text, the first 16 bytes a token are read.
    """
    most = BYTES_A_TOKEN * length
    flats, counts = [], []
    for start in range(0, len(texts), TEXTS_A_BLOCK):
        block = texts[start : start + TEXTS_A_BLOCK]
        raw = [text[:most].encode("utf-8", "replace")[:most] for text in block]
        flat, count = hash_ngrams(raw, words=ngrams[0], inside=ngrams[1], buckets=buckets)
        flats.append(flat)
        counts.append(count)
    return pad_tokens(flats, counts, length)


def character_tokens(texts: Sequence[str], length: int, vocabulary: Sequence[str]) -> np.ndarray:
    """Characters by their place in a vocabulary; (rows, longest) int32, 0 is padding, 1 unknown."""
    cut = [text[:length] for text in texts]
    points = np.frombuffer("".join(cut).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    known = np.array([ord(character) for character in vocabulary], dtype=np.uint32)
    order = np.argsort(known)
    places = np.searchsorted(known[order], points)
    places[places == len(known)] = 0
    if len(known):
        found = order[places]
        numbers = np.where(known[found] == points, found + 2, UNKNOWN_TOKEN)
    else:
        numbers = np.full(len(points), UNKNOWN_TOKEN)
    return pad_tokens([numbers], [np.array([len(text) for text in cut], dtype=np.int64)], length)


def byte_tokens(texts: Sequence[str], length: int) -> np.ndarray:
    """UTF-8 bytes moved by one; (rows, longest) int32, 0 is padding."""
    raw = [text[:length].encode("utf-8", "replace")[:length] for text in texts]
    numbers = np.frombuffer(b"".join(raw), dtype=np.uint8).astype(np.int64) + 1
    return pad_tokens([numbers], [np.array([len(text) for text in raw], dtype=np.int64)], length)


def split_words(text: str, length: int) -> list[str]:
    """The first words and marks of a text, in lower case; of a text, the first 16 characters a word are read."""
    return WORD_PATTERN.findall(text[: BYTES_A_TOKEN * length].lower())[:length]


def word_tokens(texts: Sequence[str], length: int, index: Mapping[str, int]) -> np.ndarray:
    """Words and marks by an index word → number; (rows, longest) int32, 0 is padding, 1 unknown."""
    rows = [split_words(text, length) for text in texts]
    numbers = np.array([index.get(word, UNKNOWN_TOKEN) for word in chain.from_iterable(rows)], dtype=np.int64)
    return pad_tokens([numbers], [np.array([len(row) for row in rows], dtype=np.int64)], length)


def pad_tokens(flats: Sequence[np.ndarray], counts: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Tokens of all texts one behind the other, with how many each text has, as (rows, longest) int32."""
    numbers = np.concatenate([np.zeros(0, dtype=np.int64), *flats])
    whole = np.concatenate([np.zeros(0, dtype=np.int64), *counts])
    kept = np.minimum(whole, length)
    longest = max(1, int(kept.max(initial=0)))
    tokens = np.zeros((len(whole), longest), dtype=np.int32)
    places = np.arange(longest)
    filled = places < kept[:, None]
    starts = np.cumsum(whole) - whole
    tokens[filled] = numbers[(starts[:, None] + places)[filled]]
    return tokens


def fit_text(
    columns: Mapping[str, np.ndarray],
    names: Sequence[str],
    *,
    tokens: str = "ngrams",
    length: int = 256,
    vocabulary: int = 20000,
    buckets: int = 2**17,
    ngrams: tuple[int, int] = (2, 0),
) -> TextPreparation:
    """Learn the tokens of texts from training rows.

    Args:
        columns: name → (rows,) object of str or None.
        names: the text columns, in order.
        tokens: see `TextPreparation`.
        length: the most tokens of a sample.
        vocabulary: the most characters, words or subwords; of equally frequent ones the first in order is kept.
        buckets: of hashed n-grams.
        ngrams: of words up to, of bytes inside words up to.

    Raises:
        ValueError: no column, an absent column, unknown tokens, a length, vocabulary or number of buckets below 1.
    """
    absent = [name for name in names if name not in columns]
    if absent or not names:
        raise ValueError(f"texts need columns that are there, got {list(names)} of {', '.join(columns)}")
    if tokens not in TOKENS:
        raise ValueError(f"tokens must be one of {', '.join(TOKENS)}, got '{tokens}'")
    if min(length, vocabulary, buckets) < 1:
        raise ValueError(
            f"length, vocabulary and buckets must be 1 or more, got {length}, {vocabulary}, {buckets}"
        )
    if tokens == "ngrams":
        return TextPreparation(tuple(names), tokens, length, buckets=buckets, ngrams=(ngrams[0], ngrams[1]))
    texts = join_texts(columns, names)
    if tokens == "bytes":
        return TextPreparation(tuple(names), tokens, length)
    if tokens == "subwords":
        return TextPreparation(tuple(names), tokens, length, tokenizer=train_subwords(texts, vocabulary))
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text[:length] if tokens == "characters" else split_words(text, length))
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:vocabulary]
    return TextPreparation(tuple(names), tokens, length, vocabulary=tuple(token for token, _ in ranked))
