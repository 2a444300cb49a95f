"""Questions and answers as people write them, what is wrong with some of them, and what a bot says to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flambeau.data.dialogue.files import read_dialogues
from flambeau.data.dialogue.recognise import looks_like_chat
from flambeau.errors import DataError
from flambeau.recipe import Recipe
from flambeau.stages.chat.training import read_chat
from flambeau.stages.journal import Journal
from flambeau.transforms.dialogue import fit_chat_tokens, pair_ids
from flambeau.using import check

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
    expected = {"a.csv": ["unanswered", "several-answers"], "a.jsonl": ["several-answers"]}
    assert [finding.code for finding in found.findings] == expected.get(name, [])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", '{"intents": []}', "no questions"),
        ("a.json", '{"intents": [{"tag": "x", "patterns": ["hi"], "responses": []}]}', "no answers"),
        ("a.json", '{"x": 1}', "another shape"),
        ("a.json", '{"x"', "no JSON"),
        ("a.json", "", "an empty file"),
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


@pytest.mark.parametrize(
    "head", ["Question,ANSWER,answer", "question,question,answer", "tag, Tag ,question,answer"]
)
def test_columns_of_one_name_are_told(tmp_path: Path, head: str) -> None:
    (tmp_path / "a.csv").write_text(f"{head}\n" + ",".join("abcd"[: head.count(",") + 1]) + "\n")
    with pytest.raises(DataError, match="another shape") as caught:
        read_dialogues(str(tmp_path / "a.csv"), 100)
    assert "twice" in str(caught.value) or "question → question_2" in str(caught.value)


def test_rows_with_too_many_values_are_told(tmp_path: Path) -> None:
    rows = [f"what is {word},a {word}" for word in ("red", "green", "blue", "black")]
    (tmp_path / "a.csv").write_text(
        "question,answer\n" + "\n".join(rows) + "\nwho are you,me, myself, and I\n"
    )
    found = read_dialogues(str(tmp_path / "a.csv"), 100)
    assert len(found.questions) == 4 and any("1 row" in finding.message for finding in found.findings)


def test_what_is_no_text_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    entries = [
        {"tag": {"a": 1}, "patterns": ["one", None, {}], "responses": [["lost"], "x"]},
        {"question": "two", "answer": "y"},
    ]
    path.write_text(json.dumps(entries))
    found = read_dialogues(str(path), 100)
    assert (found.questions, found.answers, found.tags) == (("one", "two"), (("x",), ("y",)), ("", ""))
    assert [finding.message for finding in found.findings] == [
        "left out: 4 entries with neither question nor answer, or of another shape"
    ]
    path.write_text(json.dumps([["one", "x", {"lost": 1}], ["two", "y"]]))
    assert "1 entry" in read_dialogues(str(path), 100).findings[0].message
    path.write_text(json.dumps([{"question": "one", "answer": []}]))
    with pytest.raises(DataError) as caught:
        read_dialogues(str(path), 100)
    assert "1 question without an answer" in str(caught.value)


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
    assert [finding.code for finding in found.findings] == ["other-shape", "several-answers"]


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


def test_the_check_finds_near_equal_questions_and_contradictions(tmp_path: Path) -> None:
    things = [
        "lamp",
        "oil",
        "torch",
        "wick",
        "flame",
        "spark",
        "ember",
        "smoke",
        "ash",
        "match",
        "glow",
        "stove",
    ]
    rows = [f"what is the reason that people buy a {thing} in winter,because {thing}" for thing in things]
    rows += [f"{rows[place].partition(',')[0]} now,never the {things[place]}" for place in range(6)]
    rows += [
        f"{rows[6].partition(',')[0]}!,nobody does",
        "what about ?? the moon,far",
        "what about the moon,near",
    ]
    path = tmp_path / "a.csv"
    path.write_text("question,answer\n" + "\n".join(rows) + "\n")
    recipe = Recipe(task="chat", source=str(path))
    codes = {finding.code: finding for finding in check(str(path), recipe).findings}
    assert {
        "contradicting-answers",
        "near-contradictions",
        "near-duplicates",
        "several-answers",
    } <= codes.keys()
    assert "1 question has different answers" in codes["several-answers"].message
    material = read_chat(recipe, Journal(lambda record: None))
    side_of = np.zeros(len(material.dialogues.questions))
    side_of[material.split.valid], side_of[material.split.test] = 1, 2
    sides = dict(zip(material.dialogues.questions, side_of.tolist(), strict=True))
    named = [row.partition(",")[0] for row in rows[:6]]
    assert [sides[question] for question in named] == [sides[f"{question} now"] for question in named]


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
