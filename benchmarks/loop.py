"""A step of the loop against the loops that a person writes by hand: same model, batches of equal size, same optimizer.

    python benchmarks/loop.py

One process, one thread, arms interleaved, CPU time of an epoch of 512 steps; the ratio is the result.

The bare loop and flambeau do the same: AdamW in its fused form over two groups (matrices decay, vectors do not), a
rate from the one-cycle schedule set before each step, a new order of the rows from a seeded generator, batches
gathered by index from tensors, the sum of the losses kept in a tensor and read once. Two more arms add a moving
average of the weights and clipping by norm on both sides. Flambeau alone seeds dropout each step (this model has
none), yields a record a step, and measures gradient and update at the last step. The arm "in a session" is what a run
does: it also looks at each loss, measures the spans, tells progress and writes the checkpoint of the end.

The textbook loop has DataLoader, AdamW as it is called by default, neither groups nor schedule, and `.item()` at
each step.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from common import print_header, tell
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from flambeau.data.batches import Batches, gather_tensors
from flambeau.training.average import averaged_copy
from flambeau.training.clipping import clip_gradients
from flambeau.training.loop import Technique, train
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_adamw, parameter_groups
from flambeau.training.schedules import one_cycle
from flambeau.training.session import Session, run_session

ROWS, FEATURES, CLASSES, BATCH, ROUNDS = 16_384, 64, 10, 32, 11
RATE, DECAY, WARMUP, AVERAGE, NORM = 1e-3, 0.01, 0.15, 0.999, 1.0
CPU = torch.device("cpu")

Arm = Callable[[Tensor, Tensor], float]


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def textbook(inputs: Tensor, targets: Tensor) -> float:
    model = make_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=BATCH, shuffle=True)
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


def bare(inputs: Tensor, targets: Tensor, *, extras: bool) -> float:
    model = make_model().train()
    average = copy.deepcopy(model).requires_grad_(False) if extras else None
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": vectors, "weight_decay": 0.0}, {"params": matrices, "weight_decay": DECAY}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)
    parameters = list(model.parameters())
    averages = list(average.parameters()) if average is not None else []
    values = [parameter.detach() for parameter in parameters]
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0)).split(BATCH)
    total = torch.zeros(())
    for step, rows in enumerate(order):
        rate = RATE * one_cycle(step / len(order), warmup=WARMUP)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = F.cross_entropy(model(inputs[rows]), targets[rows])
        loss.backward()
        if extras:
            nn.utils.clip_grad_norm_(parameters, NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if extras:
            torch._foreach_lerp_(averages, values, 1 - min(AVERAGE, (1 + step) / (10 + step)))
        total += loss.detach()
    return total.item()


def ours(inputs: Tensor, targets: Tensor, *, extras: bool) -> float:
    model = make_model()
    average = averaged_copy(model) if extras else None
    batches = Batches(gather_tensors(inputs), targets, torch.arange(ROWS), BATCH, seed=0)
    groups = parameter_groups(model, lr=RATE, weight_decay=DECAY)
    optimizer = make_adamw(groups, beta1=0.9, beta2=0.999, device=CPU)
    technique = Technique(epochs=1, schedule=partial(one_cycle, warmup=WARMUP))
    if extras:
        clip = partial(clip_gradients, norm=NORM)
        technique = Technique(1, technique.schedule, average_decay=AVERAGE, clip=clip)
    *_, record = train(model, batches, optimizer, classification_loss, technique, average=average)
    return float(record.loss)


def in_session(inputs: Tensor, targets: Tensor) -> float:
    model = make_model()
    batches = Batches(gather_tensors(inputs), targets, torch.arange(ROWS), BATCH, seed=0)
    groups = parameter_groups(model, lr=RATE, weight_decay=DECAY)
    optimizer = make_adamw(groups, beta1=0.9, beta2=0.999, device=CPU)
    technique = Technique(epochs=1, schedule=partial(one_cycle, warmup=WARMUP))
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder))
        return run_session(model, batches, optimizer, classification_loss, technique, session).position.epoch


def main() -> None:
    """Time all arms in turn and print the ratios."""
    torch.set_num_threads(1)
    print_header("loop: seconds of CPU time for one epoch of 512 steps, MLP 64-64-10, batch 32, AdamW")
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, FEATURES, generator=generator)
    targets = torch.randint(CLASSES, (ROWS,), generator=generator)
    arms: dict[str, Arm] = {
        "textbook loop with DataLoader": textbook,
        "bare fused loop over tensors": partial(bare, extras=False),
        "flambeau": partial(ours, extras=False),
        "flambeau in a session": in_session,
        "bare, with average and clipping": partial(bare, extras=True),
        "flambeau, with average and clipping": partial(ours, extras=True),
    }
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(ROUNDS + 1):
        for name, arm in arms.items():
            started = time.process_time()
            arm(inputs, targets)
            times[name].append(time.process_time() - started)
    for name, values in times.items():
        print(f"{name:36} {tell(values[1:])} s")
    textbook_name, bare_name, own_name, session_name, bare_more, own_more = arms
    pairs = [
        (own_name, bare_name),
        (own_name, textbook_name),
        (session_name, bare_name),
        (own_more, bare_more),
    ]
    for own, rival in pairs:
        ratios = [a / b for a, b in zip(times[own][1:], times[rival][1:], strict=True)]
        print(f"{own} / {rival:32} {tell(ratios, 3)}")


if __name__ == "__main__":
    main()
