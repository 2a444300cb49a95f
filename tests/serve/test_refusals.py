"""Whose fault an error is, which rows are counted, and how long a body counts as held."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import ROW, picture
from starlette.testclient import TestClient

from flambeau.deploy.serve.app import App, as_refusal
from flambeau.deploy.serve.limits import Limits, RefusalError
from flambeau.deploy.serve.models import load_model
from flambeau.deploy.serve.predicting import Predicting
from flambeau.errors import DataError, FlambeauError, ModelError, RunError

Serve = Callable[..., TestClient]


def test_braces_in_texts_are_no_rows(serve: Serve) -> None:
    client = serve("table-classification", limits=Limits(rows=3))
    rows = [ROW | {"colour": '{{{{ "{" \\' + "{" * 50}] * 3
    assert len(client.post("/predict", json={"rows": rows}).json()["answers"]) == 3
    told = client.post("/predict", json={"rows": rows * 2}).json()
    assert (told["got"], told["expected"]) == ("7 objects", "at most 3")


@pytest.mark.parametrize(
    ("error", "status", "got"),
    [
        (ModelError("its weights are damaged", got="/secret/place/model.py"), 500, None),
        (RunError("no run", where="/secret/place"), 500, None),
        (DataError("no such column", got="age"), 422, "age"),
    ],
)
def test_only_what_the_client_sent_is_its_own_fault(
    error: FlambeauError, status: int, got: str | None
) -> None:
    refusal = as_refusal(error)
    assert refusal.status == status
    assert refusal.to_json().get("got") == got
    assert b"/secret" not in refusal.body()


def test_a_multipart_without_threads_that_decode(serve: Serve) -> None:
    client = serve("pictures-classification", decoders=0)
    files = [("f", (f"{n}.png", picture(seed=n), "image/png")) for n in range(40)]
    files[3] = ("f", ("3.png", b"GIF89a", "image/png"))
    answers = client.post("/predict", files=files).json()["answers"]
    assert ["error" in answer for answer in answers] == [n == 3 for n in range(40)]
    told = client.post("/predict", content=b"GIF89a", headers={"content-type": "image/gif"})
    assert told.status_code == 422 and "0x" not in told.text
    app = client.app
    assert isinstance(app, App)
    end = time.monotonic() + 10
    while app.predicting.held and time.monotonic() < end:
        time.sleep(0.01)
    assert app.predicting.held == 0


@pytest.mark.parametrize("decoders", [0, 1])
def test_a_body_counts_as_held_until_nothing_decodes_it(
    bundles: Path, decoders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(str(bundles / "pictures-classification"), Limits())
    began, go = threading.Event(), threading.Event()
    decode = model.decode

    def slowly(body: bytes) -> Any:
        began.set()
        assert go.wait(10)
        return decode(body)

    monkeypatch.setattr(model, "decode", slowly)
    body = picture()

    async def whole() -> None:
        predicting = Predicting(Limits(seconds=0.2), decoders)
        predicting.batcher.start()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        scope = {"headers": [(b"content-type", b"image/png")], "query_string": b""}
        with pytest.raises(RefusalError):
            await predicting.predict(model, scope, receive)
        assert began.is_set()
        assert predicting.held == len(body)
        go.set()
        while predicting.held:
            await asyncio.sleep(0.01)
        predicting.batcher.stop()

    asyncio.run(asyncio.wait_for(whole(), 20))
