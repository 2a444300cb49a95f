"""Two processes over gloo on two cores, against one process on one core: samples a second, and what bounds them.

    python benchmarks/ranks.py

Both arms take the same steps of the same global batch, in fp32 with one thread a process. Two processes each compute
half of a step's samples, then add up the gradients (DistributedDataParallel), and the loss once more. Arms are
interleaved. Wall time is what counts for two cores, so the machine should be idle; the processor time of the first
process is told beside it, and with it how much of the wall time it waited or was not given a core. "Adding up" is the
time of the step's collectives alone: one all-reduce of as many numbers as there are gradients, and one of a number.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.distributed as dist
from common import print_header, tell
from torch import nn

from flambeau.data.batches import Batches, gather_tensors
from flambeau.training.distributed import ALONE, Ranks, add_up_last, join_ranks, replicate
from flambeau.training.loop import Technique, train
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_adamw, parameter_groups
from flambeau.training.schedules import constant

CPU = torch.device("cpu")
ROUNDS, EPOCHS, STEPS = 3, 2, 24


def small_net() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def wide_net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )


def picture_net() -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


# name → model, shape of a sample, samples a step
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "small MLP, batch 64": (small_net, (64,), 64),
    "MLP of 1.1 M weights, batch 256": (wide_net, (64,), 256),
    "CNN, pictures of 32 px, batch 128": (picture_net, (3, 32, 32), 128),
}


def measure(name: str, ranks: Ranks) -> dict[str, float]:
    """Seconds a step: of wall time, of this process's processor time, and of the collectives alone."""
    make, shape, size = NETS[name]
    torch.manual_seed(0)
    model = make()
    groups = parameter_groups(model, lr=1e-3, weight_decay=0.01)
    optimizer = make_adamw(groups, beta1=0.9, beta2=0.999, device=CPU)
    inputs = torch.randn(size * STEPS, *shape)
    targets = torch.randint(0, 10, (size * STEPS,))
    rows = torch.arange(size * STEPS)
    batches = Batches(gather_tensors(inputs), targets, rows, size, 0, rank=ranks.rank, ranks=ranks.count)
    technique = Technique(epochs=EPOCHS + 1, schedule=partial(constant, warmup=0.0), device=CPU)
    if ranks.several:
        model = replicate(model, find_unused_parameters=False)
        shared = {"together": add_up_last, "total": ranks.total, "processes": ranks.count}
        technique = replace(technique, **shared)
    wall = processor = 0.0
    for number, _ in enumerate(train(model, batches, optimizer, classification_loss, technique), start=1):
        if number == STEPS + 1:  # the first epoch warms up
            wall, processor = -time.perf_counter(), -time.process_time()
    wall, processor = wall + time.perf_counter(), processor + time.process_time()
    count = EPOCHS * STEPS
    return {"wall": wall / count, "processor": processor / count, "adding": seconds_of_adding(model, ranks)}


def seconds_of_adding(model: nn.Module, ranks: Ranks) -> float:
    """The collectives of a step, without any computing."""
    if not ranks.several:
        return 0.0
    gradients = torch.zeros(sum(parameter.numel() for parameter in model.parameters()))
    number = torch.zeros(())
    ranks.wait()
    began = time.perf_counter()
    for _ in range(STEPS):
        dist.all_reduce(gradients)
        ranks.total(number)
    return (time.perf_counter() - began) / STEPS


def work() -> None:
    """One process of an arm; the first prints its figures as JSON."""
    torch.set_num_threads(1)
    ranks = join_ranks() if "RANK" in os.environ else ALONE
    figures = {name: measure(name, ranks) for name in NETS}
    if ranks.first:
        print(json.dumps(figures))
    if ranks.several:
        dist.destroy_process_group()


def run_arm(processes: int) -> dict[str, dict[str, float]]:
    """The figures of one arm, in processes of its own."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), __file__, "work"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    figures: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Interleave both arms and print the ratios."""
    print_header("two processes over gloo on two cores, against one on one core")
    rounds = [(run_arm(1), run_arm(2)) for _ in range(ROUNDS)]
    for name, (_, _, size) in NETS.items():
        ones, twos = [one[name] for one, _ in rounds], [two[name] for _, two in rounds]
        print(f"\n{name}")
        print(f"  one process   samples/s  {tell([size / one['wall'] for one in ones], 0)}")
        print(f"  two processes samples/s  {tell([size / two['wall'] for two in twos], 0)}")
        print(
            f"  ratio of the wall times  {tell([o['wall'] / t['wall'] for o, t in zip(ones, twos, strict=True)], 2)}"
        )
        print(
            f"  processor time, ms       {tell([1000 * one['processor'] for one in ones], 2)} in one process"
        )
        print(
            f"                           {tell([1000 * two['processor'] for two in twos], 2)} in each of two"
        )
        print(f"  wall time of two, ms     {tell([1000 * two['wall'] for two in twos], 2)}")
        print(f"  of it adding up, ms      {tell([1000 * two['adding'] for two in twos], 2)}")


if __name__ == "__main__":
    work() if sys.argv[1:] == ["work"] else main()
