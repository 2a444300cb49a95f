"""The recipe `fast` as whole commands: its filters come from training pictures alone, and survive all that follows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import flambeau
from flambeau.deploy.bundle import load_bundle, weights_digest
from flambeau.errors import ModelError
from flambeau.models.whiten import WhitenFirst, whitening_filters
from flambeau.pipeline import resume
from flambeau.records import RunFolder

SMALL = {"epochs": 2, "threads": 1, "baselines": False, "model.width": 4}


class StoppedError(Exception):
    """What a listener raises in the middle of a training, as a kill would end it."""


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """240 pictures of 12x11 pixels in three classes; those of the test part have another look altogether."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 180), ("valid", 30), ("test", 30)):
        labels = np.arange(count) % 3
        pixels = generator.integers(0, 90, (count, 12, 11, 3))
        if part != "test":
            pixels = pixels // 4 + pixels.mean((1, 2), keepdims=True).astype(int)  # neighbours are alike
        pixels[np.arange(count), :, :, labels] += 100
        arrays[f"{part}_images"] = pixels.astype(np.uint8)
        arrays[f"{part}_labels"] = np.array(["red", "green", "blue"])[labels]
    np.savez(tmp_path / "coloured.npz", **arrays)
    return tmp_path / "coloured.npz"


def test_filters_are_fitted_on_the_training_rows_alone(coloured: Path, tmp_path: Path) -> None:
    flambeau.train(coloured, recipe="fast", out=tmp_path / "run", **SMALL)
    bundle = load_bundle(tmp_path / "run" / "model")
    assert isinstance(bundle.module, WhitenFirst)
    with np.load(coloured) as arrays:
        pixels = torch.from_numpy(arrays["train_images"]).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (bundle.preparation.mean, bundle.preparation.std)
    )
    expected = whitening_filters((pixels - mean) / std)
    torch.testing.assert_close(bundle.module.filters, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_broken_and_resumed_equals_unbroken(coloured: Path, tmp_path: Path) -> None:
    flambeau.train(coloured, recipe="fast", out=tmp_path / "whole", **SMALL)

    def stop(record: dict[str, object]) -> None:
        if record["kind"] == "epoch":
            raise StoppedError

    with pytest.raises(StoppedError):
        flambeau.train(coloured, recipe="fast", out=tmp_path / "broken", on_record=stop, **SMALL)
    resume(RunFolder(tmp_path / "broken"))
    whole, broken = (load_bundle(tmp_path / name / "model").module for name in ("whole", "broken"))
    assert weights_digest(whole) == weights_digest(broken)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["small_resnet", "small_cnn", "resnet"])
def test_every_picture_model_takes_a_whitening_layer(coloured: Path, tmp_path: Path, model: str) -> None:
    flambeau.train(coloured, model=model, out=tmp_path / "run", **{**SMALL, "model.whiten": True})
    assert isinstance(load_bundle(tmp_path / "run" / "model").module, WhitenFirst)


def test_on_digits_alternate_flips_are_told_to_do_nothing(tmp_path: Path) -> None:
    run = flambeau.train("digits", recipe="fast", out=tmp_path / "run", **{**SMALL, "epochs": 1})
    found = [record for record in run.folder.read_log(["finding"]) if record["code"] == "no-effect"]
    assert [record["level"] for record in found] == ["info"]
    assert found[0]["message"].startswith("image.augment.flip_alternate=true has no effect")


def test_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.whiten is for pictures, and this is a table"):
        flambeau.train("iris", out=tmp_path / "run", epochs=1, **{"model.whiten": True})
