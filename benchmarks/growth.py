"""How cost grows with the data: time a sample from 10^4 to 10^6 rows, and memory from 10^3 to 10^4 pictures on disk.

    python benchmarks/growth.py [time] [texts] [series] [padding] [memory]

`time`: one thread, CPU time; each size walks the same number of samples, sizes in turn. "training" is flambeau's loop
on rows of 32 numbers, "batches" its feed alone, "plain gather" torch's own indexing of the same rows: what the
processor's caches do to any program.

`texts`, `series`: the same for a thousand and ten thousand texts or series, see growth_kinds.py. `padding`: which
share of what is computed of texts is padding.

`memory`: a process of its own for each number of pictures walks an epoch of a memory-mapped cache; what counts is the
memory of its own, not the pages of the file, which the system takes back whenever it wants.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import print_header, tell
from growth_kinds import tell_padding, tell_series, tell_texts
from torch import nn

from flambeau.data.batches import Batches, gather_pixels, gather_tensors
from flambeau.training.loop import StepRecord, Technique, train
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_adamw, parameter_groups
from flambeau.transforms.augment import augment_pictures, change_pictures
from flambeau.transforms.image import PicturePreparation

CPU = torch.device("cpu")
FEATURES, BATCH, ROUNDS, SIDE = 32, 64, 3, 64
# one epoch of the largest size, so that what an epoch costs once is counted once for it
STEPS = 1_000_000 // BATCH


def make_batches(count: int) -> Batches:
    """Batches of `count` rows of numbers."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, FEATURES, generator=generator)
    targets = torch.randint(10, (count,), generator=generator)
    return Batches(gather_tensors(inputs), targets, torch.arange(count), BATCH, seed=0)


def train_steps(batches: Batches) -> int:
    """Some steps of a small network; the samples that it saw."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = make_adamw(
        parameter_groups(model, lr=1e-3, weight_decay=0.01), beta1=0.9, beta2=0.999, device=CPU
    )
    technique = Technique(epochs=1000, schedule=lambda done: 1.0)
    steps = 0
    for record in train(model, batches, optimizer, classification_loss, technique):
        steps += isinstance(record, StepRecord)
        if steps == STEPS:
            break
    return STEPS * BATCH


def walk_steps(batches: Batches) -> int:
    """Some steps of batches that nobody uses."""
    seen = steps = 0
    for epoch in range(1000):
        for batch in batches.epoch(epoch):
            seen, steps = seen + batch.count, steps + 1
            if steps == STEPS:
                return seen
    return seen


def gather_steps(batches: Batches) -> int:
    """Rows in a random order, by torch alone."""
    count = len(batches.rows)
    orders = [torch.randperm(count) for _ in range(-(-STEPS * BATCH // count))]
    for rows in torch.cat(orders)[: STEPS * BATCH].split(BATCH):
        batches.gather(rows)
        batches.targets.index_select(0, rows)
    return STEPS * BATCH


def tell_times() -> None:
    """Microseconds a sample at each size, and the ratio to the smallest."""
    sizes = (10_000, 100_000, 1_000_000)
    feeds = {size: make_batches(size) for size in sizes}
    arms: dict[str, Callable[[Batches], int]] = {
        "training": train_steps,
        "batches": walk_steps,
        "plain gather": gather_steps,
    }
    for name, arm in arms.items():
        times: dict[int, list[float]] = {size: [] for size in sizes}
        for number in range(ROUNDS + 1):
            for size in sizes:
                started = time.process_time()
                seen = arm(feeds[size])
                if number:
                    times[size].append((time.process_time() - started) / seen * 1e6)
        for size in sizes:
            ratios = [one / other for one, other in zip(times[size], times[sizes[0]], strict=True)]
            print(
                f"  {name:14} {size:>9,} rows: {tell(times[size], 3)} µs a sample; {tell(ratios, 3)} of the smallest"
            )


def private_megabytes(path: str) -> float:
    """The most memory of its own, without pages of files, that this process has while it walks an epoch."""
    pixels = np.load(path, mmap_mode="r")
    preparation = PicturePreparation((SIDE, SIDE), 3, 8, mean=(0.5,) * 3, std=(0.25,) * 3)
    change = partial(
        change_pictures,
        augment=partial(augment_pictures, largest=preparation.largest, crop=4, flip_horizontal=True),
        normalise=partial(preparation.normalise, overwrite=True),
    )
    gather = gather_pixels(pixels, preparation.shape, CPU)
    count = len(pixels)
    batches = Batches(gather, torch.zeros(count, dtype=torch.int64), torch.arange(count), BATCH, 0, change)
    most = 0
    for epoch in range(3000 // count + 1):
        for _ in batches.epoch(epoch):
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            most = max(most, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")))
    return most / 1000


def tell_memory() -> None:
    """Memory of its own for each number of pictures, each in a new process."""
    generator = np.random.default_rng(0)
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in (1_000, 3_000, 10_000):
            path = Path(scratch) / f"{count}.npy"
            np.save(path, generator.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))
            done = subprocess.run(
                [sys.executable, __file__, "walk", str(path)], capture_output=True, text=True, check=True
            )
            found.append(float(done.stdout))
            print(
                f"  {count:>6,} pictures, {path.stat().st_size / 1e6:5.0f} MB on disk: {found[-1]:.0f} MB of memory; "
                f"{found[-1] / found[0]:.3f} of the smallest"
            )


def main() -> None:
    """Run the parts named on the command line, or all."""
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["walk"]:
        print(private_megabytes(sys.argv[2]))
        return
    parts = {
        "time": tell_times,
        "texts": tell_texts,
        "series": tell_series,
        "padding": tell_padding,
        "memory": tell_memory,
    }
    asked = sys.argv[1:] or list(parts)
    print_header(
        f"growth of {', '.join(asked)}: one thread, CPU time; batches of {BATCH} and {STEPS} steps for time"
    )
    for name in asked:
        parts[name]()


if __name__ == "__main__":
    main()
