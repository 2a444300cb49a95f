"""The page in a real headless browser, against a real server: pictures, rows, phones, keys, hostile names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import launched, opening
from PIL import Image

import flambeau as fb

pytestmark = pytest.mark.slow

HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'
PHONE = {"viewport": {"width": 375, "height": 740}, "has_touch": True, "is_mobile": True}
KEY = "open-sesame"
QUICK: dict[str, Any] = {"threads": 1, "folds": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on digits and on a table whose names are markup, and pictures to try."""
    home = tmp_path_factory.mktemp("page")
    fb.train("digits", out=home / "digits", epochs=3, **QUICK)
    random = np.random.default_rng(0)
    lines = [f'"{HOSTILE.replace(chr(34), chr(34) * 2)}",paid,town,when,kind']
    for _ in range(240):
        size = random.uniform(0, 10)
        kind = "big" if size > 5 else HOSTILE.replace('"', '""')
        town = random.choice(["Oslo", "Rome"]) if random.random() > 0.05 else ""
        when = f"{random.integers(1, 28):02d}/03/{random.integers(2001, 2020)}"
        lines.append(f'{size:.3f},{random.choice(["yes", "no"])},{town},{when},"{kind}"')
    (home / "shop.csv").write_text("\n".join(lines), encoding="utf-8")
    fb.train(home / "shop.csv", target="kind", out=home / "shop", epochs=6, **QUICK)
    from sklearn.datasets import load_digits

    digit = np.round(load_digits().images[3] * 255 / 16).astype(np.uint8)
    Image.fromarray(digit).save(home / "three.png")
    Image.fromarray(random.integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(home / "noise.png")
    (home / "broken.png").write_bytes((home / "three.png").read_bytes()[:60])
    return home


def serving(folder: Path, *options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "flambeau", "serve", "--port", "0", "--threads", "1", *options]
    process = subprocess.Popen(
        [*command, str(folder / "digits"), str(folder / "shop")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    try:
        assert found is not None, "the server did not start"
        yield found[0] + "/"
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    yield from serving(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    yield from opening(browser)


def is_too_wide(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def test_a_chosen_picture_is_answered_and_explained(
    server: str, folder: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(server)
    page.set_input_files("#file", folder / "three.png")
    page.wait_for_selector("#scale:not([hidden])")
    assert page.inner_text(".headline b") == "3"
    page.evaluate("document.querySelector('#answer button')?.click()")  # there is none where all are likely
    assert page.locator("#answer .bars li").count() == 10
    assert page.inner_text("#answer .bars .first").startswith("3")
    assert "3" in page.inner_text("#said") and "probability" in page.inner_text("#said")
    painted = "document.querySelector('.frame canvas').getContext('2d').getImageData(0, 0, 480, 480).data.some(Boolean)"
    assert page.evaluate(painted)
    assert page.evaluate("document.querySelector('.frame img').naturalWidth") == 8
    assert "strongest spot" in page.inner_text("#why")
    page.uncheck(".switch input")
    assert page.is_hidden("#scale")
    assert page.locator("#strange").count() == 0


def test_a_dropped_and_a_pasted_picture_are_taken(
    server: str, folder: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(server)
    give = """([event, key, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], "given.png", {type: "image/png"}));
      const init = {bubbles: true, cancelable: true, [key]: data};
      const made = event === "paste" ? new ClipboardEvent(event, init) : new DragEvent(event, init);
      document.querySelector(".drop, .frame").dispatchEvent(made);
    }"""
    three, noise = (list((folder / name).read_bytes()) for name in ("three.png", "noise.png"))
    page.evaluate(give, ["dragenter", "dataTransfer", three])
    assert page.locator(".drop.over").count() == 1
    page.evaluate(give, ["drop", "dataTransfer", three])
    page.wait_for_selector("#scale:not([hidden])")
    assert page.inner_text(".headline b") == "3"
    page.evaluate(give, ["paste", "clipboardData", noise])
    page.wait_for_selector("#strange")
    assert "unlike the data" in page.inner_text("#strange")
    assert "given.png" in page.inner_text(".name")


def test_a_broken_picture_is_told_in_the_servers_words(
    server: str, folder: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(server)
    page.set_input_files("#file", folder / "broken.png")
    page.wait_for_selector("#error")
    assert "cannot be read as a picture" in page.inner_text("#error")
    assert "cannot be read" in page.inner_text("#said")
    picture = {"name": HOSTILE, "mimeType": "", "buffer": (folder / "three.png").read_bytes()}
    page.set_input_files("#file", picture)
    page.wait_for_selector(".headline")
    assert page.locator("#error").count() == 0 and HOSTILE in page.inner_text(".name")


def test_a_row_is_typed_answered_and_explained(server: str, open_page: Callable[..., Any]) -> None:
    page = open_page(server)
    page.select_option("#model", "1")
    assert "missing" in page.inner_text("#answer")
    assert page.inner_text("label[for=column-0]") == HOSTILE
    page.fill("#column-0", "9.5")
    page.select_option("#column-1", "true")
    page.select_option("#column-2", "Rome")
    page.fill("#column-3", "2010-03-05")
    page.press("#column-0", "Enter")
    page.wait_for_selector("#why .bars li")
    assert page.inner_text(".headline b") == "big"
    assert HOSTILE in page.inner_text("#answer .bars")
    assert page.inner_text("#why .bars li >> nth=0").startswith(HOSTILE)
    assert page.locator("#strange").count() == 0
    page.fill("#column-0", "99")
    assert page.locator("#stale").count() == 1
    assert "outside of" in page.inner_text("#column-0-hint")
    page.click("#stale button")
    page.wait_for_selector("#strange")
    assert "99" in page.inner_text("#strange") and page.locator("#stale").count() == 0


def test_a_pasted_row_fills_the_form(server: str, open_page: Callable[..., Any]) -> None:
    page = open_page(server)
    page.select_option("#model", "1")
    page.click("summary")
    page.fill("#pasted", "town,when,paid\nOslo,05/03/2010,no")
    assert page.inner_text(".told") == "3 fields filled of 4."
    assert [page.input_value(f"#column-{n}") for n in (1, 2, 3)] == ["false", "Oslo", "2010-03-05"]
    page.fill("#pasted", '1.5\tyes\t"Rome"\t06/03/2011')
    assert [page.input_value(f"#column-{n}") for n in range(4)] == ["1.5", "true", "Rome", "2011-03-06"]
    page.fill("#pasted", '{"town": "Atlantis", "paid": null}')
    assert page.input_value("#column-2") == "Atlantis" and page.input_value("#column-1") == ""
    page.fill("#pasted", '{"town": ')
    assert "no JSON yet" in page.inner_text(".told")
    page.fill("#pasted", "1,2")
    assert "Expected 4 values" in page.inner_text(".told")
    page.click("#predict")
    page.wait_for_selector("#strange")
    assert "Atlantis" in page.inner_text("#strange")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_sideways_scrolling(
    scheme: str, server: str, folder: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(server, **PHONE, color_scheme=scheme, reduced_motion="reduce")
    assert page.is_visible(".camera")
    page.set_input_files("#file", folder / "noise.png")
    page.wait_for_selector("#strange")
    assert not is_too_wide(page)
    page.select_option("#model", "1")
    page.click("#typical")
    page.click("#predict")
    page.wait_for_selector("#why h3")
    assert not is_too_wide(page)
    assert page.evaluate(
        "document.getElementById('answer-title').getBoundingClientRect().top < window.innerHeight / 2"
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == {
        "light": "rgb(251, 250, 248)", "dark": "rgb(21, 23, 26)"
    }[scheme]  # fmt: skip


def test_every_control_has_a_name_and_is_reached_by_the_keyboard(
    server: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(server)
    page.select_option("#model", "1")
    controls = "[...document.querySelectorAll('main input, main select, main textarea')]"
    assert page.evaluate(controls + ".filter((one) => !one.labels.length).map((one) => one.id)") == []
    page.focus("#model")
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert reached[:6] == ["SUMMARY", "column-0", "column-1", "column-2", "column-3", "column-3"]
    assert "predict" in reached


def test_a_server_is_asked_with_its_key_and_missed_when_it_is_gone(
    folder: Path, open_page: Callable[..., Any]
) -> None:
    addresses = serving(folder, "--api-key", KEY)
    page = open_page(next(addresses))
    page.wait_for_selector("#key-dialog[open]")
    assert page.inner_text("#title") == "Models" and page.inner_text("#purpose") == ""
    page.fill("#key", "wrong")
    page.press("#key", "Enter")
    page.wait_for_selector("#key-note:has-text('does not accept')")
    page.fill("#key", KEY)
    page.press("#key", "Enter")
    page.set_input_files("#file", folder / "three.png")
    page.wait_for_selector("#scale:not([hidden])")
    assert page.inner_text(".headline b") == "3"
    addresses.close()  # type: ignore[attr-defined]  # a generator, which stops its server
    page.set_input_files("#file", folder / "noise.png")
    page.wait_for_selector("#error")
    assert "cannot be reached" in page.inner_text("#error")
    assert page.inner_text("#error button") == "Try again"
