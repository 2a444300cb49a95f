"""Training steps over the model zoo in every precision, layout and route, and what flambeau's rule chooses.

    python benchmarks/precision.py [NAME …]

One process, one thread, arms interleaved, CPU time; ratios against fp32 eager contiguous with the usual route, round by
round: their median, and for the rule and the best arm the least and the largest too. By the median, the rule must never
be slower than that by more than 5 %, and at least twice as fast where PERFORMANCE.md says so.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable
from itertools import product

import numpy as np
import torch
import torchvision
from common import print_header, tell
from torch import Tensor, nn

from flambeau.models.cnn import SmallCNN, SmallResNet
from flambeau.models.fast_cnn import FastCNN
from flambeau.models.mlp import MLP
from flambeau.models.resnet import ResNet
from flambeau.models.tabm import TabM
from flambeau.planning.machine import describe_machine
from flambeau.planning.numbers import fit_numbers_to_work, plan_numbers
from flambeau.recipe import Choices, Recipe
from flambeau.stages.engine.work import measure_work

SECONDS_A_MODEL = 4.0
SLOWER_ALLOWED, FASTER_REQUIRED = 0.95, 2.0
Inputs = tuple[Tensor, ...]
Arm = tuple[str, str, str]
USUAL: Arm = ("fp32", "contiguous", "highest")


def pictures(batch: int, channels: int, side: int) -> Inputs:
    return (torch.randn(batch, channels, side, side),)


def rows(batch: int, columns: int) -> Inputs:
    return torch.randn(batch, columns), torch.zeros(batch, 0, dtype=torch.int64)


def tabm(columns: int, bins: int) -> nn.Module:
    model = TabM(columns, [], 2, bins=bins)
    if bins:
        model.set_bins(np.random.default_rng(0).standard_normal((2000, columns)).astype(np.float32))
    return model


# name → model, inputs, whether PERFORMANCE.md says twice as fast
ZOO: dict[str, tuple[Callable[[], nn.Module], Inputs, bool]] = {
    "small_cnn 28 px b64": (lambda: SmallCNN(1, 10, size=(28, 28), width=16), pictures(64, 1, 28), True),
    "small_resnet 8 px b64": (lambda: SmallResNet(1, 10, size=(8, 8), width=16), pictures(64, 1, 8), False),
    "small_resnet 32 px b64": (
        lambda: SmallResNet(3, 10, size=(32, 32), width=16),
        pictures(64, 3, 32),
        True,
    ),
    "fast_cnn 32 px b64": (lambda: FastCNN(3, 10, size=(32, 32)), pictures(64, 3, 32), True),
    "resnet 128 px b16": (
        lambda: ResNet(3, 10, size=(128, 128), width=32, depth=1),
        pictures(16, 3, 128),
        True,
    ),
    "mobilenet_v2 96 px b16": (
        lambda: torchvision.models.mobilenet_v2(num_classes=10),
        pictures(16, 3, 96),
        False,
    ),
    "tabm b256, 20 columns, 8 bins": (lambda: tabm(20, 8), rows(256, 20), False),
    "tabm b1024, 8 columns, 128 bins": (lambda: tabm(8, 128), rows(1024, 8), False),
    "tabm b32, 5 columns": (lambda: tabm(5, 0), rows(32, 5), False),
    "mlp 100-512×3-2 b256": (lambda: MLP(100, 2, width=512, depth=3), rows(256, 100)[:1], True),
    "mlp 20-256×2-2 b64": (lambda: MLP(20, 2, width=256), rows(64, 20)[:1], False),
    "mlp 20-64×2-2 b32": (lambda: MLP(20, 2, width=64), rows(32, 20)[:1], False),
}


def rule(model: nn.Module, inputs: Inputs) -> Arm:
    """What flambeau chooses for this model on this machine."""
    machine = describe_machine(torch.device("cpu"))
    choices = Choices(Recipe())
    plan_numbers(choices, machine, pictures=inputs[0].ndim == 4)
    fit_numbers_to_work(choices, machine, measure_work(model, inputs))
    options = choices.recipe.training
    return str(options.precision), str(options.memory_format), str(options.matmul)


def prepare(model: nn.Module, inputs: Inputs, arm: Arm) -> Callable[[], None]:
    """A training step in the numbers of the arm."""
    layout = torch.channels_last if arm[1] == "channels_last" else torch.contiguous_format
    own = copy.deepcopy(model).to(memory_format=layout).train()
    given = tuple(part.contiguous(memory_format=layout) if part.ndim == 4 else part for part in inputs)
    optimizer = torch.optim.AdamW(own.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=arm[0] == "bf16"):
            loss = own(*given).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def time_arms(model: nn.Module, inputs: Inputs) -> dict[Arm, list[float]]:
    """CPU seconds of a step of each arm in each round."""
    layouts = ("contiguous", "channels_last") if inputs[0].ndim == 4 else ("contiguous",)
    arms: list[Arm] = [
        (precision, layout, route)
        for precision, layout, route in product(("fp32", "bf16"), layouts, ("highest", "medium"))
        if precision == "fp32" or route == "highest"
    ]
    steps = {arm: prepare(model, inputs, arm) for arm in arms}
    times: dict[Arm, list[float]] = {arm: [] for arm in arms}
    end = time.process_time() + SECONDS_A_MODEL
    number = 0
    while number < 4 or time.process_time() < end:
        for arm in arms[number % len(arms) :] + arms[: number % len(arms)]:
            torch.set_float32_matmul_precision(arm[2])
            repeats = 1 if times[arm] and min(times[arm]) > 0.02 else 10
            started = time.process_time()
            for _ in range(repeats):
                steps[arm]()
            if number:
                times[arm].append((time.process_time() - started) / repeats)
        number += 1
    torch.set_float32_matmul_precision("highest")
    return times


def main() -> None:
    """Print one line a model, and what the rule misses."""
    torch.set_num_threads(1)
    print_header("precision: CPU time of a training step; times as fast as fp32, contiguous, usual route")
    missed = []
    for name, (make, inputs, twice) in ZOO.items():
        if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
            continue
        torch.manual_seed(0)
        model = make()
        chosen, times = rule(model, inputs), time_arms(model, inputs)
        spread = {
            arm: [usual / own for usual, own in zip(times[USUAL], values, strict=True)]
            for arm, values in times.items()
        }
        ratios = {arm: statistics.median(values) for arm, values in spread.items()}
        listed = "  ".join(f"{'/'.join(arm)} {ratio:.2f}" for arm, ratio in ratios.items() if arm != USUAL)
        best = max(ratios, key=lambda arm: ratios[arm])
        usual = tell([1000 * seconds for seconds in times[USUAL]], 2)
        print(
            f"{name:32} {usual} ms  rule {'/'.join(chosen)} {tell(spread[chosen], 2)}, "
            f"best {'/'.join(best)} {tell(spread[best], 2)}  ({listed})",
            flush=True,
        )
        if ratios[chosen] < SLOWER_ALLOWED or (twice and ratios[chosen] < FASTER_REQUIRED):
            missed.append(f"{name}: {ratios[chosen]:.2f}")
    print("missed by the rule: " + ("; ".join(missed) or "nothing"))


if __name__ == "__main__":
    main()
