"""--trust-pickle: code runs once, where a person consents, and the run that comes of it names a plain file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.models import squeezenet1_1

import flambeau as fb
from flambeau.errors import ModelError, RecipeError
from flambeau.recipe import Recipe, load_recipe
from flambeau.stages.journal import Journal
from flambeau.stages.starting.pickled import convert_pickle

RAN = Path("ran")


class Witness:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (RAN,))


@pytest.fixture
def pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "whole.pth"
    torch.save({"model": squeezenet1_1(), "witness": Witness()}, path)
    return path


def recipe_for(path: Path, *, trust: bool) -> Recipe:
    recipe = Recipe()
    recipe.model.pretrained, recipe.model.trust_pickle = str(path), trust
    return recipe


def test_consent_is_used_once_and_not_kept(pickled: Path) -> None:
    told: list[dict[str, Any]] = []
    recipe = convert_pickle(recipe_for(pickled, trust=True), Journal(told.append))
    assert RAN.exists()
    assert not recipe.model.trust_pickle
    assert recipe.model.pretrained is not None
    plain = Path(recipe.model.pretrained)
    assert plain.suffix == ".safetensors"
    assert sorted(load_file(plain)) == sorted(squeezenet1_1().state_dict())
    assert "running the code in" in told[0]["text"] and "holds no code" in told[1]["text"]


def test_without_consent_nothing_runs(pickled: Path) -> None:
    recipe = convert_pickle(recipe_for(pickled, trust=False), Journal(lambda record: None))
    assert recipe.model.pretrained == str(pickled)
    assert not RAN.exists()


def test_a_plain_file_needs_no_consent(tmp_path: Path) -> None:
    path = tmp_path / "plain.pth"
    torch.save(squeezenet1_1().state_dict(), path)
    recipe = convert_pickle(recipe_for(path, trust=True), Journal(lambda record: None))
    assert recipe.model.pretrained == str(path)
    assert not recipe.model.trust_pickle


def test_a_file_that_cannot_be_unpickled_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(b"not a pickle")
    with pytest.raises(ModelError, match="cannot be used"):
        convert_pickle(recipe_for(path, trust=True), Journal(lambda record: None))


def test_a_recipe_from_a_file_cannot_consent(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("model:\n  pretrained: evil.pth\n  trust_pickle: true\n")
    with pytest.raises(RecipeError, match="cannot consent"):
        load_recipe(path)
    path.write_text("model:\n  trust_pickle: false\n")
    assert not load_recipe(path).model.trust_pickle


@pytest.mark.slow
def test_a_run_from_a_trusted_pickle_repeats_without_running_it_again(pickled: Path, tmp_path: Path) -> None:
    from flambeau.using import verify

    draw = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = draw.integers(0, 128, (40, 40, 3), dtype=np.uint8) + (127 if name == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{number}.png")
    run = fb.train(
        tmp_path / "photos", pretrained=str(pickled), trust_pickle=True, out=tmp_path / "run",
        epochs=1, threads=1, folds=0, baselines=False, image={"size": [40, 40]},
    )  # fmt: skip
    RAN.unlink()
    recipe = (tmp_path / "run" / "recipe.yaml").read_text()
    assert "trust_pickle: false" in recipe and "whole.pth" not in recipe
    assert all(check["ok"] for check in verify(run.folder, retrain=True))
    assert not RAN.exists()
    card = (tmp_path / "run" / "model" / "MODEL_CARD.md").read_text()
    assert "torchvision/squeezenet1\\_1" in card and "licence: not stated in the file" in card
    assert str(tmp_path) not in card
