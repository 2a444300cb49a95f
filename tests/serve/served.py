"""Small bundles that were never trained, requests to them in this process, and a server in a process of its own."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from flambeau.deploy.bundle import Bundle, save_bundle
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, PictureFacts, Schema
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TargetScaler, fit_table

CLASSES = ("<b>cat</b>", "dog & co", 'a "quoted" fox')
ROWS = 60


def picture_bundle(folder: Path, task: str = "classification", name: str = "small_cnn") -> Path:
    """A small network on pictures of 16 px, with random weights."""
    torch.manual_seed(0)
    classes = () if task == "regression" else CLASSES
    facts = PictureFacts(3, 8, 16, 16)
    schema = Schema("pictures", task, "folder", classes, (Column("image", "image"),), facts)  # type: ignore[arg-type]
    outputs = schema.outputs
    arguments: dict[str, Any] = {"channels": 3, "outputs": outputs, "size": [16, 16], "width": 8}
    spec = ModelSpec(name, arguments | ({"depth": 1} if name == "resnet" else {}))
    preparation = PicturePreparation((16, 16), 3, 8, mean=(0.5,) * 3, std=(0.25,) * 3)
    bundle = Bundle(schema, spec, preparation, build_model(spec).eval(), TargetScaler(10.0, 2.0))
    save_bundle(folder, bundle, "")
    return folder


def table_bundle(folder: Path, task: str = "classification") -> Path:
    """An MLP on a number, a yes or no, a category and a date, with random weights."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    words = np.array(["red", "green", "<i>blue</i>", None], dtype=object)
    columns = {
        "age & <b>size</b>": random.uniform(1, 100, ROWS),
        "rich": random.integers(0, 2, ROWS).astype(np.float64),
        "colour": words[random.integers(0, 4, ROWS)],
        "sold": np.datetime64("2020-01-01", "s") + random.integers(0, 10**7, ROWS).astype("timedelta64[s]"),
    }
    kinds = {"age & <b>size</b>": "number", "rich": "boolean", "colour": "category", "sold": "date"}
    described = [Column(name, kind) for name, kind in kinds.items()]  # type: ignore[arg-type]
    described[0] = replace(described[0], low=1.0, high=100.0)
    described[2] = replace(described[2], values=("red", "green", "<i>blue</i>"))
    described.append(Column("note", "text", used=False))
    schema = Schema("table", task, "answer", () if task == "regression" else CLASSES, tuple(described))  # type: ignore[arg-type]
    preparation = fit_table(columns, kinds)
    arguments = {
        "number_features": len(preparation.numbers),
        "cardinalities": list(preparation.cardinalities),
        "outputs": schema.outputs,
        "width": 8,
        "depth": 1,
    }
    spec = ModelSpec("mlp", arguments)
    bundle = Bundle(schema, spec, preparation, build_model(spec).eval(), TargetScaler(100.0, 10.0))
    save_bundle(folder, bundle, "")
    return folder


ROW = {"age & <b>size</b>": 30, "rich": True, "colour": "red", "sold": "2020-02-03"}


def picture(width: int = 16, height: int = 16, kind: str = "png", seed: int = 0) -> bytes:
    """A random picture as the bytes of a file."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(*words: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """`flambeau serve` with these words in a process of its own: its port and the process."""
    port = free_port()
    source = Path(__file__).resolve().parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "flambeau", "serve", *words, "--port", str(port), "--threads", "1"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready"), process.communicate()[1]
        yield port, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def exchange(port: int, sent: bytes, seconds: float = 20.0) -> bytes:
    """Send bytes as they are, and return all that comes back until the server closes or falls silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(sent)
        return receive(connection, seconds)


def receive(connection: socket.socket, seconds: float) -> bytes:
    """All that comes until the other side closes, or an answer with a length is complete."""
    connection.settimeout(seconds)
    came = b""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            part = connection.recv(65_536)
        except (TimeoutError, ConnectionResetError):
            break
        if not part:
            break
        came += part
        head, found, body = came.partition(b"\r\n\r\n")
        if found and b"content-length:" in head:
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(body) >= length:
                break
    return came


def post(body: bytes, kind: str, path: str = "/predict") -> bytes:
    """The bytes of one POST."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body
