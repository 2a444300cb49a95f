"""The description that a server gives of itself, and requests that are made from it without mercy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from served import CLASSES, ROW
from starlette.testclient import TestClient

Serve = Callable[..., TestClient]
ALL = [
    f"{kind}-{task}"
    for kind in ("table", "pictures")
    for task in ("classification", "multilabel", "regression")
]


def test_it_tells_columns_categories_ranges_and_answers(serve: Serve) -> None:
    document = serve(*ALL, api_key="secret").get("/openapi.json", headers={"x-api-key": "secret"}).json()
    assert document["openapi"].startswith("3.1")
    assert document["security"]
    schemas = document["components"]["schemas"]
    row = schemas["Row0"]
    assert row["required"] == list(ROW)
    age = row["properties"]["age & <b>size</b>"]
    assert (age["x-trained-low"], age["x-trained-high"]) == (1.0, 100.0)
    assert {"number", "string", "null"} == {one["type"] for one in age["anyOf"]}
    colour = row["properties"]["colour"]["anyOf"]
    assert ["red", "green", "<i>blue</i>"] in [one.get("enum") for one in colour]
    assert "note" not in row["properties"]
    assert schemas["Answer0"]["properties"]["label"]["enum"] == list(CLASSES)
    assert schemas["Answer1"]["properties"]["label"]["items"]["enum"] == list(CLASSES)
    assert set(schemas["Answer2"]["required"]) == {"value", "strange"}
    pictures = document["paths"]["/models/pictures-regression/predict"]["post"]["requestBody"]["content"]
    assert {"image/jpeg", "multipart/form-data"} <= set(pictures)


def test_paths_of_the_document_are_the_paths_of_the_server(serve: Serve) -> None:
    client = serve(*ALL)
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method in methods:
            assert client.request(method, path).status_code not in (404, 405), path


@pytest.mark.slow
@pytest.mark.parametrize("word", ["table-classification", "table-regression", "pictures-classification"])
def test_requests_made_from_the_document_break_nothing(serve: Serve, bundles: Path, word: str) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    client = serve(word)
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    seen: set[int] = set()
    for result in schema.get_all_operations():
        operation = result.ok()

        @seed(0)
        @settings(
            max_examples=40, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            answer = case.call()
            seen.add(answer.status_code)
            assert str(bundles) not in answer.text and "Traceback" not in answer.text
            case.validate_response(answer, checks=checks)

        send()
    assert 200 in seen or word.startswith("pictures")
    assert not [status for status in seen if status >= 500]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ROW, "row", "rows", ""]), inner)
    ),
    max_leaves=8,
)
ROWS = st.fixed_dictionaries(
    {name: st.none() | st.integers() | st.floats() | st.text(max_size=8) for name in ROW}
)


@pytest.mark.slow
def test_any_json_is_answered_or_refused(serve: Serve) -> None:
    client = serve("table-classification")

    @seed(0)
    @settings(max_examples=300, deadline=None, database=None)
    @given(value=VALUES | ROWS | st.lists(ROWS, max_size=3))
    def send(value: Any) -> None:
        answer = client.post(
            "/predict", content=json.dumps(value), headers={"content-type": "application/json"}
        )
        assert answer.status_code in (200, 400, 422), answer.text

    send()


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::UserWarning:PIL"
)  # of damaged metadata, which `flambeau serve` silences too
def test_any_bytes_are_answered_or_refused(serve: Serve) -> None:
    pictures, table = serve("pictures-classification"), serve("table-classification")
    kinds = [
        "image/png",
        "application/json",
        "multipart/form-data; boundary=x",
        "text/x",
        "multipart/form-data",
    ]

    @seed(0)
    @settings(max_examples=300, deadline=None, database=None)
    @given(start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II\x2a\0", b"P6 ",
                                  b"RIFF0000WEBP", b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"'
                                  b"\r\n\r\n"]),
           rest=st.binary(max_size=200), kind=st.sampled_from(kinds))  # fmt: skip
    def send(start: bytes, rest: bytes, kind: str) -> None:
        for client in (pictures, table):
            answer = client.post("/predict", content=start + rest, headers={"content-type": kind})
            assert answer.status_code in (200, 400, 413, 415, 422), answer.text
            assert "0x" not in answer.json().get("what", "") and "Traceback" not in answer.text

    send()
