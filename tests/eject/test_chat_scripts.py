"""Scripts of chatbots: the shortest text reads the same questions, and the script ends in the bot's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import flambeau as fb
from flambeau.data.dialogue.files import read_dialogues
from flambeau.deploy.eject import eject
from flambeau.deploy.eject.chat_reading import shortest_reading
from flambeau.deploy.eject.check import check_script
from flambeau.deploy.specialise.formatting import lint_script
from flambeau.errors import RunError

INTENTS = {"intents": [{"tag": "hi", "patterns": ["hello"], "responses": ["Hi!", "Hello!"]}]}
PAIRS = [{"question": "who", "answer": "me"}, {"question": "where", "answer": "here"}]
CONVERSATIONS = "conversations:\n- - Who?\n  - Me.\n  - Us.\n"
HEAD = "question,answer\n"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", json.dumps(INTENTS), 'one["patterns"]'),
        ("a.json", json.dumps(PAIRS), 'one["question"]'),
        ("a.json", json.dumps({"intents": [{"pattern": "a  b", "answer": "c"}]}), "entries_of_rows(json"),
        ("a.json", "\ufeff" + json.dumps([["who", "me"]]), "entries_of_value(json"),
        ("a.yml", CONVERSATIONS, "texts[1:]"),
        ("a.yml", CONVERSATIONS + "- nobody\n", "entries_of_conversations"),
        ("a.yml", "- [Who, Me]\n", "entries_of_value(yaml"),
        ("a.csv", HEAD + "who,me\nwhere,here\n", "csv.DictReader"),
        ("a.csv", HEAD.replace(",", ";") + "who;me\n", "read_table(DATA)"),
        ("a.jsonl", "\n".join(map(json.dumps, PAIRS)) + "\n", "read_table(DATA)"),
        ("folder/a.yml", CONVERSATIONS, "**/*.yml"),
        ("folder/a.json", json.dumps(INTENTS), "chat_files(DATA)"),
    ],
)
def test_the_shortest_text_that_reads_the_same(tmp_path: Path, name: str, content: str, told: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content, encoding="utf-8")
    source = tmp_path / Path(name).parts[0]
    assert told in shortest_reading(source, read_dialogues(str(source), 100))


@pytest.mark.slow
def test_a_tested_bot_without_a_net_that_writes(tmp_path: Path) -> None:
    path = tmp_path / "questions.csv"
    rows = [
        f"{word} is {what},{what}!"
        for what in ("red", "green", "blue")
        for word in ("this", "that", "it", "he")
    ]
    path.write_text(HEAD + "\n".join(rows) + "\n")
    options: dict[str, Any] = {
        "task": "chat",
        "threads": 1,
        "epochs": 2,
        "chat": {"writes": False, "width": 16, "buckets": 512, "epochs": 4},
        "split": {"refit": False},
        "training": {"ema": 0.9, "patience": 1, "micro_batch": 3, "schedule": {"name": "plateau"}},
        "evaluation": {"resamples": 100},
    }
    run = fb.train(str(path), out=tmp_path / "run", **options)
    script = eject(run.folder)
    assert (
        "writer" not in script and "flambeau" not in script.partition('"""\n')[2] and not lint_script(script)
    )
    result = check_script(run.folder, script, timeout_seconds=120)
    assert result.equal, (result.differing, result.output[-500:])
    assert "found first on the test part" in result.output
    path.write_text(HEAD + "\n".join(["this was red,red!", *rows[1:]]) + "\n")
    with pytest.raises(RunError, match="have changed"):
        eject(run.folder)
