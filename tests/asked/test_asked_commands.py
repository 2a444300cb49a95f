"""What the card tells of such a model can be typed as it stands, and `predict --text` asks a chatbot."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from asked_bundles import STORY
from click.testing import CliRunner

from flambeau.cli.main import flambeau
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import load_model
from flambeau.errors import UsageError
from flambeau.insight.texts import onward_commands


def test_a_chatbot_answers_texts_of_predict(asked_folder: Path) -> None:
    words = ["predict", str(asked_folder / "bot"), "--text", "Hello, good morning!", "--text", "zyx"]
    told = CliRunner().invoke(flambeau, words)
    assert told.exit_code == 0, told.output
    first, second = told.stdout.splitlines()
    assert first.startswith('"Hello, good morning!"  Hello!  (') and "I do not know." in second
    answers = [
        json.loads(line) for line in CliRunner().invoke(flambeau, [*words, "--json"]).stdout.splitlines()
    ]
    assert [answer["knows"] for answer in answers] == [True, False]
    assert answers[0]["tag"] == "greeting"
    assert [answer["input"] for answer in answers] == ["Hello, good morning!", "zyx"]
    why = CliRunner().invoke(flambeau, [*words, "--explain"])
    assert isinstance(why.exception, UsageError) and "flambeau chat" in str(why.exception.command)


def test_a_language_model_tells_what_to_type_instead_of_predict(asked_folder: Path) -> None:
    told = CliRunner().invoke(flambeau, ["predict", str(asked_folder / "writer"), "--text", "the cat"])
    assert isinstance(told.exception, UsageError) and "flambeau sample" in str(told.exception.command)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bot", "writer", "maker"])
def test_every_command_of_the_card_works(
    asked_folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "THIS_FOLDER"
    shutil.copytree(asked_folder / name, folder)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "OTHER_TEXT.txt").write_text(STORY * 30, encoding="utf-8")
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    commands = re.findall(r"^flambeau (.+ THIS_FOLDER.*)$", card, flags=re.MULTILINE)
    assert len(commands) >= 3
    task = {"bot": "chat", "writer": "language", "maker": "generate"}[name]
    report = [command.removeprefix("flambeau ") for command, _ in onward_commands(task, "THIS_FOLDER")]
    # the last one, verify, is of runs alone
    typed = [*commands, *(command.replace("OTHER_TEXT", "OTHER_TEXT.txt") for command in report[:-1])]
    for command in dict.fromkeys(typed):
        words = shlex.split(command)
        if words[0] == "serve":
            assert load_model(words[1], Limits()).asked is not None
            continue
        done = CliRunner().invoke(flambeau, words, input="hello\n")
        assert done.exit_code == 0, f"{command}: {done.output}"
