"""Questions and answers as people write them, what is wrong with some of them, and what a bot says to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flambeau.data.dialogue.files import read_dialogues
from flambeau.data.dialogue.recognise import looks_like_chat
from flambeau.errors import DataError
from flambeau.evaluation.answers import hits_within
from flambeau.evaluation.chat import (
    answer_chances,
    choose_threshold,
    fit_doubt,
    hits_interval,
    usual_doubt,
)
from flambeau.transforms.dialogue import fit_chat_tokens, pair_ids

INTENTS = {
    "intents": [
        {"tag": "greeting", "patterns": ["hi", "hello"], "responses": ["Hello!", "Hi!"]},
        {"tag": "bye", "patterns": ["bye"], "responses": ["See you."]},
    ]
}


def test_intents(tmp_path: Path) -> None:
    path = tmp_path / "intents.json"
    path.write_text(json.dumps(INTENTS))
    found = read_dialogues(str(path), 100)
    assert found.questions == ("hi", "hello", "bye")
    assert found.right == (0, 0, 1)
    assert found.tags == ("greeting", "bye")
    assert found.answers == (("Hello!", "Hi!"), ("See you.",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.yml", "categories: [x]\nconversations:\n- - What is it?\n  - A bot.\n  - A machine.\n- - Who?\n  - Me."),
        ("a.json", json.dumps([{"question": "What is it?", "answer": ["A bot.", "A machine."]},
                               {"question": "Who?", "answer": "Me."}])),
        ("a.csv", "question,answer\nWhat is it?,A bot.\nWhat is it?,A machine.\nWho?,Me.\nNobody?,\n"),
        ("a.jsonl", '{"pattern": "What is it?", "response": "A bot."}\n'
                    '{"pattern": "What is it?", "response": "A machine."}\n{"pattern": "Who?", "response": "Me."}\n'),
    ],
)  # fmt: skip
def test_pairs(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    found = read_dialogues(str(tmp_path / name), 100)
    assert found.questions == ("What is it?", "Who?")
    assert found.answers == (("A bot.", "A machine."), ("Me.",))
    assert found.tags == ("", "")
    assert len(found.findings) == (name == "a.csv")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", '{"intents": []}', "no questions"),
        ("a.json", '{"intents": [{"tag": "x", "patterns": ["hi"], "responses": []}]}', "no answers"),
        ("a.json", '{"x": 1}', "another shape"),
        ("a.json", '{"x"', "no JSON"),
        ("a.yml", "- 3\n", "another shape"),
        ("a.yml", "", "another shape"),
        ("a.yml", "a: &b 1\nc: *b\n", "no YAML"),
        ("a.yml", "!!python/object/apply:os.getcwd []", "no YAML"),
        ("a.csv", "one,two\n1,2\n", "another shape"),
        ("a.csv", "question,answer\n,\n", "no questions"),
        ("a.pdf", "x", "no file of questions"),
    ],
)
def test_other_shapes_are_told(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=told):
        read_dialogues(str(tmp_path / name), 100)


def test_answers_of_a_tag_may_stand_behind_its_questions(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    entries = [
        {"tag": "a", "patterns": ["one", "two"]},
        {"tag": "a", "patterns": ["three"], "responses": ["Yes."]},
    ]
    path.write_text(json.dumps(entries))
    found = read_dialogues(str(path), 100)
    assert (found.questions, found.right) == (("one", "two", "three"), (0, 0, 0))
    assert found.answers == (("Yes.",),) and not found.findings


def test_a_category_does_not_mix_answers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("question,answer,label\nhow long,three days,shipping\nhow dear,five euros,shipping\n")
    found = read_dialogues(str(path), 100)
    assert found.answers == (("three days",), ("five euros",))
    assert [finding.code for finding in found.findings] == ["categories"]


def test_a_whole_number_of_any_size_ends_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    huge = "0x" + "f" * 6000
    path.write_text(f"- question: {huge}\n  answer: {huge}\n- question: hi\n  answer: Hello.\n")
    assert read_dialogues(str(path), 100).questions == ("hi",)
    path.write_text(f"- [{huge}]\n- {huge}\n")
    with pytest.raises(DataError):
        read_dialogues(str(path), 100)


def test_limits_and_absent_files(tmp_path: Path) -> None:
    path = tmp_path / "intents.json"
    path.write_text(json.dumps(INTENTS))
    with pytest.raises(DataError, match="more questions"):
        read_dialogues(str(path), 2)
    with pytest.raises(DataError, match="there is no") as caught:
        read_dialogues(str(tmp_path / "intent.json"), 2)
    assert "intents.json" in caught.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no questions and answers in this folder"):
        read_dialogues(str(tmp_path / "empty"), 2)


def test_conversations_of_many_files(shared_data: Path) -> None:
    found = read_dialogues(str(shared_data / "text" / "chatterbot" / "english"), 10_000)
    assert len(found.questions) == 748 > len(found.answers) > 700
    assert [finding.code for finding in found.findings] == ["other-shape"]


def test_only_the_answer_is_a_target() -> None:
    tokens = fit_chat_tokens(["who are you", "a bot"] * 3, 300, 16)
    inputs, targets = pair_ids(tokens, [("who are you", "a bot")], 16)
    asked, said = tokens.encode("who are you").tolist(), tokens.encode("a bot").tolist()
    separator, end = tokens.cardinality, tokens.cardinality + 1
    assert inputs[0, : len(asked) + 1].tolist() == [*asked, separator]
    assert targets[0][targets[0] >= 0].tolist() == [*said, end]
    first = int((targets[0] >= 0).argmax())
    assert inputs[0, first] == separator and inputs[0, first + 1] == said[0]


def test_long_texts_are_cut() -> None:
    tokens = fit_chat_tokens(["abc"], 300, 8)
    inputs, targets = pair_ids(tokens, [("x" * 50, "y" * 50), ("", "")], 8)
    assert inputs.shape == targets.shape == (2, 8)
    assert (targets[0] >= 0).sum() == 4 and (targets[1] >= 0).sum() == 1


def test_doubt_tells_questions_without_an_answer() -> None:
    draw = np.random.default_rng(0)
    right = [(int(place),) for place in draw.integers(0, 20, 200)]
    likeness = draw.normal(size=(200, 20)).astype(np.float32)
    likeness[np.arange(200), [place for (place,) in right]] += 6
    temperature, doubt = fit_doubt(likeness, right)
    threshold = choose_threshold(likeness, right, temperature, doubt)
    sure = answer_chances(likeness, temperature, doubt)[:, :-1].max(axis=1)
    strange = answer_chances(draw.normal(size=(200, 20)), temperature, doubt)[:, :-1].max(axis=1)
    assert (sure >= threshold).mean() > 0.9 and (strange >= threshold).mean() < 0.1
    assert hits_within(likeness, right, 5).mean() >= hits_within(likeness, right, 1).mean() > 0.9


def test_few_questions_settle_nothing() -> None:
    likeness = np.ones((3, 4), dtype=np.float32)
    assert fit_doubt(likeness, [(0,)] * 3) == (1.0, 1.0)
    assert choose_threshold(likeness, [(0,)] * 3, 1.0, 1.0) == 0.5


def test_what_was_learnt_is_answered_where_few_questions_were_held_out() -> None:
    right = [(0,), (1,), (2,)]
    likeness = np.full((3, 3), 2.0, dtype=np.float32) + 10 * np.eye(3, dtype=np.float32)
    doubt = usual_doubt(likeness, right)
    assert doubt == 7.0
    asked = np.concatenate([likeness, np.full((1, 3), 3.0, dtype=np.float32)])
    sure = answer_chances(asked, 1.0, doubt)[:, :-1].max(axis=1)
    assert (sure[:3] > 0.9).all() and sure[3] < 0.5


def test_few_hits_have_a_wide_interval() -> None:
    one = hits_interval(np.zeros(1), 100, 0)
    assert one["low"] == 0.0 and one["high"] == pytest.approx(0.7935, abs=1e-4)
    many = hits_interval(np.tile([0.0, 1.0], 50), 200, 0)
    assert 0.35 < many["low"] < 0.5 < many["high"] < 0.65


def test_a_chat_file_is_known_by_its_beginning(tmp_path: Path) -> None:
    contents = {
        "a.json": json.dumps(INTENTS),
        "b.yml": "conversations:\n- - Who?\n  - Me.",
        "c.json": json.dumps([{"intents": 1, "price": 2}]),
        "d.json": '{"price": 1}\n{"price": 2}',
        "e.csv": '{"intents": [',
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    assert [name for name in contents if looks_like_chat(tmp_path / name)] == ["a.json", "b.yml"]
    assert not looks_like_chat(tmp_path / "absent.json")
