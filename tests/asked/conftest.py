"""Bundles that talk, write and make pictures, and a client that asks them all, for one session."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from asked_bundles import chat_bundle, generator_bundle, language_bundle, saved
from starlette.testclient import TestClient

from flambeau.deploy.serve.app import App
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import Models, load_model

# the browser and the server process of the other pages' tests
sys.path.append(str(Path(__file__).resolve().parents[1] / "serve"))


@pytest.fixture(scope="session")
def asked_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundles "bot", "quiet" (which has no net that writes), "writer" and "maker"."""
    folder = tmp_path_factory.mktemp("asked")
    saved(folder / "bot", chat_bundle())
    saved(folder / "quiet", chat_bundle(writes=False))
    saved(folder / "writer", language_bundle())
    saved(folder / "maker", generator_bundle())
    return folder


@pytest.fixture
def ask(asked_folder: Path) -> Iterator[Callable[..., TestClient]]:
    """Make a client for some of the bundles: ask("bot", "writer")."""
    with ExitStack() as stack:

        def make(*names: str, limits: Limits | None = None) -> TestClient:
            limits = limits or Limits()
            models = Models([load_model(str(asked_folder / name), limits) for name in names])
            return stack.enter_context(TestClient(App(models, limits, decoders=1)))

        yield make
