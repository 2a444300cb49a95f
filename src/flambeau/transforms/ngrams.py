"""Numbers of n-grams by hashing: words and their neighbours, and pieces of words, of many texts at once.

The hash is a polynomial modulo a prime (Karp and Rabin 1987) on the bytes of UTF-8. Every product and sum stays below
2^63, so whoever can add, multiply and divide 64-bit integers gets the same numbers, a graph in a file too.
Letters A to Z count as small ones. A word is a run of letters, digits and bytes from 128 on (all other scripts and
emoji); any other mark that can be seen is a word by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# The largest prime below 2^31, and numbers below it that were drawn once.
HASH_PRIME = 2147483647
HASH_BASE = 1000003579
HASH_STEP = 1566083941
SHORTEST_INSIDE = 3
# At the ends of a word, so that pieces at its ends differ from those in its middle.
WORD_EDGE = 32


def byte_classes() -> np.ndarray:
    """(256,) uint8: 0 for what stands between words, 1 for what makes words, 2 for a mark by itself."""
    classes = np.zeros(256, dtype=np.uint8)
    classes[33:127] = 2
    for first, last in ((48, 57), (65, 90), (97, 122), (128, 255)):
        classes[first : last + 1] = 1
    return classes


def hash_powers(count: int) -> np.ndarray:
    """(count,) int64: the powers of the base modulo the prime, from the power 1 on."""
    powers = np.empty(count, dtype=np.int64)
    power = 1
    for place in range(count):
        power = power * HASH_BASE % HASH_PRIME
        powers[place] = power
    return powers


def find_words(raw: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The words of texts.

    Returns:
        All bytes in small letters (n,) uint8, with one blank behind each text; first byte of each word, number of its
        bytes, and its text, each (words,) int64.
    """
    data = np.frombuffer(b" ".join([*raw, b""]), dtype=np.uint8)
    data = np.where((data >= 65) & (data <= 90), data + 32, data).astype(np.uint8)
    classes = byte_classes()[data]
    before = np.concatenate([np.zeros(1, dtype=np.uint8), classes[:-1]])
    starts = np.flatnonzero((classes == 2) | ((classes == 1) & (before != 1)))
    inside = np.flatnonzero((classes != 1) & (before == 1))
    # A word of letters ends where another class begins; a mark is one byte long.
    ends = starts + 1
    letters = classes[starts] == 1
    ends[letters] = inside[: int(letters.sum())]
    lengths = np.array([len(text) + 1 for text in raw], dtype=np.int64)
    return data, starts, ends - starts, np.searchsorted(np.cumsum(lengths), starts, side="right")


def hash_ngrams(
    raw: Sequence[bytes], *, words: int, inside: int, buckets: int
) -> tuple[np.ndarray, np.ndarray]:
    """The hashed n-grams of each text, in the order of the words that they begin with.

    Args:
        raw: each text in UTF-8.
        words: n-grams of 1 up to so many words.
        inside: n-grams of 3 up to so many bytes inside a word with its two edges; below 3 for none.
        buckets: how many numbers there are.

    Returns:
        Numbers from 1 to `buckets` of all texts one behind the other, int64; how many each text has, (texts,) int64.
    """
    data, starts, sizes, owners = find_words(raw)
    if not len(starts):
        return np.zeros(0, dtype=np.int64), np.zeros(len(raw), dtype=np.int64)
    firsts = np.cumsum(sizes) - sizes
    place = np.arange(int(sizes.sum())) - np.repeat(firsts, sizes)
    letters = data[np.repeat(starts, sizes) + place].astype(np.int64)
    powers = hash_powers(int(sizes.max()))
    word = np.add.reduceat((letters + 1) * powers[place], firsts) % HASH_PRIME
    hashes, of_word = [word], [np.arange(len(word))]
    together = word
    for size in range(2, words + 1):
        # The hash of a run of words is made from that of the run that is one word shorter.
        together = (together[:-1] * HASH_STEP + word[size - 1 :]) % HASH_PRIME
        alone = np.flatnonzero(owners[: len(together)] == owners[size - 1 :])
        hashes.append((together[alone] + size) % HASH_PRIME)
        of_word.append(alone)
    if inside >= SHORTEST_INSIDE:
        pieces, their_words = _hash_inside(letters, place, sizes, inside)
        hashes.append(pieces)
        of_word.append(their_words)
    numbers, begins = np.concatenate(hashes), np.concatenate(of_word)
    order = np.argsort(begins, kind="stable")
    counts = np.bincount(owners[begins], minlength=len(raw)).astype(np.int64)
    return 1 + numbers[order] % buckets, counts


def _hash_inside(
    letters: np.ndarray, place: np.ndarray, sizes: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of pieces of words with their edges, and the word of each; letters one behind the other, (n,) int64."""
    wide = sizes + 2
    begins = np.cumsum(wide) - wide
    framed = np.full(int(wide.sum()), WORD_EDGE, dtype=np.int64)
    framed[np.repeat(begins, sizes) + 1 + place] = letters
    of_letter = np.repeat(np.arange(len(sizes)), wide)
    left = np.repeat(begins + wide, wide) - np.arange(len(framed))
    powers = hash_powers(longest)
    hashes, words = [], []
    total = np.zeros(len(framed), dtype=np.int64)
    for size in range(1, longest + 1):
        rolled = framed[size - 1 :] * powers[size - 1]
        total = total[: len(rolled)] + rolled
        if size >= SHORTEST_INSIDE:
            whole = left[: len(total)] >= size
            # Pieces are moved away from words by their size, so that "ten" in a word is not the word "ten".
            hashes.append((total[whole] + size * HASH_STEP) % HASH_PRIME)
            words.append(of_letter[: len(total)][whole])
    return np.concatenate(hashes), np.concatenate(words)
