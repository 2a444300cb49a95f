"""The command in several processes: one is killed, one disagrees, the person stops it, torchrun starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from rank_cases import make_data

from flambeau.records import RunFolder

TRAIN = [
    "train", "table.csv", "--target", "y", "--model", "mlp", "--folds", "0", "--no-baselines", "--threads", "1",
    "--device", "cpu", "--precision", "fp32", "--batch-size", "32", "--quiet", "--set", "training.bags=1",
    "--set", "model.dropout=0", "--set", "training.ema=0.9",
]  # fmt: skip
LONG = [*TRAIN, "--epochs", "500"]
TWO = ["--devices", "2"]

needs_two_cores = pytest.mark.skipif(
    len(psutil.Process().cpu_affinity() if hasattr(psutil.Process, "cpu_affinity") else [0, 1]) < 2,
    reason="two processes need two cores",
)
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ranks"), needs_two_cores]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_data(tmp_path)
    return tmp_path


def start(folder: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flambeau", *words],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def wait_for_epoch(run: Path, epoch: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if len(RunFolder(run).read_log(["epoch"])) >= epoch:
            return
        time.sleep(0.02)
    raise AssertionError(f"epoch {epoch} was not reached: {process.communicate()[0]}")


def weights_of(run: Path) -> bytes:
    return (run / "model" / "weights.safetensors").read_bytes()


def test_stopped_killed_and_resumed_equals_unbroken(folder: Path) -> None:
    finish(start(folder, *LONG, *TWO, "--out", "unbroken"))
    broken = folder / "broken"
    process = start(folder, *LONG, *TWO, "--out", "broken")
    wait_for_epoch(broken, 100, process)
    process.send_signal(signal.SIGINT)
    output = finish(process, 130)
    assert output.count("flambeau resume broken") == 1, output
    assert list((broken / "checkpoints").rglob("*.safetensors"))

    process = start(folder, "resume", "broken", "--quiet")
    wait_for_epoch(broken, 200, process)
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    children[1].kill()
    # gloo notices at once and the launcher looks every tenth of a second, so it ends long before a collective times out
    output = finish(process, 1)
    assert (
        "process 1 of 2 was killed" in output and "SIGKILL" in output and "flambeau resume broken" in output
    )
    assert "Traceback" not in output
    assert not any(child.is_running() for child in children)

    finish(start(folder, "resume", "broken", "--quiet"))
    assert weights_of(broken) == weights_of(folder / "unbroken")


def test_a_process_that_disagrees_is_named(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    other = folder / "other"
    other.mkdir()
    lines = (folder / "table.csv").read_text().splitlines()
    (other / "table.csv").write_text("\n".join(lines[:-20]) + "\n")
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    processes = [
        start(folder, *TRAIN, "--epochs", "2", "--out", "run", RANK="0", LOCAL_RANK="0", **meeting),
        start(other, *TRAIN, "--epochs", "3", "--out", "run", RANK="1", LOCAL_RANK="1", **meeting),
    ]
    output = "".join(finish(process, 1) for process in processes)
    assert output.count("the processes do not agree") == 1, output
    assert "process 1: other data" in output
    assert "training.epochs (3, not 2)" in output
    assert not (folder / "run").exists()


def test_torchrun_starts_it_and_an_error_is_told_once(folder: Path) -> None:
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "flambeau",
    ]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [*torchrun, *words]
        return subprocess.run(
            command, cwd=folder, env=environment, text=True, capture_output=True, check=False
        )

    done = run(*TRAIN, "--epochs", "2", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2, done.stdout
    assert "devices: 2" in (folder / "run" / "recipe.yaml").read_text()
    done = run(*TRAIN, "--target", "nothing", "--out", "other")
    assert done.returncode != 0
    done = run(*[word.replace("table.csv", "absent.csv") for word in TRAIN])
    assert done.stderr.count("there is no 'absent.csv'") == 1, done.stderr


def test_python_starts_it_too(folder: Path) -> None:
    code = """
import json, sys
import flambeau as fb
records = []
run = fb.train("table.csv", target="y", devices=2, epochs=2, folds=0, baselines=False, device="cpu", threads=1,
               on_record=records.append, out="run")
print(json.dumps([sorted(run.scores["test"]), sum(record["kind"] == "epoch" for record in records)]))
from flambeau.using import verify
print([row["ok"] for row in verify(run.folder, retrain=True)])
try:
    fb.train("absent.csv", devices=2)
except fb.FlambeauError as error:
    print(str(error).splitlines()[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, text=True, capture_output=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, repeated, second = done.stdout.splitlines()
    told: list[Any] = json.loads(first)
    assert "rmse" in told[0] and told[1] >= 2
    assert repeated == "[True, True, True, True]"
    assert second == "there is no 'absent.csv'"
