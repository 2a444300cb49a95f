"""What the page shows for answers that a small model does not give: many labels, several labels, a busy server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from chromium import launched, opening
from test_page import Model, picture_model, table_model
from test_sent_parts import series_bundle

from flambeau.deploy.serve.page import page_headers, render_page

pytestmark = pytest.mark.slow

ADDRESS = "http://page.test/"
PIXEL = b"BM:\0\0\0\0\0\0\x006\0\0\0(\0\0\0\1\0\0\0\1\0\0\0\1\0\x18" + bytes(24) + b"\0\0\xff\0"
PICTURE = {"name": "one.bmp", "mimeType": "image/bmp", "buffer": PIXEL}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture
def open_with(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens the page with answers to its requests, the last of which is given again and again."""
    pages = opening(browser)
    open_page = next(pages)

    def open_it(
        *answers: tuple[int, Any, dict[str, str]], models: Sequence[Any] = (), asked: list[Any] | None = None
    ) -> Any:
        html = render_page(models or [picture_model(), table_model()])
        waiting = list(answers)

        def answer(route: Any) -> None:
            if asked is not None:
                asked.append(json.loads(route.request.post_data))
            status, value, headers = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            route.fulfill(status=status, body=json.dumps(value), headers=headers)

        def answer_page(route: Any) -> None:
            route.fulfill(body=html, content_type="text/html", headers=page_headers())

        return open_page(ADDRESS, {"**/*": answer_page, "**/predict*": answer})

    yield open_it
    next(pages, None)


def test_many_labels_are_shown_on_demand(open_with: Callable[..., Any]) -> None:
    probabilities = {f"class {number}": number / 11_325 for number in range(151)}
    heat = {"label": "class 150", "heat": [[0.0, 0.5], [-0.2, 0.0]], "fit": "crop", "size": [8, 8]}
    page = open_with(
        (200, {"label": "class 150", "probabilities": probabilities, "strange": [], "why": heat}, {})
    )
    page.set_input_files("#file", PICTURE)
    page.wait_for_selector("#scale:not([hidden])")
    assert page.locator(".bars li").count() == 10
    assert page.inner_text(".bars li >> nth=0").startswith("class 150")
    page.click("text=Show all 151")
    assert page.locator(".bars li").count() == 151
    assert "top right" in page.inner_text("#why") and "50.0 points" in page.inner_text("#why")


def test_several_labels_and_none_have_their_words(open_with: Callable[..., Any]) -> None:
    several = {"label": ["cat", "dog"], "probabilities": {"cat": 0.9, "dog": 0.6}, "strange": []}
    none = {"label": [], "probabilities": {"cat": 0.1, "dog": 0.0001}, "strange": []}
    why = {"why": {"label": "cat", "heat": [[-0.1]], "fit": "pad", "size": [8, 8]}}
    page = open_with(
        (200, several, {}), (200, {**several, **why}, {}), (200, none, {}), (200, {**none, **why}, {})
    )
    page.set_input_files("#file", PICTURE)
    page.wait_for_selector("#why h3")
    assert page.inner_text(".headline b") == "cat, dog"
    page.set_input_files("#file", PICTURE)
    page.wait_for_selector("text=none of the labels")
    page.wait_for_selector("#why h3")
    assert "< 0.1 %" in page.inner_text(".bars") and "No single spot" in page.inner_text("#why")


def test_an_answer_below_the_threshold_names_the_likeliest(open_with: Callable[..., Any]) -> None:
    unknown = {"label": "none of these", "probabilities": {"cat": 0.41, "dog": 0.3}, "strange": []}
    why = {"why": {"label": "cat", "heat": [[0.1]], "fit": "pad", "size": [8, 8]}}
    page = open_with((200, unknown, {}), (200, {**unknown, **why}, {}))
    page.set_input_files("#file", PICTURE)
    page.wait_for_selector("#why h3")
    told = page.inner_text(".headline")
    assert (
        "none of these" in told and "below the threshold; the likeliest has 41" in told and "NaN" not in told
    )


def test_of_a_long_file_the_last_rows_are_sent(open_with: Callable[..., Any]) -> None:
    bundle = series_bundle()
    assert bundle.schema.series is not None
    bundle.schema = replace(bundle.schema, series=replace(bundle.schema.series, series="", names=()))
    asked: list[Any] = []
    page = open_with((422, {"what": "no"}, {}), models=[Model("shop", "1", bundle)], asked=asked)
    table = "a\n" + "\n".join(str(row) for row in range(6_000))
    page.set_input_files("#file", {"name": "a.csv", "mimeType": "text/csv", "buffer": table.encode()})
    page.wait_for_selector("#error")
    assert [row["a"] for row in asked[0]["rows"]][:: len(asked[0]["rows"]) - 1] == ["1000", "5999"]
    assert "The last 5,000 rows are sent" in page.inner_text(".told")


def test_a_busy_server_says_when_to_try_again(open_with: Callable[..., Any]) -> None:
    busy = {"what": "the server has more to do than it can", "expected": "a little patience"}
    effects = [{"column": "size", "value": 3.0, "typical": None, "effect": -1234.5}]
    value = {"value": 1234567.8, "strange": []}
    page = open_with(
        (503, busy, {"retry-after": "2"}),
        (200, value, {}),
        (200, {**value, "why": {"label": None, "answer": 1.0, "effects": effects}}, {}),
    )
    page.select_option("#model", "1")
    page.click("#predict")
    page.wait_for_selector("#error")
    assert "try again in 2 seconds" in page.inner_text("#error")
    page.click("#error button")
    page.wait_for_selector("#why .bars li")
    assert page.inner_text(".headline b") == "1,234,568"
    assert "−1,235" in page.inner_text("#why") and "typically missing" in page.inner_text("#why")


def test_an_answer_that_is_no_json_is_an_error_and_reasons_may_fail_alone(
    open_with: Callable[..., Any],
) -> None:
    answer = {"label": "red", "probabilities": {"red": 0.7, "blue": 0.3}, "strange": []}
    page = open_with((200, answer, {}), (429, {"what": "explanations take long"}, {}), (502, [], {}))
    page.select_option("#model", "1")
    page.click("#predict")
    page.wait_for_selector("#why .wrong")
    assert "explanations take long" in page.inner_text("#why").lower()
    assert page.inner_text(".headline b") == "red"
    page.click("#predict")
    page.wait_for_selector("#error")
    assert "status 502" in page.inner_text("#error")
