"""Finds texts that are nearly equal: hashes of their pieces propose pairs, the share of common pieces decides.

A text's pieces are its runs of five bytes, without case, marks and blanks. Texts whose smallest hashes agree in a band
are compared (MinHash, Broder 1997, with bands, Leskovec et al. 2014, chapter 3), each with a bounded number of others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

SIMILAR = 0.8
MOST_TEXTS = 200_000
MOST_LETTERS = 4_000
_PIECE = 5
_BANDS, _HASHES_A_BAND = 12, 3
_NEIGHBOURS = 8
_MOST_PAIRS = 400_000
_TEXTS_A_BLOCK = 1_000
_WORD = re.compile(r"\w+")


def plain_words(text: str) -> str:
    """The words of a text in small letters, with one blank between."""
    return " ".join(_WORD.findall(text.lower()))


def find_near_texts(
    texts: Sequence[str], rows: np.ndarray
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pairs (representative, member) of texts that differ in case, marks and blanks alone, and of nearly equal ones.

    No chains: each member was compared with its representative, which comes first. Of more than 200,000 texts that
    differ, nearly equal ones are looked for among the first; of a long text, its beginning is compared.
    Empty texts are in no pair.

    Args:
        texts: of all samples.
        rows: increasing positions of the texts to compare, such as those without exact copies.
    """
    firsts: dict[bytes, int] = {}
    beginnings: list[str] = []
    same: list[tuple[int, int]] = []
    for row in rows.tolist():
        words = plain_words(texts[row])
        if not words:
            continue
        first = firsts.setdefault(
            hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=16).digest(), row
        )
        if first != row:
            same.append((first, row))
        elif len(beginnings) < MOST_TEXTS:
            beginnings.append(words[:MOST_LETTERS])
    distinct = beginnings
    places = np.fromiter(firsts.values(), dtype=np.int64)[:MOST_TEXTS]
    if len(distinct) < 2:
        return same, []
    pieces, counts = _pieces(distinct)
    firsts_, seconds = _candidates(_signatures(pieces, counts))
    starts = np.cumsum(counts) - counts
    taken = np.zeros(len(distinct), dtype=bool)
    near: list[tuple[int, int]] = []
    for one, other in zip(firsts_.tolist(), seconds.tolist(), strict=True):
        if taken[one] or taken[other]:
            continue
        smaller, larger = sorted((int(counts[one]), int(counts[other])))
        if smaller < SIMILAR * larger:
            continue
        left = pieces[starts[one] : starts[one] + counts[one]]
        right = pieces[starts[other] : starts[other] + counts[other]]
        common = len(np.intersect1d(left, right, assume_unique=True))
        if common >= SIMILAR * (smaller + larger - common):
            taken[other] = True
            near.append((int(places[one]), int(places[other])))
    return same, near


def _pieces(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The different pieces of each text, sorted, as uint32 hashes one behind the other; how many each text has."""
    flats, counts = [], []
    for begin in range(0, len(texts), _TEXTS_A_BLOCK):
        block = [
            text.encode("utf-8", "replace").ljust(_PIECE) for text in texts[begin : begin + _TEXTS_A_BLOCK]
        ]
        lengths = np.array([len(raw) for raw in block])
        data = np.frombuffer(b"".join(block), dtype=np.uint8).astype(np.uint32)
        total = np.zeros(len(data) - _PIECE + 1, dtype=np.uint32)
        for place in range(_PIECE):
            total = total * np.uint32(0x01000193) + data[place : place + len(total)]
        total ^= total >> np.uint32(15)
        total *= np.uint32(0x85EBCA6B)
        owners = np.repeat(np.arange(len(block), dtype=np.uint64), lengths)
        # A piece belongs to one text from its first byte to its last.
        whole = owners[: len(total)] == owners[_PIECE - 1 :]
        keys = np.unique((owners[: len(total)] << np.uint64(32) | total)[whole])
        flats.append((keys & np.uint64(0xFFFFFFFF)).astype(np.uint32))
        counts.append(np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(block)))
    return np.concatenate(flats), np.concatenate(counts).astype(np.int64)


def _signatures(pieces: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(texts, bands · hashes) uint32: the smallest of each of many hashes over a text's pieces."""
    generator = np.random.default_rng(0)
    number = _BANDS * _HASHES_A_BAND
    factors = generator.integers(0, 2**31, number).astype(np.uint32) * np.uint32(2) + np.uint32(1)
    added = generator.integers(0, 2**32, number, dtype=np.uint64).astype(np.uint32)
    signatures = np.empty((len(counts), number), dtype=np.uint32)
    starts = np.cumsum(counts) - counts
    for begin in range(0, len(counts), _TEXTS_A_BLOCK):
        block = slice(begin, begin + _TEXTS_A_BLOCK)
        first, last = starts[block][0], starts[block][-1] + counts[block][-1]
        own = pieces[first:last]
        for place in range(number):
            hashed = own * factors[place] + added[place]
            hashed ^= hashed >> np.uint32(16)
            signatures[block, place] = np.minimum.reduceat(
                hashed * np.uint32(0xC2B2AE35), starts[block] - first
            )
    return signatures


def _candidates(signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (smaller, larger) of texts whose smallest hashes agree in a band, sorted; a bounded number of them."""
    count = len(signatures)
    found = [np.empty(0, dtype=np.int64)]
    for band in range(_BANDS):
        own = signatures[:, band * _HASHES_A_BAND : (band + 1) * _HASHES_A_BAND]
        order = np.lexsort(own.T)
        values = own[order]
        for offset in range(1, min(_NEIGHBOURS, count - 1) + 1):
            alike = np.flatnonzero((values[offset:] == values[:-offset]).all(axis=1))
            if not len(alike):
                break
            one, other = order[alike], order[alike + offset]
            found.append(np.minimum(one, other) * count + np.maximum(one, other))
    keys = np.unique(np.concatenate(found))[:_MOST_PAIRS]
    return keys // count, keys % count
