"""Bundles for one session, and a client for an application in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from served import picture_bundle, table_bundle
from starlette.testclient import TestClient

from flambeau.deploy.serve.app import App
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import Models, load_model

LIMITS = Limits()


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle for every kind of input and every task, named KIND-TASK."""
    folder = tmp_path_factory.mktemp("bundles")
    for task in ("classification", "multilabel", "regression"):
        picture_bundle(folder / f"pictures-{task}", task)
        table_bundle(folder / f"table-{task}", task)
    return folder


@pytest.fixture
def serve(bundles: Path) -> Iterator[Callable[..., TestClient]]:
    """Make a client for some of the bundles: serve("table-regression", "name=pictures-multilabel")."""
    with ExitStack() as stack:

        def make(
            *words: str,
            limits: Limits = LIMITS,
            api_key: str = "",
            decoders: int = 1,
            folder: Path = bundles,
        ) -> TestClient:
            found = []
            for word in words:
                name, named, rest = word.partition("=")
                where = folder / (rest if named else word)
                found.append(load_model(f"{name}={where}" if named else str(where), limits))
            app = App(Models(found), limits, api_key=api_key, decoders=decoders)
            return stack.enter_context(TestClient(app, raise_server_exceptions=True))

        yield make
