"""Raw texts to rows of token numbers inside an exported graph; equal to `TextPreparation.encode`.

A graph has no strings. It takes the bytes of UTF-8 (n-grams, bytes), code points (characters), or token numbers (words,
subwords), padded with zeros behind. What comes out is always as wide as the longest text that the model takes: models
leave padding out exactly, and nets that go step by step can be written only for a fixed number of steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from flambeau.transforms.ngrams import (
    HASH_PRIME,
    HASH_STEP,
    SHORTEST_INSIDE,
    WORD_EDGE,
    byte_classes,
    hash_powers,
)
from flambeau.transforms.text import BYTES_A_TOKEN, UNKNOWN_TOKEN, TextPreparation

# More than the longest n-gram and piece, so that shifted rows never end before their width.
MARGIN = 32


def text_module(text: TextPreparation) -> nn.Module:
    """The module for a kind of tokens: raw (batch, width) integers → tokens (batch, text.length) int32."""
    if text.tokens == "ngrams":
        return HashedNgrams(text.length, text.buckets, text.ngrams)
    if text.tokens == "characters":
        return KnownCharacters(text.length, text.vocabulary)
    return MovedNumbers(text.length, 1 if text.tokens == "bytes" else 0)


class MovedNumbers(nn.Module):
    """Bytes moved by one, or token numbers as they are, in rows of a fixed width.

    Args:
        length: the width of the result.
        move: 1 for bytes, so that a byte 0 inside of a text is no padding; 0 for token numbers.

    Shapes: (batch, any) integers → (batch, length) int32.
    """

    def __init__(self, length: int, move: int) -> None:
        super().__init__()
        self.length, self.move = length, move

    def forward(self, raw: Tensor) -> Tensor:
        numbers = raw.to(torch.int64)
        if self.move:
            numbers = torch.where(_within_text(numbers), numbers + self.move, torch.zeros_like(numbers))
        return _of_width(numbers, self.length)


class KnownCharacters(nn.Module):
    """Code points to their place in a vocabulary, found by bisection.

    Args:
        length: the width of the result.
        vocabulary: characters in the order of their numbers, the first is 2; 1 is unknown.

    Shapes: (batch, any) integers → (batch, length) int32.
    """

    known: Tensor
    numbers: Tensor

    def __init__(self, length: int, vocabulary: tuple[str, ...]) -> None:
        super().__init__()
        self.length = length
        ordered = sorted((ord(character), number) for number, character in enumerate(vocabulary, start=2))
        # before all others: what is below the first
        self.register_buffer("known", torch.tensor([-1, *(point for point, _ in ordered)]))
        self.register_buffer("numbers", torch.tensor([UNKNOWN_TOKEN, *(number for _, number in ordered)]))
        self.steps = [2**power for power in reversed(range(len(ordered).bit_length()))]

    def forward(self, raw: Tensor) -> Tensor:
        points = raw.to(torch.int64)
        place = torch.zeros_like(points)
        last = len(self.known) - 1
        for step in self.steps:
            tried = (place + step).clamp(max=last)
            place = torch.where(_pick(self.known, tried) <= points, tried, place)
        unknown = torch.full_like(points, UNKNOWN_TOKEN)
        numbers = torch.where(_pick(self.known, place) == points, _pick(self.numbers, place), unknown)
        return _of_width(torch.where(_within_text(points), numbers, torch.zeros_like(numbers)), self.length)


class HashedNgrams(nn.Module):
    """Bytes of UTF-8 to numbers of hashed n-grams, as `flambeau.transforms.ngrams.hash_ngrams` finds them.

    Word by word: hashes of words are differences of a running sum, each n-gram knows its place in the row from the
    number of n-grams before it, and one scatter puts all of them there. Every number stays below 2^63.

    Args:
        length: the width of the result; n-grams behind it are left out.
        buckets: n-grams have the numbers 1 to `buckets`.
        ngrams: of words up to so many; of bytes inside words from 3 up to so many.

    Shapes: (batch, bytes) integers 0 to 255 → (batch, length) int32.
    """

    classes: Tensor
    powers: Tensor

    def __init__(self, length: int, buckets: int, ngrams: tuple[int, int]) -> None:
        super().__init__()
        self.length, self.buckets, self.ngrams = length, buckets, ngrams
        self.most = BYTES_A_TOKEN * length
        self.register_buffer("classes", torch.from_numpy(byte_classes()).to(torch.int64))
        self.first_powers: list[int] = hash_powers(MARGIN).tolist()
        self.register_buffer("powers", torch.from_numpy(hash_powers(max(self.most, MARGIN))))

    def forward(self, raw: Tensor) -> Tensor:
        wide = functional.pad(raw.to(torch.int64), (1, MARGIN))
        at = torch.ones_like(wide).cumsum(dim=1) - 1
        capital = (wide >= 65) & (wide <= 90)
        # the text is cut where `ngram_tokens` cuts it: a zero stands between words
        letters = torch.where(at <= self.most, wide + 32 * capital.to(torch.int64), torch.zeros_like(wide))
        kind = _pick(self.classes, letters)
        inside = kind > 0
        goes_on = ((kind == 1) & (_shifted(kind, -1) == 1)).to(torch.int64)
        starts = inside & (goes_on == 0)
        ends = inside & (_shifted(goes_on, 1) == 0)
        word = starts.to(torch.int64).cumsum(dim=1) - 1
        exists = at < starts.to(torch.int64).sum(dim=1, keepdim=True)
        first = torch.where(exists, _by_word(at, starts, word, at), torch.zeros_like(at))
        behind = torch.where(exists, _by_word(at + 1, ends, word, at), torch.zeros_like(at))
        of_byte = word.clamp(min=0)
        place = torch.where(inside, at - first.gather(1, of_byte), torch.zeros_like(at))
        terms = torch.where(inside, (letters + 1) * _pick(self.powers, place), torch.zeros_like(at))
        before = _shifted(terms.cumsum(dim=1), -1)
        hashes = (before.gather(1, behind) - before.gather(1, first)) % HASH_PRIME
        places, values, pieces_at = self._words(hashes, exists, behind - first)
        if self.ngrams[1] >= SHORTEST_INSIDE:
            base, end = pieces_at.gather(1, of_byte), behind.gather(1, of_byte)
            more_places, more_values = self._pieces(letters, inside, starts, at, place, base, end)
            places, values = places + more_places, values + more_values
        numbers = 1 + torch.cat(values, dim=1) % self.buckets
        row = functional.pad(
            torch.zeros_like(at[:, :1]), (0, self.length)
        )  # the last place is for what is cut
        row = row.scatter(1, torch.cat(places, dim=1).clamp(max=self.length), numbers)
        return row[:, : self.length].to(torch.int32)

    def _words(
        self, hashes: Tensor, exists: Tensor, sizes: Tensor
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Places and hashes of n-grams of words, and the place of each word's first piece; all (batch, words)."""
        there = [_shifted(exists.to(torch.int64), size) for size in range(self.ngrams[0])]
        grams = torch.stack(there).sum(dim=0)
        total = grams
        for size in range(SHORTEST_INSIDE, self.ngrams[1] + 1):
            pieces = (sizes + 3 - size).clamp(min=0)
            total = total + torch.where(exists, pieces, torch.zeros_like(pieces))
        start = total.cumsum(dim=1) - total
        places, values, together = [], [], hashes
        for number, alone in enumerate(there):
            if number:
                together = (together * HASH_STEP + _shifted(hashes, number)) % HASH_PRIME
            places.append(torch.where(alone > 0, start + number, torch.full_like(start, self.length)))
            values.append((together + number + 1) % HASH_PRIME if number else together)
        return places, values, start + grams

    def _pieces(
        self,
        letters: Tensor,
        inside: Tensor,
        starts: Tensor,
        at: Tensor,
        place: Tensor,
        base: Tensor,
        end: Tensor,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Places and hashes of pieces of words with their edges, by the byte at which they begin; all (batch, bytes).

        Args:
            place: of each byte in its word; base: of the first piece of that word in the row; end: of the word.
        """
        nowhere = torch.full_like(at, self.length)
        framed = [
            torch.where(at + j < end, _shifted(letters, j), torch.full_like(at, WORD_EDGE))
            for j in range(self.ngrams[1])
        ]
        inner = torch.zeros_like(at)
        edged = torch.full_like(at, WORD_EDGE * self.first_powers[0])
        places, values = [], []
        for size in range(1, self.ngrams[1] + 1):
            inner = inner + framed[size - 1] * self.first_powers[size - 1]
            if size > 1:
                edged = edged + framed[size - 2] * self.first_powers[size - 1]
            if size < SHORTEST_INSIDE:
                continue
            fits = inside & (at + size <= end + 1)
            fits_edged = starts & (at + size <= end + 2)
            places += [torch.where(fits, base + place + 1, nowhere), torch.where(fits_edged, base, nowhere)]
            values += [(total + size * HASH_STEP) % HASH_PRIME for total in (inner, edged)]
            base = base + (end - (at - place) + 3 - size).clamp(min=0)
        return places, values


def _pick(table: Tensor, places: Tensor) -> Tensor:
    return table.index_select(0, places.flatten()).reshape(places.shape)


def _shifted(rows: Tensor, by: int) -> Tensor:
    """What stands `by` places further on in each row (further back if negative), and zero where there is nothing."""
    if by == 0:
        return rows
    if by > 0:
        return functional.pad(rows[:, by:], (0, by))
    return functional.pad(rows[:, :by], (-by, 0))


def _by_word(values: Tensor, chosen: Tensor, word: Tensor, at: Tensor) -> Tensor:
    """The chosen values at the numbers of their words; the last place is for all others, and never a word's."""
    return torch.zeros_like(values).scatter(1, torch.where(chosen, word, at[:, -1:]), values)


def _of_width(numbers: Tensor, length: int) -> Tensor:
    """Rows cut or padded: (batch, length) int32."""
    return functional.pad(numbers, (0, length))[:, :length].to(torch.int32)


def _within_text(numbers: Tensor) -> Tensor:
    """Whether a place is in front of the last number that is not 0: (batch, width) bool."""
    behind = (numbers != 0).to(torch.int64).flip(1).cumsum(dim=1).flip(1)
    return behind > 0
