"""Peak memory of a training step with and without recomputing, beside what flambeau counts before it.

    python benchmarks/memory.py

Each arm in a process of its own; the peak is that of its resident memory over what it was before the first step.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from common import print_header
from torch import nn

from flambeau.models.cnn import SmallResNet
from flambeau.models.recompute import recompute_blocks
from flambeau.models.resnet import ResNet
from flambeau.stages.work import measure_memory

GIGA = 1e9
BATCH = 64
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
    """One arm: prints peak GB, counted GB and CPU seconds a step."""
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
    started = time.process_time()
    loss(model(inputs), targets).backward()
    seconds = time.process_time() - started
    print(resident("VmHWM") - before, counted.of(BATCH, recompute=recompute) / GIGA, seconds)


def main() -> None:
    """Print both arms of each model."""
    if sys.argv[1:]:
        arm(sys.argv[1], sys.argv[2] == "recompute")
        return
    print_header(f"memory: peak over the start, forward and backward of {BATCH} pictures in fp32")
    for name in MODELS:
        told = {}
        for kind in ("keep", "recompute"):
            done = subprocess.run(
                [sys.executable, __file__, name, kind], capture_output=True, text=True, check=True
            )
            peak, counted, seconds = map(float, done.stdout.split())
            told[kind] = (peak, seconds)
            print(
                f"{name:26} {kind:10} peak {peak:.2f} GB, counted {counted:.2f} GB, {seconds:.2f} CPU s a step"
            )
        less, longer = (told["recompute"][i] / told["keep"][i] for i in (0, 1))
        print(f"{name:26} recomputing: {less:.2f} of the memory in {longer:.2f} of the time")


if __name__ == "__main__":
    main()
