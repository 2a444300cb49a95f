"""Every address, every form of a body, every refusal, in this process."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import CLASSES, ROW, picture
from starlette.testclient import TestClient

from flambeau.data.pictures.load import load_picture
from flambeau.deploy.answer import describe_prediction, predict_inputs
from flambeau.deploy.bundle import load_bundle
from flambeau.deploy.serve.limits import Limits

Serve = Callable[..., TestClient]
JSON = {"content-type": "application/json"}
TASKS = ("classification", "multilabel", "regression")


def send(client: TestClient, value: Any, path: str = "/predict") -> Any:
    return client.post(path, content=value if isinstance(value, bytes) else json.dumps(value), headers=JSON)


def problem(answer: Any, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    told: dict[str, str] = answer.json()
    assert told["what"]
    assert set(told) <= {"what", "where", "got", "expected", "hint"}
    return told


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Equal but for the last digit, which depends on how many inputs were answered together."""
    both = (dict(one), dict(other))
    probabilities = [answer.pop("probabilities", {}) for answer in both]
    values = [answer.pop("value", 0.0) for answer in both]
    return (
        both[0] == both[1]
        and values[0] == pytest.approx(values[1], rel=1e-5)
        and probabilities[0] == pytest.approx(probabilities[1], abs=2e-6)
    )


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("decoders", [0, 1])
def test_a_picture_is_answered_as_by_predict(serve: Serve, bundles: Path, task: str, decoders: int) -> None:
    import torch

    bundle = load_bundle(bundles / f"pictures-{task}")
    body = picture(40, 30)
    pixels = load_picture(io.BytesIO(body), size=(16, 16), channels=3, bits=8)
    prepared = bundle.preparation.prepare(torch.from_numpy(pixels[None]))  # type: ignore[union-attr]
    expected = describe_prediction(bundle, predict_inputs(bundle, (prepared,))[0])
    client = serve(f"pictures-{task}", decoders=decoders)
    for kind in ("image/png", "application/octet-stream"):
        answer = client.post("/predict", content=body, headers={"content-type": kind})
        assert answer.status_code == 200
        assert answer.json() == {**expected, "strange": []}


@pytest.mark.parametrize("task", TASKS)
def test_every_form_of_rows(serve: Serve, task: str) -> None:
    client = serve(f"table-{task}")
    one = send(client, ROW).json()
    assert set(one) == (
        {"value", "strange"} if task == "regression" else {"label", "probabilities", "strange"}
    )
    assert send(client, {"row": ROW}).json() == one
    for form in ([ROW, ROW], {"rows": [ROW, ROW]}):
        several = send(client, form).json()
        assert [answer.pop("input") for answer in several["answers"]] == ["row 1", "row 2"]
        assert all(alike(answer, one) for answer in several["answers"])


def test_several_pictures_and_one_that_is_none(serve: Serve) -> None:
    client = serve("pictures-classification")
    files = [
        ("file", ("a/<b>x.png", picture(seed=1), "image/png")),
        ("file", ("broken.png", b"not a picture", "image/png")),
        ("file", ("", picture(seed=2), "image/png")),
        ("file", ("c.png", picture(seed=3)[:200], "image/png")),
        ("other", ("d.jpg", picture(kind="jpeg"), "image/jpeg")),
    ]
    answer = client.post("/predict", files=files)
    assert answer.status_code == 200
    told = answer.json()["answers"]
    assert [one["input"] for one in told] == ["<b>x.png", "broken.png", "c.png", "d.jpg"]
    assert ["error" in one for one in told] == [False, True, True, False]
    alone = client.post("/predict", content=picture(seed=1), headers={"content-type": "image/png"}).json()
    del told[0]["input"]
    assert alike(told[0], alone)
    problem(client.post("/predict", files=[("file", ("broken.png", b"no", "image/png"))]), 422)


def test_models_and_versions_have_addresses(serve: Serve) -> None:
    client = serve("pictures-classification", "houses=table-regression", "other=table-multilabel")
    told = client.get("/models").json()
    assert [model["name"] for model in told["models"]] == ["pictures-classification", "houses", "other"]
    assert told["default"] == "pictures-classification"
    for model in told["models"]:
        assert client.get(f"/models/{model['name']}").json() == model
        assert client.get(f"/models/{model['name']}/versions/{model['version']}").json() == model
        assert send(client, ROW, model["predict"]).status_code == (200 if model["takes"] == "table" else 415)
    assert send(client, ROW, "/models/houses/predict").json().keys() == {"value", "strange"}
    columns = told["models"][1]["columns"]
    assert [column["name"] for column in columns] == list(ROW)
    assert columns[0]["low"] == 1.0 and columns[2]["values"] == ["red", "green", "<i>blue</i>"]


def test_what_is_not_there(serve: Serve) -> None:
    client = serve("table-classification")
    assert (
        "table-classification"
        in problem(send(client, ROW, "/models/table-clasification/predict"), 404)["hint"]
    )
    problem(send(client, ROW, "/models/table-classification/versions/9/predict"), 404)
    problem(client.get("/models/table-classification/nothing"), 404)
    problem(client.get("/models/../../etc/passwd"), 404)
    problem(client.get("/modells"), 404)
    answer = client.get("/predict")
    assert problem(answer, 405) and answer.headers["allow"] == "POST"
    answer = client.post("/health")
    assert problem(answer, 405) and answer.headers["allow"] == "GET, HEAD"
    assert client.head("/health").status_code == 200


def test_health_ready_and_metrics(serve: Serve) -> None:
    client = serve("table-classification")
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
    send(client, {"rows": [ROW, {**ROW, "colour": "pink"}]})
    send(client, [])
    text = client.get("/metrics").text
    assert 'flambeau_requests_total{model="table-classification",status="200"' in text
    assert 'flambeau_requests_total{model="table-classification",status="422"' in text
    strange = [line for line in text.splitlines() if line.startswith("flambeau_strange_inputs_total")]
    assert len(strange) == 1 and 'kind="category"' in strange[0] and strange[0].endswith(" 1.0")
    counted = [line for line in text.splitlines() if line.startswith("flambeau_predictions_total")]
    assert sum(float(line.rpartition(" ")[2]) for line in counted) == 2
    assert "flambeau_waiting_inputs 0.0" in text


def test_strange_values_are_told(serve: Serve) -> None:
    client = serve("table-regression")
    row = {"age & <b>size</b>": 1e9, "rich": "perhaps", "colour": "<script>", "sold": "yesterday"}
    told = send(client, row).json()["strange"]
    assert len(told) == 4
    assert "outside of 1 to 100" in told[0] and "no yes or no" in told[1]
    assert "'<script>'" in told[2] and "no date" in told[3]
    # its training data had rows without a colour
    told = send(client, dict.fromkeys(ROW)).json()["strange"]
    missing = [name for name in ROW if name != "colour"]
    assert [f"'{name}' is missing" in sentence for name, sentence in zip(missing, told, strict=True)] == [
        True
    ] * 3


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "JSON"),
        (b"{", 400, "JSON"),
        (b"\xff\xfe", 400, "JSON"),
        (b'{"rich": NaN}', 400, "NaN"),
        (b"[" * 100_000, 400, "nested"),
        (b'{"rich": "\\ud800"}', 400, "surrogate"),
        (b'{"rich": ' + b"9" * 5000 + b"}", 400, "JSON"),
        (b"3", 422, "rows"),
        (b"[]", 422, "rows"),
        (b"[3]", 422, "rows"),
        (b'{"rows": []}', 422, "rows"),
        (b'{"rows": 3}', 422, "column"),
        (b"{}", 422, "column"),
        (b'{"age": 3}', 422, "column"),
        (b'{"rich": [1]}', 422, "value"),
        (b'{"rich": {"a": 1}}', 422, "value"),
        (b"[" + b"{}," * 10_001 + b"{}]", 413, "rows"),
        (b"[" + b"1," * 10_001 + b"1]", 413, "rows"),
        (b" " * (9 * 2**20), 413, "large"),
    ],
)
def test_bodies_that_are_no_rows(serve: Serve, body: bytes, status: int, word: str) -> None:
    answer = send(serve("table-classification"), body)
    told = problem(answer, status)
    assert word in " ".join(told.values())


def test_a_million_rows_are_refused_soon(serve: Serve) -> None:
    client = serve("table-classification", limits=Limits())
    answer = send(client, b"[" + b'{"r":1},' * 999_999 + b'{"r":1}]')
    problem(answer, 413)


def bomb(side: int) -> bytes:
    """A PNG that declares side × side pixels and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"GIF89a", 422),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422),
        (picture()[:-300], 422),
        (picture(kind="jpeg")[:100], 422),
        (bomb(60_000), 413),
        (bomb(3_000), 422),
        (picture(1, 1), 200),
        (picture(1, 3000), 200),
        (picture(2500, 2000, "jpeg"), 200),
    ],
)
def test_hostile_pictures(serve: Serve, body: bytes, status: int) -> None:
    client = serve("pictures-classification")
    answer = client.post("/predict", content=body, headers={"content-type": "image/png"})
    assert answer.status_code == status, answer.text
    if status != 200:
        problem(answer, status)
        assert "0x" not in answer.text and "/" not in answer.json().get("got", "")


def test_wrong_types_of_bodies(serve: Serve) -> None:
    pictures, table = serve("pictures-classification"), serve("table-classification")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/json"):
        problem(pictures.post("/predict", content=b"x", headers={"content-type": kind}), 415)
    problem(table.post("/predict", content=picture(), headers={"content-type": "image/png"}), 415)
    problem(table.post("/predict", files={"file": ("a.csv", b"x")}), 415)
    for body, kind in (
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=a"),
        (b"--a\r\n\r\nx\r\n--a--\r\n", "multipart/form-data; boundary=a"),
    ):
        problem(pictures.post("/predict", content=body, headers={"content-type": kind}), 400)
    problem(pictures.post("/predict", files={"file": (None, b"x")}), 422)


def test_limits_of_bytes_and_files(serve: Serve) -> None:
    client = serve("pictures-classification", limits=Limits(bytes=3000, files=2))
    headers = {"content-type": "image/png"}
    problem(client.post("/predict", content=b"x" * 3001, headers=headers), 413)
    problem(client.post("/predict", content=iter([b"x" * 2000] * 2), headers=headers), 413)
    problem(client.post("/predict", files=[("f", (f"{n}.png", b"x", "image/png")) for n in range(3)]), 413)
    client = serve("pictures-classification", limits=Limits(bodies=1000))
    answer = client.post("/predict", content=b"x" * 1001, headers=headers)
    assert problem(answer, 503) and int(answer.headers["retry-after"]) >= 1


def test_the_key(serve: Serve) -> None:
    client = serve("table-classification", api_key="secret")
    for path in ("/health", "/ready"):
        assert client.get(path).status_code == 200
    for path in ("/models", "/metrics", "/openapi.json", "/nothing"):
        assert problem(client.get(path), 401) and client.get(path).headers["www-authenticate"] == "Bearer"
    problem(send(client, ROW), 401)
    for headers in ({"authorization": "Bearer wrong"}, {"authorization": "secret2"}, {"x-api-key": "é"}):
        problem(client.post("/predict", json=ROW, headers={k: v.encode() for k, v in headers.items()}), 401)  # type: ignore[arg-type]
    for headers in ({"authorization": "Bearer secret"}, {"x-api-key": "secret"}):
        assert client.post("/predict", json=ROW, headers=headers).status_code == 200
        assert client.get("/models", headers=headers).status_code == 200


def test_why(serve: Serve) -> None:
    pictures, table = serve("pictures-classification"), serve("table-classification")
    answer = pictures.post(
        "/predict?explain", content=picture(), headers={"content-type": "image/png"}
    ).json()
    assert np.array(answer["why"]["heat"]).ndim == 2 and answer["why"]["label"] == answer["label"]
    answer = send(table, ROW, "/predict?explain=dog%20%26%20co").json()
    assert answer["why"]["label"] == CLASSES[1]
    assert {effect["column"] for effect in answer["why"]["effects"]} == set(ROW)
    problem(send(table, ROW, "/predict?explain=horse"), 422)
    problem(send(table, [ROW, ROW], "/predict?explain=1"), 422)
    assert "why" not in send(table, ROW, "/predict?explain=0").json()
