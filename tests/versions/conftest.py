"""Two short runs on one split and one on another, shared by the tests of this room, and copies of a bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from made_things import QUICK, make_things

import flambeau as fb


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_things(tmp_path_factory.mktemp("things") / "things.csv")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, things: Path) -> Path:
    """A folder with the runs good-1 and poor-1 (one split), and other-1 (another split)."""
    root = tmp_path_factory.mktemp("trained")
    for name, epochs, seed in (("good-1", 12, 0), ("poor-1", 1, 0), ("other-1", 1, 1)):
        fb.train(things, target="kind", out=root / name, epochs=epochs, seed=seed, **QUICK)
    return root


@pytest.fixture(scope="session")
def bundle(trained: Path) -> Path:
    """The bundle of good-1; not to be changed."""
    return trained / "good-1" / "model"


@pytest.fixture
def variant(bundle: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes a copy of the bundle that differs by a note in its versions, so that it is another one to the store."""

    def make(name: str) -> Path:
        copy = shutil.copytree(bundle, tmp_path / "variants" / name)
        versions = json.loads((copy / "versions.json").read_text())
        (copy / "versions.json").write_text(json.dumps({**versions, "variant": name}))
        return copy

    return make


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "models"
