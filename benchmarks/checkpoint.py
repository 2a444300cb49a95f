"""How long a training stands still for a checkpoint, against torch.save of the same state.

    python benchmarks/checkpoint.py

Wall time of the calling thread, one process, arms interleaved; the state is that of a model with AdamW and a moving
average after its first step. Stalls are measured in a training whose steps go on while the file is written, with the
next checkpoint only when the one before is done, as in a run. Every arm writes into the same folder.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import print_header, tell
from safetensors.torch import save_file
from torch import nn

from flambeau.training.loop import Technique
from flambeau.training.optimizers import make_adamw, parameter_groups
from flambeau.training.state import TrainingState
from flambeau.training.writer import CheckpointWriter, StateKeeper

CPU = torch.device("cpu")
SHAPES = {
    "large": (24, 544, 9),  # layers, width, rounds
    "many small tensors": (200, 64, 15),
}


def make_state(layers: int, width: int) -> tuple[TrainingState, Callable[[], None]]:
    """A state after its first step, and a step that works on all of it."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(width, width) for _ in range(layers)])
    groups = parameter_groups(model, lr=1e-4, weight_decay=0.01)
    optimizer = make_adamw(groups, beta1=0.9, beta2=0.999, device=CPU)
    state = TrainingState.start(model, optimizer, Technique(100, lambda done: 1.0, average_decay=0.99))
    inputs = torch.randn(8, width)

    def step() -> None:
        model(inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    return state, step


def timed(work: Callable[[], object]) -> float:
    """Seconds on the wall."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(layers: int, width: int, rounds: int, folder: Path) -> tuple[float, dict[str, list[float]]]:
    """Size of the state in MiB, and seconds by arm."""
    state, step = make_state(layers, width)
    assert state.average is not None

    def whole() -> dict[str, object]:
        modules = {"model": state.model.state_dict(), "average": state.evaluated.state_dict()}
        return {**modules, "optimizer": state.optimizer.state_dict()}

    size = sum(t.numel() * t.element_size() for t in state.parts()[0].values()) / 2**20
    times: dict[str, list[float]] = {}
    with CheckpointWriter(folder) as writer:
        keeper = StateKeeper(state, writer, steps=1000)
        keeper.reserve()
        for number in range(rounds + 1):
            state.position.epoch = number
            arms: dict[str, Callable[[], object]] = {
                "torch.save": lambda: torch.save(whole(), folder / "saved.pt"),
                "safetensors": lambda: save_file(
                    {name: t.contiguous() for name, t in state.parts()[0].items()},
                    folder / "saved.safetensors",
                ),
                "clone": lambda: {name: t.clone() for name, t in state.parts()[0].items()},
                "flambeau": lambda: keeper.write(("last", keeper.capture())),
            }
            for name, arm in arms.items():
                writer.wait()
                step()
                times.setdefault(name, []).append(timed(arm))
            times.setdefault("a step while it is written", []).append(timed(step))
            times.setdefault("written after", []).append(times["flambeau"][-1] + timed(writer.wait))
            times.setdefault("a step alone", []).append(timed(step))
    return size, times


def main() -> None:
    """Time all arms in turn and print the ratios."""
    torch.set_num_threads(1)
    print_header("checkpoint: milliseconds for which the training stands still")
    for name, (layers, width, rounds) in SHAPES.items():
        folder = Path(tempfile.mkdtemp(prefix="flambeau-benchmark-"))
        try:
            size, times = measure(layers, width, rounds, folder)
        finally:
            shutil.rmtree(folder)
        print(f"\n{name}: {size:.1f} MiB")
        for arm, values in times.items():
            print(f"  {arm:28} {tell([1000 * value for value in values[1:]], 2)} ms")
        for rival in ("torch.save", "safetensors", "clone"):
            ratios = [own / other for own, other in zip(times["flambeau"][1:], times[rival][1:], strict=True)]
            print(f"  flambeau / {rival:17} {tell(ratios, 3)}")


if __name__ == "__main__":
    main()
