"""Chatbots, language models and generators as files: they agree, tell of themselves, and their examples work alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from asked_bundles import ANSWERS, UNKNOWN, chat_bundle, language_bundle, saved

from flambeau.data.dialogue.joining import plain_question
from flambeau.data.dialogue.shapes import texts_of_item
from flambeau.deploy.bundle import load_bundle
from flambeau.deploy.export.chat_file import QuestionToChances, chat_example
from flambeau.deploy.export.language_file import TokensToChances, language_example
from flambeau.deploy.export.recognise import _archived_metadata, is_export
from flambeau.deploy.export.write import export_run
from flambeau.deploy.versions.resolve import find_model
from flambeau.deploy.writing.chatting import ChatBot, bare_question
from flambeau.deploy.writing.writing import continue_text, writing_parts
from flambeau.errors import UsageError
from flambeau.transforms.dialogue import wide_pieces

FORMATS = ("onnx", "pt2", "torchscript")
QUESTIONS = ("Hello, good morning!", "when are you open?", "zyx wvu", "", "ΕΛΛΗΝΙΚΑ 中文 😀 İß", "x" * 3_000)


def told_by(script: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_graph_of_a_chatbot_finds_what_the_bot_finds() -> None:
    bot = ChatBot(chat_bundle())
    asked = [bare_question(question) for question in QUESTIONS]
    expected = bot.chances(wide_pieces(bot.preparation.pieces, asked))
    rows = [text.encode() for text in asked]
    padded = np.array([list(row.ljust(max(map(len, rows)), b"\0")) for row in rows], np.uint8)
    found = QuestionToChances(bot)(torch.from_numpy(padded)).numpy()
    assert np.abs(found - expected).max() < 1e-6
    assert found[0].argmax() == 0 and found[1].argmax() == 1


@pytest.mark.parametrize("model", ["language_transformer", "language_lstm"])
def test_the_graph_of_a_language_model_writes_as_sample(model: str) -> None:
    bundle = language_bundle(model, context=30)
    preparation, module = writing_parts(bundle)
    graph, ids = TokensToChances(module), preparation.encode("the cat").tolist()
    for _ in range(20):
        chances = graph(torch.tensor([ids], dtype=torch.int32))[0, -1]
        assert float(chances.exp().sum().detach()) == pytest.approx(1.0, abs=1e-5)
        ids.append(int(chances.argmax()))
    assert preparation.decode(ids[7:]) == continue_text(bundle, "the cat", length=20, temperature=0)


def test_an_export_is_written_beside_its_example(asked_folder: Path, tmp_path: Path) -> None:
    for name, kind in (("bot", "chat"), ("writer", "language"), ("maker", "generate")):
        report = export_run(find_model(str(asked_folder / name)), "torchscript", out=tmp_path / f"{name}.pt")
        assert report["agreement"] <= 1e-5 and report["rows"] > 8 and report["precision"] == "fp32"
        assert is_export(Path(report["file"])) and is_export(Path(report["example"]))
        compile(Path(report["example"]).read_text(encoding="utf-8"), name, "exec")
        with pytest.raises(UsageError, match="fp32"):
            export_run(
                find_model(str(asked_folder / name)), "pt2", quantize="bf16", out=tmp_path / f"{name}.pt2"
            )
        about = json.loads(_archived_metadata(Path(report["file"])) or "")
        assert about["task"] == kind
    again = export_run(find_model(str(asked_folder / "bot")), "torchscript", out=tmp_path / "bot.pt")
    assert again["rows"] > 8  # it may stand in its own place


@pytest.mark.parametrize("to", FORMATS)
def test_examples_are_python_for_every_kind_of_tokens(to: str) -> None:
    for tokens in ("characters", "bytes", "subwords"):
        text = language_example(language_bundle(tokens=tokens), Path("m.bin"), to)
        compile(text, "example", "exec")
        assert "flambeau import" not in text and "import flambeau" not in text
    compile(chat_example(chat_bundle(), Path("m.bin"), to), "example", "exec")


def test_the_example_compares_a_question_as_training_does() -> None:
    rule = chat_example(chat_bundle(), Path("m.bin"), "onnx").partition("if len(")[0]
    names: dict[str, Any] = {}
    exec(rule, names)
    for question in (*QUESTIONS, " When are\nyou\u00a0 open ?!\u200b\n", "\ufeff'Who'?"):
        assert names["plain_question"](question)[:2000] == bare_question(question)
    assert bare_question(" When are\nyou\u00a0 open ?!\u200b\n") == "when are you open"
    # training joins the blanks of a question when it reads it
    assert bare_question("a  b\n?") == plain_question(*texts_of_item("a  b\n?"))


@pytest.mark.slow
def test_an_exported_chatbot_answers_as_the_bot(asked_folder: Path, tmp_path: Path) -> None:
    report = export_run(find_model(str(asked_folder / "bot")), "onnx", out=tmp_path / "bot.onnx")
    assert report["agreement"] <= 1e-5
    bot = ChatBot(load_bundle(asked_folder / "bot"))
    for question in QUESTIONS[:4]:
        told = json.loads(told_by(report["example"], question))
        reply = bot.reply(question)
        assert (told["answer"], told["knows"]) == (reply.text, reply.knows)
        assert told["confidence"] == pytest.approx(reply.sure, abs=1e-6)
    session = onnxruntime.InferenceSession(report["file"])
    assert session.get_inputs()[0].shape == ["batch", "bytes"]
    assert session.get_outputs()[0].shape == ["batch", len(ANSWERS)]
    about = json.loads(session.get_modelmeta().custom_metadata_map["flambeau"])
    assert about["unknown"] == UNKNOWN and about["answers"] == [list(texts) for texts in ANSWERS]


CASES: list[tuple[str, str, str]] = [
    ("onnx", "language_transformer", "subwords"),
    ("onnx", "language_lstm", "characters"),
    ("pt2", "language_lstm", "bytes"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("to", "model", "tokens"), CASES)
def test_an_exported_language_model_writes_alone(tmp_path: Path, to: str, model: str, tokens: str) -> None:
    bundle = language_bundle(model, tokens, context=40)
    folder = saved(tmp_path / "model", bundle)
    suffix: Any = {"torchscript": ".pt"}.get(to, f".{to}")
    report = export_run(find_model(str(folder)), to, out=tmp_path / f"writer{suffix}")
    assert report["agreement"] <= 1e-5
    assert ("vocabulary" in report) == (tokens == "subwords")
    expected = "the cat" + continue_text(bundle, "the cat", length=12, temperature=0)
    assert told_by(report["example"], "the cat", "12", "0").removesuffix("\n") == expected
    drawn = (
        [told_by(report["example"], "", "12", "1", seed) for seed in ("5", "5", "6")] if to == "onnx" else []
    )
    assert not drawn or drawn[0] == drawn[1] != drawn[2]
    if to == "onnx":
        assert onnxruntime.InferenceSession(report["file"]).get_inputs()[0].shape == [
            "batch",
            40 if model == "language_lstm" else "tokens",
        ]
