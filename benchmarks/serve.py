"""`flambeau serve` beside a plain FastAPI handler and LitServe: one core for the server, one for the clients.

    python benchmarks/serve.py [--rounds 3] [--seconds 5] [--only pictures|table|overload] [--overload-seconds 60]

The arms take turns, so that what the machine does meanwhile meets all of them. Figures: median [least, most].
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from common import print_header, tell
from PIL import Image
from torch import nn

from flambeau.deploy.bundle import Bundle, save_bundle
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, PictureFacts, Schema
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TargetScaler, fit_table

HERE = Path(__file__).resolve().parent
ARMS = ("flambeau", "fastapi", "litserve", "litserve-batching")
SERVER_CORE, CLIENT_CORE = 0, 1


def picture_bundle(folder: Path) -> None:
    """ResNet-18 for pictures of 64 px; the weights are random, which costs the same."""
    torch.manual_seed(0)
    classes = tuple(f"class {number}" for number in range(10))
    schema = Schema("pictures", "classification", "folder", classes, (Column("image", "image"),),
                    PictureFacts(3, 8, 64, 64))  # fmt: skip
    spec = ModelSpec("resnet", {"channels": 3, "outputs": 10, "size": [64, 64], "width": 64, "depth": 2})
    preparation = PicturePreparation((64, 64), 3, 8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    module = build_model(spec).eval()
    for name, weights in module.named_parameters():
        if name.endswith("last_norm.weight"):  # zero before training, which would hide half of the network
            nn.init.uniform_(weights, 0.3, 1.0)
    save_bundle(folder, Bundle(schema, spec, preparation, module, TargetScaler(0.0, 1.0)), "")


def table_bundle(folder: Path) -> None:
    """A small TabM on ten numbers and two categories, as flambeau chooses it for a table."""
    random = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {f"number {i}": random.normal(size=1000) for i in range(10)}
    words = np.array(["red", "green", "blue"], dtype=object)
    columns |= {f"word {i}": words[random.integers(0, 3, 1000)] for i in range(2)}
    kinds = {name: "category" if name.startswith("word") else "number" for name in columns}
    described = [Column(name, kind, low=-4.0, high=4.0, values=("red", "green", "blue") if kind == "category" else ())
                 for name, kind in kinds.items()]  # type: ignore[arg-type]  # fmt: skip
    schema = Schema("table", "classification", "answer", ("no", "yes"), tuple(described))
    preparation = fit_table(columns, kinds)
    spec = ModelSpec("tabm", {"number_features": 10, "cardinalities": list(preparation.cardinalities), "outputs": 2,
                              "width": 128, "depth": 2, "dropout": 0.0, "members": 16, "bins": 8})  # fmt: skip
    torch.manual_seed(0)
    save_bundle(
        folder, Bundle(schema, spec, preparation, build_model(spec).eval(), TargetScaler(0.0, 1.0)), ""
    )


def request_bytes(kind: str, arm: str) -> bytes:
    """One POST /predict in the form that the arm takes fastest."""
    if kind == "table":
        row = {f"number {i}": round(0.1 * i, 3) for i in range(10)} | {"word 0": "red", "word 1": "blue"}
        body, content = json.dumps(row).encode(), "application/json"
    else:
        coarse = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(coarse).resize((64, 64)).save(stream, "jpeg", quality=90)
        body, content = stream.getvalue(), "image/jpeg"
        if arm.startswith("litserve"):
            body = json.dumps({"image": base64.b64encode(body).decode()}).encode()
            content = "application/json"
    head = (
        f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: {content}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def server(arm: str, bundle: Path, port: int, *options: str) -> Iterator[psutil.Process]:
    """A server pinned to one core, with one thread for torch, until the block ends."""
    words = [
        sys.executable,
        "-m",
        "flambeau",
        "serve",
        str(bundle),
        "--port",
        str(port),
        "--threads",
        "1",
        *options,
    ]
    if arm != "flambeau":
        words = [sys.executable, str(HERE / "serve_arms.py"), arm, str(bundle), str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0"}
    process = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(port)
        yield psutil.Process(process.pid)
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()


def wait_until_ready(port: int) -> None:
    """Until the port answers anything at all, and the workers behind it had time to start."""
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).read()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("the server did not start")


def cpu_seconds(process: psutil.Process) -> float:
    """Time on the processor of a process and its children."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        total += times.user + times.system
    return total


def load(
    process: psutil.Process, port: int, request: bytes, clients: int, seconds: float, pause: float = 0.0
) -> Any:
    """The load generator's figures, with "cpu": seconds on the processor of the server an answered request."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(request)
        file.flush()
        words = [sys.executable, str(HERE / "serve_load.py"), str(port), file.name, "--clients", str(clients),
                 "--seconds", str(seconds), "--pause", str(pause)]  # fmt: skip
        generator = subprocess.Popen(
            ["taskset", "-c", str(CLIENT_CORE), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert generator.stdin is not None and generator.stdout is not None
        generator.stdout.readline()
        before = cpu_seconds(process)
        generator.stdin.write("\n")
        generator.stdin.flush()
        figures = json.loads(generator.stdout.readline())
        figures["cpu"] = (cpu_seconds(process) - before) / max(1, sum(figures["statuses"].values()))
        generator.wait()
    return figures


def compare(kind: str, bundle: Path, rounds: int, seconds: float, arms: tuple[str, ...]) -> None:
    """Every arm with 32 clients and with one, in turns."""
    results: dict[tuple[str, int], list[Any]] = {}
    for turn in range(rounds):
        for place, arm in enumerate(arms):
            port = 8100 + 10 * turn + place
            with server(arm, bundle, port) as process:
                for clients in (32, 1):
                    figures = load(process, port, request_bytes(kind, arm), clients, seconds)
                    if list(figures["statuses"]) != ["200"]:
                        raise RuntimeError(f"{arm} answered {figures['statuses']}")
                    results.setdefault((arm, clients), []).append(figures)
    print(f"\n## {kind}")
    for clients in (32, 1):
        print(f"{clients} clients: requests a second; p50 ms; p99 ms; CPU µs a request")
        for arm in arms:
            found = results[arm, clients]
            rates = [figures["statuses"]["200"] / figures["seconds"] for figures in found]
            middle, tail = ([1e3 * figures[key]["200"] for figures in found] for key in ("p50", "p99"))
            cpu = [1e6 * figures["cpu"] for figures in found]
            print(f"  {arm:<18} {tell(rates, 0)}; {tell(middle, 2)}; {tell(tail, 2)}; {tell(cpu, 0)}")


def overload(bundle: Path, seconds: float) -> None:
    """Ten times as many clients as the queue holds, none of which waits after a refusal."""
    with server("flambeau", bundle, 8190, "--queue", "64") as process:
        memory = [process.memory_info().rss / 1e6]
        for part in range(4):
            figures = load(process, 8190, request_bytes("pictures", "flambeau"), 640, seconds / 4)
            memory.append(process.memory_info().rss / 1e6)
            shown = {key: figures[key] for key in ("statuses", "p50", "p99", "max", "lost")}
            print(f"  part {part + 1}: {json.dumps(shown)}, memory {memory[-1]:.0f} MB")
        print(
            f"  memory before and after: {memory[0]:.0f} → {memory[-1]:.0f} MB; alive: {process.is_running()}"
        )


def main() -> None:
    """Everything, or one part of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--overload-seconds", type=float, default=60.0)
    parser.add_argument("--only", choices=("pictures", "table", "overload"))
    parser.add_argument("--arms", default=",".join(ARMS))
    given = parser.parse_args()
    print_header("serve: requests a second on one core")
    print(", ".join(f"{name} {version(name)}" for name in ("uvicorn", "starlette", "fastapi", "litserve")))
    arms = tuple(given.arms.split(","))
    with tempfile.TemporaryDirectory() as folder:
        pictures, table = Path(folder) / "pictures", Path(folder) / "table"
        picture_bundle(pictures)
        table_bundle(table)
        if given.only in (None, "pictures"):
            compare("pictures", pictures, given.rounds, given.seconds, arms)
        if given.only in (None, "table"):
            compare("table", table, given.rounds, given.seconds, arms)
        if given.only in (None, "overload"):
            print(f"\n## overload for {given.overload_seconds:.0f} s")
            overload(pictures, given.overload_seconds)


if __name__ == "__main__":
    main()
