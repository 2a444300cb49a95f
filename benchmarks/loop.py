"""Steps a second of the loop against the loops that a person writes by hand: same model, batch and optimizer.

    python benchmarks/loop.py

One process, one thread, arms interleaved, CPU time; the ratio is the result. The first rival is the textbook loop
with DataLoader and `.item()`, the second a bare loop over tensors with the same techniques as ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from common import print_header, tell
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flambeau.data.batches import Batches, gather_tensors
from flambeau.training.loop import Technique, train
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_adamw, parameter_groups

ROWS, FEATURES, CLASSES, BATCH, ROUNDS = 16_384, 64, 10, 32, 7
CPU = torch.device("cpu")


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def textbook(inputs: torch.Tensor, targets: torch.Tensor) -> float:
    model = make_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=BATCH, shuffle=True)
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


def bare(inputs: torch.Tensor, targets: torch.Tensor) -> float:
    model = make_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    order = torch.randperm(ROWS)
    total = torch.zeros(())
    for rows in order.split(BATCH):
        loss = F.cross_entropy(model(inputs[rows]), targets[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total += loss.detach()
    return total.item()


def ours(inputs: torch.Tensor, targets: torch.Tensor) -> float:
    model = make_model()
    batches = Batches(gather_tensors(inputs), targets, torch.arange(ROWS), BATCH, seed=0)
    groups = parameter_groups(model, lr=1e-3, weight_decay=0.01)
    optimizer = make_adamw(groups, beta1=0.9, beta2=0.999, device=CPU)
    technique = Technique(epochs=1, schedule=lambda done: 1.0)
    *_, record = train(model, batches, optimizer, classification_loss, technique)
    return float(record.loss)


def main() -> None:
    """Time all arms in turn and print the ratios."""
    torch.set_num_threads(1)
    print_header("loop: seconds of CPU time for one epoch of 512 steps, MLP 64-64-10, batch 32, AdamW")
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, FEATURES, generator=generator)
    targets = torch.randint(CLASSES, (ROWS,), generator=generator)
    arms: dict[str, Callable[[torch.Tensor, torch.Tensor], float]] = {
        "textbook loop with DataLoader": textbook,
        "bare loop over tensors": bare,
        "flambeau": ours,
    }
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(ROUNDS + 1):
        for name, arm in arms.items():
            started = time.process_time()
            arm(inputs, targets)
            times[name].append(time.process_time() - started)
    for name, values in times.items():
        print(f"{name:32} {tell(values[1:])} s")
    for rival in list(arms)[:2]:
        ratios = [own / other for own, other in zip(times["flambeau"][1:], times[rival][1:], strict=True)]
        print(f"flambeau / {rival:32} {tell(ratios, 3)}")


if __name__ == "__main__":
    main()
