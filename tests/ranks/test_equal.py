"""Two processes end where one does, for models without batch statistics and dropout; and what they do repeats."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_cases import CASES, OTHERS, folder_of, make_data, recipe_of, source_of
from safetensors.torch import load_file
from torch import Tensor

from flambeau.pipeline import resume, train
from flambeau.records import RunFolder

STOPPED = ("table, adamw, in parts", "pictures, sharded", "pictures, batch norm")
LEFT = "table, sharded"
# Sums in another order differ in the last bits of fp32. LBFGS multiplies that by 25 evaluations of its line search in a
# step; bf16 has 8 bits.
TOLERANCE = {"table, lbfgs": 1e-2, "pictures, bf16": 2e-2}
USUAL_TOLERANCE = 2e-5

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ranks")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and the runs of two processes in two/."""
    place = tmp_path_factory.mktemp("ranks")
    make_data(place)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "FLAMBEAU_CACHE": str(place / "cache"),
        "FLAMBEAU_STATE": str(place / "state"),
    }
    worker = str(Path(__file__).with_name("rank_worker.py"))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", worker]
    words = [*CASES, *OTHERS, *(f"stop:{name}" for name in STOPPED), f"leave:{LEFT}"]
    done = subprocess.run(
        [*launcher, *words], cwd=place, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return place


def weights_of(run: Path) -> dict[str, Tensor]:
    return load_file(run / "model" / "weights.safetensors")


def records_of(run: Path, kind: str) -> list[dict[str, Any]]:
    return RunFolder(run).read_log([kind])


def assert_weights_close(got: Path, expected: Path, tolerance: float) -> None:
    mine, theirs = weights_of(got), weights_of(expected)
    assert mine.keys() == theirs.keys()
    for name, tensor in theirs.items():
        largest = max(1.0, float(tensor.float().abs().max()))
        torch.testing.assert_close(
            mine[name],
            tensor,
            rtol=0,
            atol=tolerance * largest,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("name", CASES)
def test_two_processes_equal_one(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(folder)
    settings = {key: value for key, value in CASES[name].items() if key != "training.distributed"}
    one, two = Path("one") / folder_of(name), Path("two") / folder_of(name)
    train(source_of(settings), recipe_of(settings), out=one)
    tolerance = TOLERANCE.get(name, USUAL_TOLERANCE)
    assert_weights_close(two, one, tolerance)
    epochs = records_of(one, "epoch")
    assert len(epochs) == len(records_of(two, "epoch")) > 0
    for mine, theirs in zip(records_of(two, "epoch"), epochs, strict=True):
        assert mine["best"] == theirs["best"]
        for key in ("loss", "valid_loss", "score", "lr", "gradient_norm", "update_ratio"):
            if theirs[key] is not None:
                assert math.isclose(mine[key], theirs[key], rel_tol=5 * tolerance, abs_tol=1e-6), key
    scores, expected = (json.loads((run / "scores.json").read_text())["test"] for run in (two, one))
    for metric, score in expected.items():
        assert math.isclose(scores[metric]["value"], score["value"], rel_tol=tolerance, abs_tol=tolerance), (
            metric
        )


@pytest.mark.parametrize("name", OTHERS)
def test_others_train_too_and_tell_what_differs(folder: Path, name: str) -> None:
    run = folder / "two" / folder_of(name)
    assert json.loads((run / "scores.json").read_text())["test"]
    notes = " ".join(record["text"] for record in records_of(run, "note"))
    assert "2 processes share" in notes
    assert ("batch normalisation" in notes) == (name == "pictures, batch norm")
    assert "devices: 2" in (run / "recipe.yaml").read_text()


@pytest.mark.parametrize("name", STOPPED)
def test_stopped_and_resumed_equals_unbroken_in_bits(folder: Path, name: str) -> None:
    got = weights_of(folder / "two" / f"stop{folder_of(name)}")
    expected = weights_of(folder / "two" / folder_of(name))
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[key], tensor) for key, tensor in expected.items())


def test_sharded_run_is_resumed_by_one_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    left = Path("two") / f"leave{folder_of(LEFT)}"
    told: list[dict[str, Any]] = []
    resume(RunFolder(left), listener=told.append)
    assert_weights_close(left, Path("two") / folder_of(LEFT), USUAL_TOLERANCE)
    notes = [record["text"] for record in told if record["kind"] == "note"]
    assert any("in 1 process instead of 2" in text for text in notes)
