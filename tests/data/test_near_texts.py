"""Planted copies of texts are found, kept on one side and told; what only looks alike is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.data import duplicates
from flambeau.data.check import check_samples
from flambeau.data.duplicates import find_duplicates
from flambeau.data.samples import Samples
from flambeau.data.tables.rows import digest_rows
from flambeau.data.texts import near_texts
from flambeau.data.texts.check import check_texts
from flambeau.data.texts.near_texts import find_near_texts
from flambeau.recipe import Recipe
from flambeau.schema import Column, Schema

WORDS = [
    "river", "stone", "lamp", "garden", "winter", "copper", "basket", "thunder", "meadow",
    "ladder", "silver", "pocket", "candle", "forest", "harbour", "mirror", "pepper", "saddle",
    "violin", "wagon",
]  # fmt: skip


def sentences(count: int, words: int = 12) -> list[str]:
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS, words)) + f" number{i}" for i in range(count)]


def samples_of(texts: list[str], targets: list[int], parts: list[str] | None = None) -> Samples:
    columns = {"said": np.array([text or None for text in texts], dtype=object)}
    return Samples(
        Schema("table", "classification", "label", ("no", "yes"), (Column("said", "text"),)),
        tuple(f"row {row + 1}" for row in range(len(texts))),
        np.array(targets),
        columns=columns,
        parts=None if parts is None else np.array(parts),
        digests=digest_rows(columns, len(texts)),
    )


def test_planted_near_copies_are_found_and_others_are_not() -> None:
    texts = sentences(400)
    texts += [texts[5] + " indeed", texts[17].replace("number17", "number 17!"), texts[30].upper() + "..."]
    same, near = find_near_texts(texts, np.arange(len(texts)))
    assert same == [(30, 402)]
    assert sorted(near) == [(5, 400), (17, 401)]


def test_short_empty_and_strange_texts_make_no_pairs() -> None:
    texts = ["", "  ", "ok", "no", "你好", "😀", "😀😀", "a" * 100_000, "?!", "ok ok"]
    assert find_near_texts(texts, np.arange(len(texts))) == ([], [])
    assert find_near_texts([], np.arange(0)) == ([], [])


def test_thousands_of_equal_templates_cost_a_bounded_number_of_comparisons() -> None:
    texts = [
        f"please transfer {i} dollars from my savings account to the other account now" for i in range(3000)
    ]
    same, near = find_near_texts(texts, np.arange(len(texts)))
    assert not same and len(near) > 1000


def test_copies_across_parts_and_labels_that_differ_are_told() -> None:
    texts = sentences(60)
    texts[50] = texts[3] + "!"
    texts[51] = texts[4] + " again"
    texts[7] = ""
    targets = [row % 2 for row in range(60)]
    targets[50], targets[3] = 0, 1
    parts = ["train"] * 45 + ["test"] * 15
    samples = samples_of(texts, targets, parts)
    found = find_duplicates(samples)
    assert set(found.near_pairs) == {(3, 50), (4, 51)}
    assert found.conflicting == ((3, 50),)
    assert found.groups[50] == found.groups[3] and found.groups[51] == found.groups[4]
    told = {finding.code: finding for finding in check_samples(samples, found, None, (), Recipe())}
    assert (
        told["leak-between-splits"].level == "warning" and "2 samples" in told["leak-between-splits"].message
    )
    assert "row 4 (yes) = row 51 (no)" in told["conflicting-targets"].items[0]
    assert told["empty-texts"].items == ("row 8",)


def test_near_copies_can_be_left_alone() -> None:
    texts = sentences(40)
    texts[20] = texts[3] + "!"
    assert find_duplicates(samples_of(texts, [0, 1] * 20), near=False).near_pairs == ()


def test_long_texts_that_differ_behind_their_beginning_are_not_the_same() -> None:
    header = " ".join(sentences(120))
    assert len(header) > 4000
    texts = [f"{header} guilty", f"{header} dismissed", f"{header.upper()}! Guilty."]
    same, near = find_near_texts(texts, np.arange(3))
    assert same == [(0, 2)] and near == [(0, 1)]


def test_texts_that_are_not_compared_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (duplicates, near_texts):
        monkeypatch.setattr(module, "MOST_TEXTS", 30)
    texts = sentences(40)
    texts[35] = texts[1] + "!"
    texts[36] = texts[2] + " again"
    samples = samples_of(texts, [0, 1] * 20)
    found = find_duplicates(samples)
    assert found.near_pairs == ((1, 35),) and found.not_compared == 9
    told = {finding.code: finding for finding in check_samples(samples, found, None, (), Recipe())}
    assert "9 texts were compared for equality alone" in told["near-duplicates-of-some"].message


def test_words_that_give_the_class_away_are_told() -> None:
    targets = [row % 2 for row in range(100)]
    plain = sentences(100)
    told = [f"category: {('no', 'yes')[target]}; {text}" for target, text in zip(targets, plain, strict=True)]
    found = [one for one in check_texts(samples_of(told, targets)) if one.code == "telling-words"]
    assert len(found) == 1 and "'yes' tells yes" in found[0].message
    assert not check_texts(samples_of(plain, targets))
    parts = ["test" if row < 60 else "train" for row in range(100)]
    assert not check_texts(samples_of(told, targets, parts))
