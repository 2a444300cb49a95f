"""Two GPUs over NCCL end where one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rank_cases import CASES, folder_of, make_data, recipe_of, source_of
from test_equal import assert_weights_close

from flambeau.pipeline import train

NAMES = ("table", "table, adamw, in parts, sharded", "pictures", "pictures, sharded")
# Kernels of a GPU choose the order of their sums by the size of the batch.
TOLERANCE = 1e-3

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="two GPUs are needed"),
]


def test_two_gpus_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path)
    worker = str(Path(__file__).with_name("rank_worker.py"))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", worker]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RANKS_DEVICE": "cuda"}
    done = subprocess.run([*launcher, *NAMES], env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        settings = {key: value for key, value in CASES[name].items() if key != "training.distributed"}
        recipe = recipe_of({**settings, "device": "cuda"})
        train(source_of(settings), recipe, out=Path("one") / folder_of(name))
        assert_weights_close(Path("two") / folder_of(name), Path("one") / folder_of(name), TOLERANCE)
