"""The input of a file that takes texts: which integers they are, and texts as those integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flambeau.transforms.text import TextPreparation

TEXT_MEANING = {
    "ngrams": "the bytes of the text in UTF-8, zeros behind the end",
    "bytes": "the bytes of the text in UTF-8, zeros behind the end",
    "characters": "the code point of each character, zeros behind the end",
    "words": "the number of each word or mark, zeros behind the end; the words stand beside this file, in {file}",
    "subwords": "the number of each subword plus one, zeros behind the end; the tokenizer stands beside this file, "
    "in {file}",
}
UNIT = {
    "ngrams": "bytes",
    "bytes": "bytes",
    "characters": "characters",
    "words": "tokens",
    "subwords": "tokens",
}
# Of the example, so that no row is shorter than two numbers: torch takes a width of 1 for a constant.
LEAST_WIDTH = 2


def text_meaning(text: TextPreparation, file: str) -> str:
    """What the numbers are, in words; `file` is the one with the vocabulary."""
    joined = ", columns joined by a line break" if len(text.columns) > 1 else ""
    return TEXT_MEANING[text.tokens].format(file=file) + joined


def text_as_raw(text: TextPreparation, texts: Sequence[str]) -> np.ndarray:
    """Texts as the integers of the file: (rows, longest) uint8 or int32, zeros behind each text."""
    if text.tokens in ("ngrams", "bytes"):
        rows = [np.frombuffer(one.encode("utf-8", "replace"), dtype=np.uint8) for one in texts]
        return _padded(rows, np.dtype(np.uint8))
    if text.tokens == "characters":
        encoded = (one.encode("utf-32-le", "surrogatepass") for one in texts)
        return _padded([np.frombuffer(one, dtype=np.int32) for one in encoded], np.dtype(np.int32))
    tokens = text.encode(texts)
    return tokens if tokens.shape[1] >= LEAST_WIDTH else np.pad(tokens, ((0, 0), (0, LEAST_WIDTH - 1)))


def _padded(rows: Sequence[np.ndarray], dtype: np.dtype) -> np.ndarray:
    width = max(LEAST_WIDTH, *(len(row) for row in rows)) if rows else LEAST_WIDTH
    result = np.zeros((len(rows), width), dtype=dtype)
    for place, row in enumerate(rows):
        result[place, : len(row)] = row
    return result
