"""Peak memory of a training step with and without recomputing, beside what flambeau counts before it.

    python benchmarks/memory.py [--rounds 5]

Each arm of each round is a process of its own, the arms in turns. The peak is that of the resident memory over what it
was before the first step; the time is the CPU time of a step from the second on, the median of several.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from common import print_header, tell
from torch import nn

from flambeau.models.cnn import SmallResNet
from flambeau.models.recompute import recompute_blocks
from flambeau.models.resnet import ResNet
from flambeau.stages.engine.work import measure_memory

GIGA = 1e9
BATCH = 64
TIMED_STEPS = 3
ARMS = ("keep", "recompute")
MODELS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "small_resnet w32, 64 px": (lambda: SmallResNet(3, 10, size=(64, 64), width=32), 64),
    "resnet w64 d2, 96 px": (lambda: ResNet(3, 10, size=(96, 96), width=64, depth=2), 96),
    "mobilenet_v2, 96 px": (lambda: torchvision.models.mobilenet_v2(num_classes=10), 96),
}


def resident(kind: str) -> float:
    """VmRSS or VmHWM of this process in GB."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    line = next(line for line in status if line.startswith(kind))
    return int(line.split()[1]) * 1024 / GIGA


def arm(name: str, recompute: bool) -> None:
    """One arm: prints peak GB, counted GB and CPU seconds of a step; the first one only warms up."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    make, side = MODELS[name]
    model = make().train()
    inputs, targets = torch.randn(BATCH, 3, side, side), torch.randint(10, (BATCH,))
    loss = nn.functional.cross_entropy
    counted = measure_memory(model, loss, (inputs[:8],), targets[:8], precision="fp32", copies=1)
    if recompute:
        recompute_blocks(model)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    times = []
    for _ in range(1 + TIMED_STEPS):
        started = time.process_time()
        loss(model(inputs), targets).backward()
        times.append(time.process_time() - started)
        model.zero_grad(set_to_none=True)
    peak = resident("VmHWM") - before
    print(peak, counted.of(BATCH, recompute=recompute) / GIGA, statistics.median(times[1:]))


def run_arm(name: str, kind: str) -> tuple[float, float, float]:
    """Peak GB, counted GB and CPU seconds of a step, from a process of its own."""
    command = [sys.executable, __file__, "--arm", name, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, counted, seconds = map(float, done.stdout.split())
    return peak, counted, seconds


def main() -> None:
    """Print both arms of each model, and their ratios round by round."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arm", nargs=2, metavar=("MODEL", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        arm(options.arm[0], options.arm[1] == "recompute")
        return
    print_header(f"memory: peak over the start, forward and backward of {BATCH} pictures in fp32")
    for name in MODELS:
        told: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in ARMS}
        for number in range(options.rounds):
            for kind in ARMS if number % 2 == 0 else ARMS[::-1]:
                told[kind].append(run_arm(name, kind))
        for kind, rows in told.items():
            peaks, counted, seconds = zip(*rows, strict=True)
            print(
                f"{name:26} {kind:10} peak {tell(peaks, 2)} GB, counted {counted[0]:.2f} GB, "
                f"{tell(seconds, 2)} CPU s a step",
                flush=True,
            )
        pairs = list(zip(told["keep"], told["recompute"], strict=True))
        less, longer = ([again[i] / plain[i] for plain, again in pairs] for i in (0, 2))
        print(f"{name:26} recomputing: {tell(less, 2)} of the memory in {tell(longer, 2)} of the time")


if __name__ == "__main__":
    main()
