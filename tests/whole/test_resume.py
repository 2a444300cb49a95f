"""A command killed at any moment and resumed ends in the weights of an unbroken one, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flambeau.deploy.bundle import load_bundle, weights_digest

LENGTH = ("--epochs", "8", "--threads", "1", "--set", "training.checkpoint_seconds=0.2")


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flambeau", *words],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ),
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output
    return output


def wait_for_epoch(run: Path, epoch: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        lines = (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").is_file() else []
        records = [json.loads(line) for line in lines if line.endswith("}")]
        if sum(record["kind"] == "epoch" for record in records) >= epoch:
            return
        time.sleep(0.02)
    raise AssertionError(f"epoch {epoch} was not reached")


@pytest.mark.slow
@pytest.mark.parametrize("source", ["digits", "wine"])
def test_killed_and_resumed_equals_unbroken(tmp_path: Path, source: str) -> None:
    finish(start(tmp_path, "train", source, "--out", "unbroken", *LENGTH))
    unbroken = weights_digest(load_bundle(tmp_path / "unbroken" / "model").module)
    for epoch in (1, 5):
        out = f"broken-{epoch}"
        process = start(tmp_path, "train", source, "--out", out, *LENGTH)
        wait_for_epoch(tmp_path / out, epoch, process)
        process.kill()
        process.communicate()
        assert not (tmp_path / out / "scores.json").exists()
        finish(start(tmp_path, "resume", out))
        assert weights_digest(load_bundle(tmp_path / out / "model").module) == unbroken
        scores = [json.loads((tmp_path / run / "scores.json").read_text()) for run in ("unbroken", out)]
        assert scores[0]["test"] == scores[1]["test"]


@pytest.mark.slow
def test_an_interrupt_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = start(tmp_path, "train", "digits", "--out", "run", *LENGTH)
    wait_for_epoch(tmp_path / "run", 1, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 130, output
    assert "flambeau resume run" in output
    assert "Traceback" not in output
    assert list((tmp_path / "run" / "checkpoints").glob("*/last-*.safetensors"))
    finish(start(tmp_path, "resume", "run"))
    again = start(tmp_path, "resume", "run")
    output, _ = again.communicate(timeout=100)
    assert again.returncode == 1
    assert "this run is finished" in output
