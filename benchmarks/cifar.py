"""The recipe `fast` on CIFAR-10: what it reaches, in which time, and how far that is from what the machine can do.

    python benchmarks/cifar.py [--seeds 3] [--minutes 2] [--threads N]
    python benchmarks/cifar.py --root FOLDER          # full CIFAR-10, where it is on this machine

Without `--root`: `fast`, the default recipe, and `fast` with the default's small_resnet for a model, in turn, on the
2,500 pictures of shared/data, each with the same time (`--minutes`, whole commands) or with its own length.

With `--root`: one run of `fast` on 50,000 pictures, its accuracy on the 10,000 test pictures, and its time beside the
time that its arithmetic alone would take at the speed of this machine's matrix products, which is measured right before
the run and right after it. The folder holds the official files, in a folder of their own or not: `data_batch_1.bin` and
so on, or `data_batch_1` and so on (as torchvision unpacks them). The latter are pickles; nothing but their arrays is
read.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SHARED, print_header, tell
from torch.utils.flop_counter import FlopCounterMode

from flambeau import load_recipe
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec
from flambeau.planning.machine import resolve_device

SIDE, CHANNELS = 32, 3
PICTURE_BYTES = CHANNELS * SIDE * SIDE
TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILES = ("test_batch",)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARMS = {
    "fast": ("--recipe", "fast"),
    "default": (),
    "fast with small_resnet": ("--recipe", "fast", "--model", "small_resnet"),
}
SIDE_OF_PRODUCT = 2048
# What NumPy itself puts into a pickle to make the array that is then filled.
EMPTY_ARRAY = np.zeros(0).__reduce__()[0]


class ArraysOnly(pickle.Unpickler):
    """Reads a pickle that is made of plain values and NumPy arrays, and runs nothing else."""

    ALLOWED = ("_reconstruct", "ndarray", "dtype")

    def find_class(self, module: str, name: str) -> Any:
        """What builds an array. Raises pickle.UnpicklingError for anything else."""
        if module.partition(".")[0] == "numpy" and name in self.ALLOWED:
            return {"ndarray": np.ndarray, "dtype": np.dtype}.get(name, EMPTY_ARRAY)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, encoding: text.encode(encoding)
        raise pickle.UnpicklingError(f"this file asks for {module}.{name}, which no batch of CIFAR-10 needs")


def read_batches(root: Path) -> dict[str, np.ndarray]:
    """The official files as arrays: {train,test}_images (count, 32, 32, 3) uint8 and {train,test}_labels, class names.

    Raises SystemExit where a file is absent or is not what it should be.
    """
    arrays = {}
    for part, names in (("train", TRAIN_FILES), ("test", TEST_FILES)):
        batches = [read_batch(find_batch(root, name)) for name in names]
        arrays[f"{part}_images"] = np.concatenate([pixels for pixels, _ in batches])
        arrays[f"{part}_labels"] = np.array(CLASSES)[np.concatenate([labels for _, labels in batches])]
    return arrays


def find_batch(root: Path, name: str) -> Path:
    """The file of that name with or without .bin, in the folder or in a folder of it."""
    for pattern in (f"{name}.bin", name, f"*/{name}.bin", f"*/{name}"):
        for path in sorted(root.glob(pattern)):
            return path
    raise SystemExit(
        f"there is no {name}.bin and no {name} in {root}: give the folder of the unpacked CIFAR-10"
    )


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(count, 32, 32, 3) uint8 pixels and (count,) class numbers of one file."""
    if path.suffix == ".bin":
        rows = np.fromfile(path, dtype=np.uint8)
        if len(rows) % (PICTURE_BYTES + 1):
            raise SystemExit(f"{path}: {len(rows)} bytes are not a whole number of pictures")
        rows = rows.reshape(-1, PICTURE_BYTES + 1)
        labels, flat = rows[:, 0].astype(np.int64), rows[:, 1:]
    else:
        with path.open("rb") as stream:
            batch = ArraysOnly(stream, encoding="bytes").load()
        labels, flat = np.array(batch[b"labels"], dtype=np.int64), batch[b"data"]
    if len(labels) == 0 or labels.max() >= len(CLASSES):
        raise SystemExit(f"{path}: expected labels from 0 to {len(CLASSES) - 1}")
    return flat.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1), labels


def train(words: Sequence[str], out: Path) -> dict[str, Any]:
    """One command's test accuracy, its wall and CPU seconds, and how many pictures its epochs took at which rate."""
    command = [
        sys.executable,
        "-m",
        "flambeau",
        "train",
        *words,
        "--no-baselines",
        "--out",
        str(out),
        "--quiet",
    ]
    before, started = os.times(), time.monotonic()
    finished = subprocess.run(command, capture_output=True, text=True)
    wall, after = time.monotonic() - started, os.times()
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)}\n{finished.stdout}{finished.stderr}")
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    epochs = [record for record in records if record["kind"] == "epoch"]
    return {
        "accuracy": json.loads((out / "scores.json").read_text())["test"]["accuracy"]["value"],
        "wall": wall,
        "cpu": after.children_user + after.children_system - before.children_user - before.children_system,
        "epochs": len(epochs),
        "rate": statistics.median(record["samples_per_second"] for record in epochs),
        "training": sum(record["seconds"] for record in epochs),
        "pictures": round(sum(record["samples_per_second"] * record["seconds"] for record in epochs)),
    }


def operations_a_picture(run: Path) -> float:
    """Additions and multiplications of one picture's forward and backward pass in the run's model."""
    spec = ModelSpec.from_json(json.loads((run / "model" / "model.json").read_text()))
    model = build_model(spec).train()
    pictures = torch.randn(4, CHANNELS, SIDE, SIDE)
    with FlopCounterMode(display=False) as counter:
        model(pictures).sum().backward()
    return counter.get_total_flops() / len(pictures)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Additions and multiplications a second of large matrix products, the most that this machine gives to anyone."""
    left, right = (
        torch.randn(SIDE_OF_PRODUCT, SIDE_OF_PRODUCT, device=device, dtype=dtype) for _ in range(2)
    )
    best = math.inf
    for _ in range(10):
        started = time.perf_counter()
        product = left @ right
        float(product[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE_OF_PRODUCT**3 / best


def product_rates(threads: int) -> dict[str, float]:
    """The rate of products in each precision, on the device that a run uses by default."""
    torch.set_num_threads(threads)
    device = resolve_device(None)
    known = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if device.type == "cuda":
        known["fp16"] = torch.float16
    return {name: product_rate(device, dtype) for name, dtype in known.items()}


def tell_limit(run: Path, result: dict[str, Any], before: dict[str, float], after: dict[str, float]) -> None:
    """How the run's speed compares with that of plain matrix products in the same numbers, before and after it."""
    precision = load_recipe(run / "recipe.yaml").training.precision or "fp32"
    operations = operations_a_picture(run)
    print(
        f"  {operations / 1e9:.3f} GFLOP a picture, {precision}; the training reached {result['rate']:,.0f} pictures/s"
    )
    for when, rates in (("before", before), ("after", after)):
        limit = rates[precision] / operations
        print(
            f"  products {when} it: {rates[precision] / 1e9:,.0f} GFLOP/s; the limit is {limit:,.0f} pictures/s, "
            f"of which {result['rate'] / limit:.0%} were reached; all {result['pictures']:,} pictures take "
            f"{result['pictures'] / limit:.1f} s at the limit, and took {result['training']:.1f} s"
        )


def compare_small(seeds: int, minutes: float | None, threads: int, folder: Path) -> None:
    """Every arm in turn on the shared pictures, once a seed."""
    source = str(SHARED / "images" / "cifar10_small")
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in ARMS}
    length = ["--minutes", str(minutes)] if minutes else []
    for seed in range(seeds):
        for name, words in ARMS.items():
            out = folder / f"{name.replace(' ', '-')}-{seed}"
            fixed = [source, *words, *length, "--seed", str(seed), "--threads", str(threads)]
            before = product_rates(threads)
            result = train(fixed, out)
            after = product_rates(threads)
            results[name].append(result)
            print(
                f"{name}, seed {seed}: " + ", ".join(f"{key} {value:.4g}" for key, value in result.items()),
                flush=True,
            )
            if name == "fast":
                tell_limit(out, result, before, after)
    for name, rows in results.items():
        columns = {
            key: tell([row[key] for row in rows], digits) for key, digits in (("accuracy", 4), ("cpu", 1))
        }
        print(f"{name:24} " + "; ".join(f"{key} {value}" for key, value in columns.items()))


def run_full(root: Path, words: Sequence[str], threads: int, folder: Path) -> dict[str, Any]:
    """One run of `fast` on all of CIFAR-10, or on whatever is in the files."""
    arrays = read_batches(root)
    source = folder / "cifar10.npz"
    np.savez(source, **arrays)
    out = folder / "run"
    before = product_rates(threads)
    result = train([str(source), "--recipe", "fast", "--threads", str(threads), *words], out)
    after = product_rates(threads)
    print(
        f"accuracy {result['accuracy']:.4f} on {len(arrays['test_labels']):,} test pictures; "
        f"{result['epochs']} epochs, {result['pictures']:,} pictures in {result['training']:.1f} s of training; "
        f"the whole command {result['wall']:.1f} s"
    )
    tell_limit(out, result, before, after)
    return result


def main() -> None:
    """Compare on the shared pictures, or run the whole thing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="folder of the full CIFAR-10")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="the same time for every arm")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("words", nargs="*", help="further words of the command with --root, after --")
    options = parser.parse_args()
    print_header("the recipe fast on CIFAR-10")
    with tempfile.TemporaryDirectory() as folder:
        if options.root is not None:
            run_full(options.root, options.words, options.threads, Path(folder))
        else:
            compare_small(options.seeds, options.minutes, options.threads, Path(folder))


if __name__ == "__main__":
    main()
