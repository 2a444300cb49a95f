"""Starting from pretrained weights in a local file: the architecture is found, the head is new, the run repeats."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import flambeau as fb
from flambeau.using import verify


def few_photos(shared_data: Path, folder: Path) -> Path:
    for name in ("fork", "scissors"):
        (folder / name).mkdir(parents=True)
        for photo in sorted((shared_data / "images" / "photos_small" / name).iterdir())[:10]:
            shutil.copy(photo, folder / name)
    return folder


@pytest.mark.slow
def test_a_pretrained_start_trains_repeats_and_answers(shared_data: Path, tmp_path: Path) -> None:
    photos = few_photos(shared_data, tmp_path / "photos")
    weights = shared_data / "weights" / "mobilenet_v2_imagenet1k.safetensors"
    notes: list[str] = []

    def listen(record: dict) -> None:
        if record["kind"] == "note":
            notes.append(record["text"])

    options = {"epochs": 2, "threads": 1, "folds": 0, "image": {"size": [64, 64]}, "training.head_epochs": 3}
    run = fb.train(photos, pretrained=str(weights), out=tmp_path / "run", on_record=listen, **options)
    assert any("mobilenet_v2" in note for note in notes)
    assert run.bundle.spec.arguments["arch"] == "mobilenet_v2"
    assert run.bundle.spec.arguments["outputs"] == 2
    start = fb.load(tmp_path / "run").module.state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in start.values())
    assert {answer["label"] for answer in run.predict(photos)} <= {"fork", "scissors"}
    checks = verify(run.folder, retrain=True)
    assert all(check["ok"] for check in checks), checks


@pytest.mark.slow
def test_a_pickled_model_is_refused_with_the_lines_that_convert_it(shared_data: Path, tmp_path: Path) -> None:
    photos = few_photos(shared_data, tmp_path / "photos")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(fb.FlambeauError, match="state_dict"):
        fb.train(photos, pretrained=str(tmp_path / "whole.pth"), out=tmp_path / "run")
