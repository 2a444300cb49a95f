"""Texts become token numbers: hashed n-grams, characters, bytes, words and subwords."""

from __future__ import annotations

import json
import re
from time import perf_counter

import numpy as np
import pytest

from flambeau.transforms.ngrams import HASH_BASE, HASH_PRIME, HASH_STEP, WORD_EDGE
from flambeau.transforms.subwords import load_subwords, subword_tokens, train_subwords
from flambeau.transforms.table import TablePreparation, fit_table
from flambeau.transforms.text import TextPreparation, fit_text

STRANGE = [
    "",
    "   ",
    "Where's my CARD?",
    "Ünïcode 😀 你好, мир",
    "x" * 5000,
    "a lone surrogate \ud800 here",
    "line\nbreak\ttab\0zero",
]


def column(*texts: str | None) -> dict[str, np.ndarray]:
    return {"said": np.array(texts, dtype=object)}


def polynomial(raw: bytes, plus: int) -> int:
    return sum((byte + plus) * pow(HASH_BASE, i + 1, HASH_PRIME) for i, byte in enumerate(raw)) % HASH_PRIME


def ngrams_by_hand(text: str, words: int, inside: int, buckets: int) -> list[int]:
    """The same numbers from Python's whole numbers, one n-gram after the other."""
    raw = bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in text.encode("utf-8", "replace"))
    found = re.findall(rb"[0-9a-z\x80-\xff]+|[!-~]", raw)
    hashes = [polynomial(word, 1) for word in found]
    numbers = []
    for start, word in enumerate(found):
        together = hashes[start]
        numbers.append(together)
        for size in range(2, words + 1):
            if start + size <= len(found):
                together = (together * HASH_STEP + hashes[start + size - 1]) % HASH_PRIME
                numbers.append((together + size) % HASH_PRIME)
        framed = bytes([WORD_EDGE]) + word + bytes([WORD_EDGE])
        for size in range(3, inside + 1):
            for place in range(len(framed) - size + 1):
                numbers.append((polynomial(framed[place : place + size], 0) + size * HASH_STEP) % HASH_PRIME)
    return [1 + number % buckets for number in numbers]


@pytest.mark.parametrize("ngrams", [(1, 0), (2, 0), (3, 5), (1, 3)])
def test_hashed_ngrams_are_those_of_exact_arithmetic(ngrams: tuple[int, int]) -> None:
    prepared = fit_text(column("a"), ["said"], buckets=1009, ngrams=ngrams, length=100_000)
    texts = [text for text in STRANGE if len(text) < 100]
    for text, row in zip(texts, prepared.encode(texts), strict=True):
        wanted = ngrams_by_hand(text, *ngrams, 1009)
        assert row[row > 0].tolist() == wanted
        assert not row[len(wanted) :].any()


@pytest.mark.parametrize("tokens", ["ngrams", "characters", "bytes", "words"])
def test_a_text_has_the_same_tokens_alone_and_among_others(tokens: str) -> None:
    prepared = fit_text(column("where is my card", None, "мир"), ["said"], tokens=tokens, length=40)
    together = prepared.encode(STRANGE)
    assert together.dtype == np.int32 and together.shape[1] <= 40
    assert together.max() < prepared.cardinality and together.min() >= 0
    for text, row in zip(STRANGE, together, strict=True):
        alone = prepared.encode([text])[0]
        np.testing.assert_array_equal(row[: len(alone)], alone)
        assert not row[len(alone) :].any()
    assert prepared.encode([]).shape == (0, 1)
    assert prepared.encode([""]).tolist() == [[0]]


def test_small_letters_blanks_and_many_blocks_change_no_ngram() -> None:
    prepared = fit_text(column("a"), ["said"], ngrams=(2, 4))
    np.testing.assert_array_equal(prepared.encode(["Book A  Flight"]), prepared.encode(["book a flight"]))
    many = [f"text number {i} {'long ' * (i % 7)}" for i in range(1500)]
    whole = prepared.encode(many)
    for row in (0, 511, 512, 1499):
        alone = prepared.encode([many[row]])[0]
        np.testing.assert_array_equal(whole[row, : len(alone)], alone)


def test_vocabularies_are_ranked_and_unknown_tokens_have_a_number() -> None:
    prepared = fit_text(column("to be or not to be", "be"), ["said"], tokens="words", vocabulary=3)
    assert prepared.vocabulary == ("be", "to", "not")
    assert prepared.encode(["Be that, to"]).tolist() == [[2, 1, 1, 3]]
    letters = fit_text(column("abba", "b"), ["said"], tokens="characters", vocabulary=10)
    assert letters.vocabulary == ("b", "a") and letters.cardinality == 4
    assert letters.encode(["bax"]).tolist() == [[2, 3, 1]]
    raw = fit_text(column("a"), ["said"], tokens="bytes")
    assert raw.encode(["aé"]).tolist() == [[98, 196, 170]] and raw.cardinality == 257


def test_subwords_are_learnt_alike_each_time() -> None:
    texts = [f"transfer {i} dollars to my savings account" for i in range(50)]
    first, second = (fit_text(column(*texts), ["said"], tokens="subwords", vocabulary=320) for _ in range(2))
    assert first == second and json.loads(first.tokenizer)
    encoded = first.encode(["transfer money", "", "😀"])
    assert (encoded[1] == 0).all() and (encoded[0] > 0).sum() < 14 and encoded.max() < first.cardinality


def test_a_table_of_texts_and_numbers_gives_both() -> None:
    columns = {**column("fine", None, "bad"), "age": np.array([1.0, 2.0, np.nan])}
    text = fit_text(columns, ["said"], tokens="words")
    prepared = fit_table(columns, {"age": "number", "said": "text"}, text=text)
    numbers, categories, tokens = prepared.transform(columns)
    assert numbers.shape[0] == 3 and categories.shape == (3, 0) and tokens.tolist() == [[3], [0], [2]]
    alone = fit_table(columns, {"said": "text"}, text=text)
    assert not alone.has_cells and [array.tolist() for array in alone.transform(columns)] == [tokens.tolist()]
    again = TablePreparation.from_json(json.loads(json.dumps(prepared.to_json())))
    assert again == prepared


def test_several_columns_are_joined_in_order() -> None:
    columns = {"title": np.array(["A", None], dtype=object), "body": np.array(["b", "c"], dtype=object)}
    prepared = fit_text(columns, ["title", "body"], tokens="bytes")
    assert prepared.join(columns) == ["A\nb", "\nc"]


@pytest.mark.parametrize(
    ("change", "word"),
    [({"tokens": "letters"}, "ngrams"), ({"length": 0}, "1 or more"), ({"names": ["gone"]}, "gone")],
)
def test_what_cannot_be_fitted_is_told(change: dict[str, object], word: str) -> None:
    options: dict[str, object] = {"names": ["said"], **change}
    with pytest.raises(ValueError, match=word):
        fit_text(column("a"), **options)  # type: ignore[arg-type]


def test_a_preparation_is_plain_data() -> None:
    prepared = fit_text(column("abc"), ["said"], tokens="characters")
    assert isinstance(prepared, TextPreparation) and hash(prepared)


def test_of_a_giant_text_only_the_beginning_is_cut_into_subwords() -> None:
    tokenizer = load_subwords(train_subwords(["one two three four"] * 3, 300), 4)
    giant = "one two " + 40_000_000 * "x"
    begin = perf_counter()
    tokens = subword_tokens(tokenizer, [giant], 64)
    assert perf_counter() - begin < 1
    assert tokens.tolist() == subword_tokens(tokenizer, [giant[:64]], 64).tolist()
