"""The pages to talk, to let write, and to let make pictures, in a real headless browser against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asked_bundles import UNKNOWN
from chromium import launched, opening
from served import running

from flambeau.deploy.bundle import load_bundle
from flambeau.deploy.writing.chatting import ChatBot
from flambeau.deploy.writing.writing import continue_text

pytestmark = pytest.mark.slow
PHONE = {"viewport": {"width": 375, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def server(asked_folder: Path) -> Iterator[str]:
    with running(*(str(asked_folder / name) for name in ("bot", "writer", "maker"))) as (port, _):
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    yield from opening(browser)


def say(page: Any, question: str) -> str:
    """Ask, and wait for what the bot says to it."""
    said = page.locator(".talk li").count()
    page.fill("#question", question)
    page.press("#question", "Enter")
    page.wait_for_selector(f".talk li:nth-child({said + 2}) .sure")
    return str(page.inner_text(".talk li:last-child"))


def test_a_talk(server: str, asked_folder: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(server, **PHONE)
    assert "Nothing has been said yet" in page.inner_text("#answer")
    hostile = "<img src=x onerror='window.hurt=1'> hello"
    assert "% sure" in say(page, "hello")
    assert "<b>ten</b>" in say(page, "how much is it?")  # an answer is text, too
    assert page.locator(".talk .unsure").count() == 0
    say(page, hostile)
    assert page.inner_text(".talk li:nth-last-child(2) p") == hostile
    page.check("#write")
    told = say(page, "zyx wvu")
    written = ChatBot(load_bundle(asked_folder / "bot")).write("zyx wvu", seed=3)
    assert UNKNOWN in told and "it does not know" in told
    assert written.strip() and written.strip()[:5] in told
    assert page.locator(".talk .unsure").count() == 2 and page.locator(".talk li").count() == 8
    assert UNKNOWN in page.inner_text("#said")
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    page.click("text=Begin anew")
    assert page.locator(".talk li").count() == 0


def test_a_failing_talk_goes_on(server: str, open_page: Callable[..., Any]) -> None:
    page = open_page(
        server, {"**/predict": lambda route: route.fulfill(status=503, json={"what": "too busy"})}
    )
    page.fill("#question", "hello")
    page.click("#predict")
    page.wait_for_selector("#error")
    assert "Too busy" in page.inner_text("#error") and page.locator(".talk .waits").count() == 0
    page.unroute("**/predict")
    page.click("#error button")
    page.wait_for_selector(".talk .sure")


def test_a_text_and_pictures(server: str, asked_folder: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(server)
    page.select_option("#model", "1")
    page.fill("#prompt", "the cat")
    page.fill("#length", "9999")
    page.click("#predict")
    page.wait_for_selector("#error")
    assert "1 to 1,000" in page.inner_text("#error")
    page.fill("#length", "30")
    page.click("#predict")
    page.wait_for_selector(".words.headline")
    expected = continue_text(load_bundle(asked_folder / "writer"), "the cat", length=30)
    assert page.evaluate("document.querySelector('.words.headline').textContent") == "the cat" + expected
    page.click("text=Write another")
    assert page.input_value("#seed") == "1"
    page.select_option("#model", "2")
    page.fill("#count", "5")
    page.click("#predict")
    page.wait_for_selector(".made img")
    widths = page.evaluate("[...document.querySelectorAll('.made img')].map((one) => one.naturalWidth)")
    assert widths == [8] * 5
