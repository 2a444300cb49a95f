"""Whole runs on texts and on questions: trained, stopped and resumed, ejected, asked, and refused with words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import flambeau as fb
from flambeau.cli.main import flambeau
from flambeau.cli.predict_text import answer_texts
from flambeau.deploy.bundle import load_bundle
from flambeau.deploy.eject import eject
from flambeau.deploy.eject.check import check_script
from flambeau.deploy.writing.chatting import ChatBot
from flambeau.errors import RecipeError, UsageError
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.describe import options
from flambeau.records import RunFolder
from flambeau.stages.flows import FLOWS, flow_of
from flambeau.stages.other_flows import OBEYED_BY_CHAT, idle_findings, refuse_for_texts
from flambeau.using import check, evaluate, verify
from flambeau.using.inspection import inspect_run

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "after", "ball", "while", "bird", "sang")
QUESTIONS = {
    "greeting": (["hello", "hi there", "good morning", "hey you", "good evening", "hi"], ["Hello!", "Hi!"]),
    "hours": (
        ["when are you open", "opening hours please", "when do you open", "open on sunday"],
        ["9 to 5."],
    ),
    "price": (["how much is it", "what is the price", "what does it cost", "is it dear"], ["Ten."]),
    "place": (
        ["where are you", "what is your address", "where is your shop", "which street"],
        ["Main street."],
    ),
}
SMALL: dict[str, Any] = {
    "threads": 1,
    "evaluation": {"resamples": 100},
    "model": {"width": 16, "depth": 1},
    "language": {"sample_length": 10, "samples": 1},
}


class _StoppedError(Exception):
    """What a listener raises in the middle of a training, as a kill would end it."""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "story.txt"
    draw = torch.Generator().manual_seed(0)
    places = torch.randint(len(WORDS), (2500,), generator=draw).tolist()
    lines = [" ".join(WORDS[place] for place in places[i : i + 8]) for i in range(0, len(places), 8)]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chat") / "intents.json"
    intents = [{"tag": tag, "patterns": asked, "responses": said} for tag, (asked, said) in QUESTIONS.items()]
    path.write_text(json.dumps({"intents": intents}))
    return path


def interrupt(source: Path, out: Path, options: dict[str, Any], at: tuple[str, int]) -> None:
    """Train, and stop at the end of that epoch of that stage."""

    options = {**options, "training": {**options.get("training", {}), "checkpoint_seconds": 0}}

    def listen(record: dict[str, Any]) -> None:
        if record["kind"] == "epoch" and (record["stage"], record["epoch"]) == at:
            raise _StoppedError

    with pytest.raises(_StoppedError):
        fb.train(str(source), out=out, on_record=listen, **options)


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(run.model / "weights.safetensors")


def assert_same(one: RunFolder, other: RunFolder) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "tokens"), [("transformer", "characters"), ("lstm", "bytes"), ("transformer", "subwords")]
)
def test_a_language_model_from_end_to_end(text: Path, tmp_path: Path, model: str, tokens: str) -> None:
    options = {**SMALL, "task": "language", "epochs": 2}
    options["model"] = {**SMALL["model"], "name": model}
    options["language"] = {**SMALL["language"], "tokens": tokens, "context": 16}
    # in bf16 attention takes another way
    options["training"] = {"precision": "bf16" if tokens == "characters" else "fp32"}
    run = fb.train(str(text), out=tmp_path / "whole", **options)
    scores = run.scores["test"]
    assert scores["nats_per_token"]["value"] < run.scores["baselines"]["uniform"]["nats_per_token"]
    interrupt(text, tmp_path / "stopped", options, ("", 1))
    resumed = fb.resume(tmp_path / "stopped").folder
    assert_same(run.folder, resumed)
    script = eject(run.folder)
    assert "import flambeau" not in script and "from flambeau" not in script
    assert check_script(run.folder, script, timeout_seconds=300).equal
    report = run.report.read_text(encoding="utf-8")
    assert "What it writes" in report and "nats per token" in report.lower()
    assert all(row["ok"] for row in verify(run.folder))
    again = evaluate(run.folder, str(text))
    assert again["rows"]["test"] > 0 and "perplexity" in again["test"]


@pytest.mark.slow
def test_a_chatbot_from_end_to_end(questions: Path, tmp_path: Path) -> None:
    options = {**SMALL, "task": "chat", "epochs": 2, "chat": {"length": 24, "buckets": 512, "width": 16}}
    run = fb.train(str(questions), out=tmp_path / "whole", **options)
    assert set(run.scores["test"]) == {"top1", "top5", "nats_per_token", "perplexity"}
    interrupt(questions, tmp_path / "stopped", options, ("writing answers", 1))
    assert_same(run.folder, fb.resume(tmp_path / "stopped").folder)
    script = eject(run.folder)
    assert "import flambeau" not in script and "from flambeau" not in script
    assert check_script(run.folder, script, timeout_seconds=300).equal
    layers = inspect_run(run.folder)
    assert layers.total("parameters") == sum(parameter.numel() for parameter in run.module.parameters())
    assert layers.output == ((1, 4), (1, 24, layers.output[1][2]))
    assert all(row["ok"] for row in verify(run.folder))
    assert evaluate(run.folder, str(questions))["test"]["top1"]["value"] == 1.0
    recipe = ["--recipe", str(run.folder.recipe), "--quiet"]
    again = CliRunner().invoke(flambeau, ["train", str(questions), *recipe, "--out", str(tmp_path / "again")])
    assert again.exit_code == 0, again.output
    assert_same(run.folder, RunFolder(tmp_path / "again"))
    asked = "hello\n\nwhere are you?\nzyx wvu\nquit\nnever read\n"
    transcript = tmp_path / "talk.txt"
    runner = CliRunner()
    told = runner.invoke(
        flambeau, ["chat", str(run.folder.path), "--json", "--transcript", str(transcript)], input=asked
    )
    answers = [json.loads(line) for line in told.stdout.splitlines()]
    assert [answer["question"] for answer in answers] == ["hello", "where are you?", "zyx wvu"]
    assert [answer["answer"] for answer in answers[:2]] == ["Hello!", "Main street."]
    assert transcript.read_text().count("you  ") == 3
    with pytest.raises(UsageError, match="talks"):
        run.predict(str(questions))


@pytest.mark.slow
def test_a_model_writes_on_the_command_line(text: Path, tmp_path: Path) -> None:
    run = fb.train(str(text), out=tmp_path / "run", **{**SMALL, "epochs": 1})
    words = ["sample", str(run.folder.path), "--length", "12", "--prompt", "the cat", "--json"]
    lines = [CliRunner().invoke(flambeau, [*words, "--seed", seed]).stdout for seed in ("1", "1", "2")]
    assert lines[0] == lines[1] != lines[2]
    assert len(json.loads(lines[0])["text"]) == 12
    refused = CliRunner().invoke(flambeau, ["predict", str(run.folder.path), str(text)])
    assert isinstance(refused.exception, UsageError)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"folds": 3}, "divided by place"),
        ({"split": {"train": 0.9, "valid": 0.2}}, "nothing for an honest test"),
        ({"training": {"lr_finder": True}}, "lr_finder"),
        ({"language": {"tokens": "bytes", "vocabulary": 400}}, "for subwords"),
        ({"evaluation": {"metric": "perplexity"}}, "nats per token"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    text: Path, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError, match=told):
        fb.train(str(text), out=tmp_path / "run", task="language", **options)


def test_the_recipe_of_a_chat_may_be_given_again(questions: Path) -> None:
    report = fb.check(str(questions), task="chat", split={"refit": True, "folds": 0})
    assert report.count == 18
    with pytest.raises(RecipeError, match="its own questions"):
        fb.check(str(questions), task="chat", data={"test": "other.json"})


def test_every_option_is_obeyed_by_a_chatbot_or_refused_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = Choices(Recipe(task="chat"))
    keys = [key for key, option in options().items() if option.section is None]
    obeyed = {key for key in keys if key.startswith(OBEYED_BY_CHAT)}
    assert all(any(key.startswith(name) for key in keys) for name in OBEYED_BY_CHAT)
    refused, told = set(), set()
    for key in keys:
        monkeypatch.setattr("flambeau.stages.other_flows.given_options", lambda _, key=key: {key: "other"})
        try:
            refuse_for_texts(choices, "chat")
        except RecipeError:
            refused.add(key)
        told |= {key} if idle_findings(choices, "chat") else set()
    assert obeyed | refused | told == set(keys)
    assert {"model.init", "training.minutes", "training.loss.name"} <= refused
    assert {"language.tie", "training.recompute", "training.compile", "image.size", "data.target"} <= told
    assert not obeyed & (refused | told)


def test_an_idle_option_is_told(text: Path) -> None:
    report = fb.check(str(text), task="language", image={"size": 32})
    assert any("image.size" in finding.message for finding in report.findings)
    assert report.schema.task == "language"


def test_a_bot_of_a_few_questions_answers_them(tmp_path: Path) -> None:
    path = tmp_path / "intents.json"
    asked = {
        "greeting": ["hi", "hello", "good morning", "hey there"],
        "bye": ["bye", "see you later", "goodbye", "farewell"],
        "price": ["how much", "what does it cost", "tell me the price", "is it expensive"],
    }
    intents = [{"tag": tag, "patterns": texts, "responses": [f"A {tag}."]} for tag, texts in asked.items()]
    path.write_text(json.dumps({"intents": intents}))
    told: list[dict[str, Any]] = []
    options = {**SMALL, "chat": {"writes": False}, "out": tmp_path / "run", "on_record": told.append}
    run = fb.train(str(path), **options)
    bot = ChatBot(load_bundle(run.folder.model))
    for tag, texts in asked.items():
        assert [bot.reply(text).text for text in texts] == [f"A {tag}."] * 4
    assert not bot.reply("zebra quartz 17").knows
    assert "too few to say how good the bot is" in run.scores["verdict"]
    assert any("too few to tell" in str(record.get("text")) for record in told)
    (answer,) = answer_texts(run.folder, ("zebra quartz 17",), explain=False)
    assert answer["input"] == "zebra quartz 17" and not answer["knows"]
    with pytest.raises(UsageError, match="this model talks"):
        answer_texts(run.folder, ("hi",), explain=True)


def test_made_dialogues_and_texts_are_read_by_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAMBEAU_CACHE", str(tmp_path / "cache"))
    for name, task in (("synthetic:dialogue:40", "chat"), ("synthetic:language:200", "language")):
        assert flow_of(Recipe(), name) is FLOWS[task]
        report = check(name, Recipe())
        assert report.schema.task == task and report.count > 0
