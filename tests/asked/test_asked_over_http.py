"""Chatbots, language models and generators over HTTP: the same answers as on the command line, and strange requests."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked_bundles import UNKNOWN
from PIL import Image
from starlette.testclient import TestClient

from flambeau.deploy.bundle import load_bundle
from flambeau.deploy.making.making import sample_pixels
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import load_model
from flambeau.deploy.serve.page import page_model
from flambeau.deploy.serve.run import _example
from flambeau.deploy.serve.talking import MOST_TOKENS, TOKENS_A_STEP
from flambeau.deploy.writing.chatting import ChatBot
from flambeau.deploy.writing.writing import continue_text

Ask = Callable[..., TestClient]


def send(client: TestClient, value: Any, path: str = "/predict") -> Any:
    return client.post(path, content=json.dumps(value), headers={"content-type": "application/json"})


def refused(answer: Any, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    told: dict[str, str] = answer.json()
    assert told["what"] and set(told) <= {"what", "where", "got", "expected", "hint"}
    return told


def test_a_question_is_answered_as_in_a_chat(ask: Ask, asked_folder: Path) -> None:
    client, bot = ask("bot"), ChatBot(load_bundle(asked_folder / "bot"))
    for question in (
        "Hello, good morning!",
        "when are you open",
        "zyx wvu",
        "\n when are\tyou  open?\n\u200b",
    ):
        expected = bot.reply(question).to_json(question)
        del expected["question"]
        assert send(client, {"question": question}).json() == pytest.approx(expected)
    assert send(client, {"question": "hello"}).json()["knows"]
    assert send(client, {"question": "hello", "turn": 1}).json()["answer"] == "Hi there!"
    sure = {
        send(client, {"question": f"when are you open{end}"}).json()["confidence"]
        for end in ("", "?\n", " \r\n")
    }
    assert len(sure) == 1
    silent = send(client, {"question": "zyx wvu"}).json()
    assert (silent["answer"], silent["knows"]) == (UNKNOWN, False) and silent["confidence"] < 0.5


def test_several_questions_are_answered_as_each_alone(ask: Ask) -> None:
    client = ask("bot")
    questions = ["hello", "how much is it?", "", "  ?! ", "zyx", "ΕΛΛΗΝΙΚΑ 中文 😀 ß", "x" * 100_000]
    alone = [send(client, {"question": question}).json() for question in questions]
    together = send(client, {"rows": [{"question": question} for question in questions]}).json()
    assert [answer.pop("input") for answer in together["answers"]] == [f"row {n}" for n in range(1, 8)]
    for one, other in zip(alone, together["answers"], strict=True):
        assert other.pop("confidence") == pytest.approx(one.pop("confidence"), abs=2e-6)
        assert one == other
    assert alone[2] == {"answer": UNKNOWN, "knows": False}


def test_where_it_does_not_know_the_small_net_writes(ask: Ask, asked_folder: Path) -> None:
    client, bot = ask("bot", "quiet"), ChatBot(load_bundle(asked_folder / "bot"))
    asked = [
        {"question": "zyx", "write": True, "turn": 4},
        {"question": "hello", "write": True},
        {"question": "abc"},
    ]
    answers = send(client, asked).json()["answers"]
    assert answers[0]["written"] == bot.write("zyx", seed=4) != ""
    assert "written" not in answers[1] and "written" not in answers[2]
    told = refused(send(client, asked[0], "/models/quiet/predict"), 422)
    assert told["expected"] == "question, turn"


def test_a_text_is_written_as_by_sample(ask: Ask, asked_folder: Path) -> None:
    client, bundle = ask("writer"), load_bundle(asked_folder / "writer")
    length = 2 * TOKENS_A_STEP + 5
    for options in ({"seed": 3}, {"temperature": 0}, {"top_k": 2, "temperature": 1.5}):
        written = send(client, {"prompt": "the cat", "length": length, **options}).json()
        expected = continue_text(bundle, "the cat", length=length, **options)  # type: ignore[arg-type]
        assert written == {"text": expected, "tokens": length, "strange": []}
    several = send(client, [{"prompt": "the cat", "length": 7, "seed": seed} for seed in (1, 1, 2)]).json()[
        "answers"
    ]
    assert several[0]["text"] == several[1]["text"] != several[2]["text"]
    strange = send(client, {"prompt": "ß中😀 the", "length": 3}).json()["strange"]
    assert "'ß', '中', '😀'" in strange[0]
    assert send(client, {}).json()["tokens"] == 200


def test_pictures_are_made_as_by_sample(ask: Ask, asked_folder: Path) -> None:
    client, bundle = ask("maker"), load_bundle(asked_folder / "maker")
    made = send(client, {"count": 5, "seed": 7}).json()["pictures"]
    expected = sample_pixels(bundle, 5, 7)
    for address, pixels in zip(made, expected, strict=True):
        head, _, data = address.partition(",")
        assert head == "data:image/png;base64"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), pixels[..., 0])
    told = refused(send(client, [{"count": 60}, {"count": 60}]), 413)
    assert told["got"] == "120" and "flambeau sample" in told["hint"]


@pytest.mark.parametrize(
    ("model", "request_", "status", "words"),
    [
        ("bot", {}, 422, "'question' is missing"),
        ("bot", {"question": None}, 422, "'question' is missing"),
        ("bot", {"question": 3}, 422, "'question' is not a text"),
        ("bot", {"questoin": "hello"}, 422, "not asked so"),
        ("bot", {"question": ["hello"]}, 422, "not a text"),
        ("bot", {"question": "x" * 200_001}, 413, "a text is too long"),
        ("bot", {"question": "x", "turn": -1}, 422, "'turn' is out of range"),
        ("bot", {"question": "x", "write": 1}, 422, "'write' is not true or false"),
        ("bot", [{"question": "x"}] * 1001, 413, "too many rows"),
        ("bot", [{"question": "x", "write": True}] * 100, 413, "too much is to be written"),
        ("bot", "hello", 422, "these are not rows"),
        ("bot", [], 422, "these are not rows"),
        ("writer", {"prompt": "x" * 20_001}, 413, "a text is too long"),
        ("writer", {"length": MOST_TOKENS + 1}, 422, "'length' is out of range"),
        ("writer", {"length": 0}, 422, "'length' is out of range"),
        ("writer", {"length": 1.5}, 422, "'length' is not a whole number"),
        ("writer", {"length": True}, 422, "'length' is not a whole number"),
        ("writer", {"temperature": 1e300}, 422, "'temperature' is out of range"),
        ("writer", {"seed": 2**60}, 422, "'seed' is out of range"),
        ("writer", [{"length": 700}, {"length": 301}], 413, "too much is to be written"),
        ("maker", {"count": 65}, 422, "'count' is out of range"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told(ask: Ask, model: str, request_: Any, status: int, words: str) -> None:
    assert words in refused(send(ask(model), request_), status)["what"]


def test_other_bodies_and_explanations_are_refused(ask: Ask) -> None:
    client = ask("bot")
    refused(client.post("/predict", content=b"hello", headers={"content-type": "text/plain"}), 415)
    refused(client.post("/predict", content=b"{", headers={"content-type": "application/json"}), 400)
    surrogate = client.post(
        "/predict", content=b'{"question": "\\ud800"}', headers={"content-type": "application/json"}
    )
    refused(surrogate, 400)
    assert "explained" in refused(send(client, {"question": "hello"}, "/predict?explain=1"), 422)["what"]


def test_a_short_text_need_not_wait_for_a_long_one(ask: Ask) -> None:
    client = ask("writer")
    order = []

    def write(length: int) -> None:
        assert send(client, {"length": length}).status_code == 200
        order.append(length)

    long = threading.Thread(target=write, args=(MOST_TOKENS,))
    long.start()
    while "flambeau_made_total{" not in client.get("/metrics").text:
        pass
    write(TOKENS_A_STEP)
    long.join()
    assert order == [TOKENS_A_STEP, MOST_TOKENS]


def test_a_text_that_takes_too_long_is_given_up(ask: Ask) -> None:
    client = ask("writer", limits=Limits(seconds=0.05))
    answer = send(client, {"length": MOST_TOKENS})
    told = refused(answer, 413)
    assert "takes too long" in told["what"] and "tokens in 0.05 seconds" in told["got"]
    assert "retry-after" not in answer.headers  # it would take as long again


def test_it_counts_and_describes(ask: Ask) -> None:
    client = ask("bot", "writer", "maker")
    send(client, [{"question": "hello"}, {"question": "zyx", "write": True}])
    send(client, {"length": 20}, "/models/writer/predict")
    send(client, {"count": 3}, "/models/maker/predict")
    lines = client.get("/metrics").text.splitlines()
    for label in ("answered", "unknown"):
        (line,) = (line for line in lines if line.startswith(f'flambeau_predictions_total{{label="{label}"'))
        assert line.endswith(" 1.0")
    made = [line for line in lines if line.startswith("flambeau_made_total{")]
    assert [line.rpartition(" ")[2] for line in made] == ["20.0", "3.0"]
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["Row0"]["required"] == ["question"] and schemas["Row0"]["additionalProperties"] is False
    assert schemas["Row1"]["properties"]["length"]["maximum"] == MOST_TOKENS
    assert {"answer", "confidence", "knows"} <= set(schemas["Answer0"]["required"])
    assert schemas["Answer2"]["required"] == ["pictures"]
    models = client.get("/models").json()["models"]
    assert [model["takes"] for model in models] == ["fields"] * 3
    assert [field["name"] for field in models[2]["fields"]] == ["count", "seed"]


@pytest.mark.parametrize("name", ["bot", "writer", "maker"])
def test_the_example_that_is_printed_works(ask: Ask, asked_folder: Path, name: str) -> None:
    model = load_model(str(asked_folder / name), Limits())
    command = _example(model, "http://x", locked=False)
    body = command.partition("-d ")[2].strip("'")
    assert send(ask(name), json.loads(body)).status_code == 200
    page = page_model(model)
    assert page["kind"] == model.bundle.schema.task
    assert [field["name"] for field in page["fields"]][-1] in ("write", "seed")
