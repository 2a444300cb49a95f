"""Fixtures that every room's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that stands beside a checkout; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets (shared/data beside the checkout) are not on this machine")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never touch the person's own cache or state."""
    monkeypatch.setenv("FLAMBEAU_CACHE", str(tmp_path_factory.getbasetemp() / "flambeau-cache"))
    monkeypatch.setenv("FLAMBEAU_STATE", str(tmp_path_factory.getbasetemp() / "flambeau-state"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/house --write-docs` renews the documents that are made from the code."""
    parser.addoption(
        "--write-docs", action="store_true", help="write the documents that are made from the code"
    )
