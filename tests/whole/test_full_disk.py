"""A disk that fills up while a checkpoint is written stops the run with a sentence, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def make_pictures(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for index in range(30):
            pixels = generator.integers(0, 100, (12, 12, 3), dtype=np.uint8) + np.uint8(100 * number)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


@pytest.mark.slow
def test_a_full_disk_stops_with_a_sentence_and_resumes(tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos")
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from flambeau.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    words = [
        "train",
        "photos",
        "--out",
        "run",
        "--epochs",
        "3",
        "--folds",
        "0",
        "--set",
        "training.checkpoint_seconds=0",
    ]
    finished = subprocess.run(
        [sys.executable, "-c", limited, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    text = finished.stdout + finished.stderr
    assert finished.returncode == 1, text
    assert "Traceback" not in text
    assert "flambeau resume" in text
    assert not list((tmp_path / "run").rglob(".*tmp"))
    again = subprocess.run(
        [sys.executable, "-m", "flambeau", "resume", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert again.returncode == 0, again.stdout + again.stderr
