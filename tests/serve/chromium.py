"""A headless browser for tests of the page, which complains about errors and about requests to other places."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
# The browser itself notes requests that are refused or meet no server; the tests ask for some.
EXPECTED = ("the server responded with a status of", "net::ERR_CONNECTION_REFUSED")


def launched() -> Iterator[Any]:
    """The browser; skips where Playwright or a Chromium is missing."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed beside this Python"
    )
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def opening(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; at the end none of them has met an error, asked another place, or run markup that set `hurt`."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_page(
        address: str, routes: dict[str, Callable[[Any], None]] | None = None, **options: Any
    ) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        allowed = (address, "blob:", "data:")
        page.on("request", lambda asked: asked.url.startswith(allowed) or complaints.append(asked.url))
        for pattern, answer in (routes or {}).items():
            page.route(pattern, answer)
        page.goto(address)
        return page

    yield open_page
    hurt = [page.evaluate("window.hurt") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert not any(hurt)
    found = [text for text in complaints if not any(known in text for known in EXPECTED)]
    assert found == [], "\n".join(found)
