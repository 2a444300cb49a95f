"""A text as token ids: nothing is lost, nothing is learnt outside the training part, windows follow from a seed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flambeau.data.corpus.corpus import WindowBatches, cut_text, divide_places, read_corpus
from flambeau.data.corpus.source import open_corpus
from flambeau.data.texts.files import decode_text, read_text_file
from flambeau.errors import DataError
from flambeau.evaluation.ngrams import token_intervals
from flambeau.recipe import Recipe
from flambeau.stages.flows import FLOWS, flow_of
from flambeau.transforms import subwords
from flambeau.transforms.corpus import UNKNOWN_CHARACTER, fit_corpus

TEXT = "the cat sat on the mat, and the dog sat on the cat.\n" * 30
FITTED = {kind: fit_corpus(TEXT, tokens=kind, context=8, vocabulary=300) for kind in ("bytes", "subwords")}


@pytest.mark.parametrize("tokens", FITTED)
@given(text=st.text())
@settings(max_examples=60, deadline=None)
def test_every_text_comes_back(tokens: str, text: str) -> None:
    preparation = FITTED[tokens]
    ids = preparation.encode(text)
    assert preparation.decode(ids.tolist()) == text.encode("utf-8", "replace").decode()
    assert not len(ids) or 0 <= ids.min() <= ids.max() < preparation.cardinality


def test_a_character_that_training_lacks_is_unknown() -> None:
    preparation = fit_corpus("abca", tokens="characters", context=4)
    assert preparation.vocabulary == ("a", "b", "c")
    assert preparation.encode("cab é\ud800").tolist() == [3, 1, 2, 0, 0, 0]
    assert preparation.decode([1, 0]) == "a" + UNKNOWN_CHARACTER


def test_subwords_are_fewer_than_bytes_and_repeat() -> None:
    one, other = (fit_corpus(TEXT, tokens="subwords", context=8, vocabulary=290) for _ in range(2))
    assert one == other
    assert len(one.encode(TEXT)) < len(TEXT) / 2


@pytest.mark.parametrize(
    ("length", "train", "valid", "blocks"),
    [(1_115_394, 0.85, 0.05, 10), (100_000, 0.85, 0.05, 2), (1_000, 0.85, 0.05, 1), (997, 0.1, 0.7, 1)],
)
def test_parts_cover_the_text_and_training_reaches_up_to_the_test(
    length: int, train: float, valid: float, blocks: int
) -> None:
    parts = divide_places(length, train, valid)
    places = sorted(place for part in parts for place in part)
    assert places[0][0] == 0 and places[-1][1] == length
    assert all(before[1] == after[0] for before, after in pairwise(places))
    assert [len(part) for part in parts] == [blocks + 1, blocks, 1]
    assert parts[0][-1][1] == parts[2][0][0] == round(length * (train + valid))
    shares = [sum(end - begin for begin, end in part) / length for part in parts]
    assert shares == pytest.approx([train, valid, 1 - train - valid], abs=blocks / length)


def test_a_text_is_cut_at_places() -> None:
    text = "".join(chr(33 + i % 90) for i in range(1000))
    train, valid, test = (cut_text(text, places) for places in divide_places(1000, 0.8, 0.1))
    assert train[0] + valid[0] + train[1] + test[0] == text


def test_an_epoch_reads_windows_side_by_side() -> None:
    batches = WindowBatches(torch.arange(1000, dtype=torch.int32), (1000,), context=32, batch_size=4, seed=5)
    steps = list(batches.epoch(0))
    assert len(steps) == len(batches)
    assert all(bool((step.targets == step.inputs[0] + 1).all()) for step in steps)
    read = torch.cat([step.inputs[0].flatten() for step in steps])
    assert len(read.unique()) == len(read) > 1000 - 3 * 32
    assert not torch.equal(steps[0].targets, next(iter(batches.epoch(1))).targets)


@pytest.mark.parametrize("start", [0, 1, 5])
def test_an_epoch_goes_on_from_any_step(start: int) -> None:
    batches = WindowBatches(
        torch.arange(700, dtype=torch.int32), (400, 10, 290), context=16, batch_size=5, seed=1
    )
    whole, rest = list(batches.epoch(3)), list(batches.epoch(3, start))
    assert all(torch.equal(a.targets, b.targets) for a, b in zip(whole[start:], rest, strict=True))


def test_no_window_crosses_a_border() -> None:
    lengths = (100, 3, 17, 33, 16, 231)
    borders = torch.tensor(lengths).cumsum(0)
    batches = WindowBatches(torch.arange(400, dtype=torch.int32), lengths, context=16, batch_size=3, seed=2)
    assert batches.windows == [5, 0, 1, 1, 0, 13]
    seen = set()
    for epoch in range(200):
        for step in batches.epoch(epoch):
            first, last = (
                torch.bucketize(edge.contiguous(), borders, right=True)
                for edge in (step.inputs[0][:, 0], step.targets[:, -1])
            )
            assert torch.equal(first, last)
            seen |= set(step.inputs[0].flatten().tolist()) | set(step.targets.flatten().tolist())
    assert seen == set(range(400)) - {100, 101, 102} - set(range(153, 169))


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("é\r\nx".encode(), "utf-8"),
        ("é\nx".encode("utf-8-sig"), "utf-8-sig"),
        ("é\rx".encode("utf-16"), "utf-16"),
        ("é\nx".encode("cp1252"), "cp1252"),
    ],
)
def test_encodings_and_line_ends(content: bytes, encoding: str) -> None:
    assert decode_text(content) == ("é\nx", encoding)


def source(path: Path, **settings: str) -> Recipe:
    recipe = Recipe(source=str(path), task="language")
    recipe.data.target = settings.get("target")
    return recipe


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second " * 200)
    (tmp_path / "a.txt").write_text("first " * 200)
    (tmp_path / "c.txt").write_text(" \n")
    (tmp_path / "d.png").write_bytes(b"\0")
    text, findings = open_corpus(source(tmp_path))
    assert text == read_corpus(tmp_path) == "first " * 200 + "\n\n" + "second " * 200
    assert [finding.code for finding in findings] == ["empty-texts"]


def test_a_column_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "n,said\n" + "\n".join(f"{i},it is number {i} of many lines" for i in range(60)) + "\n61,\n"
    )
    text, findings = open_corpus(source(path, target="said"))
    assert text.startswith("it is number 0") and text.count("\n\n") == 59
    assert "1 of 61 rows" in findings[0].message


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"short", "too short"),
        ("a.txt", b"a\0" * 5000, "no text"),
        ("a.txt", b"", "too short"),
        ("a.csv", b"x,y\n1,2\n", "which column"),
    ],
)
def test_what_is_no_text_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told):
        open_corpus(source(tmp_path / name))


def test_a_folder_without_texts_and_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"x")
    with pytest.raises(DataError, match="no text in this folder"):
        open_corpus(source(tmp_path))
    (tmp_path / "a.txt").write_text("x" * 2000)
    recipe = source(tmp_path)
    recipe.language.max_bytes = 1000
    with pytest.raises(DataError, match="larger than the limit"):
        open_corpus(recipe)


def test_cutting_a_long_text_into_blocks_changes_no_subword(monkeypatch: pytest.MonkeyPatch) -> None:
    preparation = FITTED["subwords"]
    text = ("the cat's mat\n\n  sat on\tthe 1,234 dogs! " + "\u3000ß  ") * 40
    whole = preparation.encode(text)
    monkeypatch.setattr(subwords, "CHARACTERS_A_BLOCK", 7)
    assert len(list(subwords.text_blocks(text))) > 100
    assert np.array_equal(preparation.encode(text), whole)
    assert fit_corpus(TEXT, tokens="subwords", context=8, vocabulary=300) == preparation


def test_capitals_are_kept() -> None:
    assert (
        FITTED["subwords"].decode(FITTED["subwords"].encode(" The CAT [UNK] ﬁ").tolist())
        == " The CAT [UNK] ﬁ"
    )


def test_a_letter_that_is_cut_in_two_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("aé".encode())
    assert read_text_file(path, most=2) == ("a", "utf-8")


@pytest.mark.parametrize(
    ("line", "task"),
    [("one\t{}\tyes", "classification"), ("The cat sat on mat number {}.", "language")],
)
def test_a_text_file_with_columns_is_a_table(tmp_path: Path, line: str, task: str) -> None:
    path = tmp_path / "t.txt"
    path.write_text("a\tb\tlabel\n" * (task != "language") + "\n".join(line.format(i) for i in range(100)))
    assert (flow_of(Recipe(), str(path)) is FLOWS["language"]) == (task == "language")


def test_a_short_text_has_an_interval() -> None:
    score = token_intervals(np.linspace(1, 3, 300), nats_a_character=1.0, resamples=200, seed=0)
    assert all(one["low"] < one["value"] < one["high"] for one in score.values())
