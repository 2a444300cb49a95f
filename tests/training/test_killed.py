"""Killed at any step and resumed, a training ends in the same bits, whatever technique it uses."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from flambeau.data.batches import Batches, Inputs, gather_tensors
from flambeau.evaluation.validation import Validation
from flambeau.training.clipping import clip_gradients
from flambeau.training.loop import EpochBatches, EpochRecord, Position, Technique, train
from flambeau.training.losses import classification_loss
from flambeau.training.names import make_optimizer_of, optimizer_rule, schedule_curve
from flambeau.training.optimizers import parameter_groups
from flambeau.training.own_batches import OwnBatches
from flambeau.training.precision import lay_out
from flambeau.training.session import Interrupted, Session, run_session
from flambeau.training.state import TrainingState
from flambeau.training.steps import step_with_closure
from flambeau.transforms.draws import Draws

CPU = torch.device("cpu")
ROWS, BATCH, EPOCHS = 30, 8, 2


def make_tensors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, 2, 6, 6, generator=generator)
    return inputs, torch.randint(0, 3, (ROWS,), generator=generator)


def make_model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Linear(64, 3))


def blend(inputs: Inputs, targets: Tensor, draws: Draws) -> tuple[Inputs, Tensor]:
    """Mixup, written out."""
    plain = nn.functional.one_hot(targets, 3).float()
    weight, partner = draws.beta(0.4), draws.partners()
    shaped = weight.view(-1, 1, 1, 1)
    mixed = shaped * inputs[0] + (1 - shaped) * inputs[0][partner]
    return (mixed,), weight[:, None] * plain + (1 - weight[:, None]) * plain[partner]


class NoisySamples(Dataset):
    """Samples with noise from torch's generator, wherever they are read."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, targets = make_tensors()
        return inputs[index] + torch.rand(()), targets[index]


def indexed(change: Any = None) -> EpochBatches:
    inputs, targets = make_tensors()
    return Batches(gather_tensors(inputs), targets, torch.arange(ROWS), BATCH, seed=3, change=change)


def loaded(workers: int) -> EpochBatches:
    loader = DataLoader(NoisySamples(), batch_size=BATCH, shuffle=True, num_workers=workers)
    return OwnBatches(loader, CPU, seed=3)


def unfreeze_late(model: nn.Module, epoch: int) -> None:
    """The filters learn from the second epoch on."""
    model[0].requires_grad_(epoch > 0)


@dataclass(frozen=True)
class Case:
    """A training that is to be killed."""

    optimizer: str = "adamw"
    schedule: str = "one_cycle"
    technique: dict[str, Any] = field(default_factory=dict)
    batches: Callable[[], EpochBatches] = indexed


CASES = {
    "plain": Case(),
    "bf16": Case(technique={"precision": "bf16"}),
    "fp16": Case(technique={"precision": "fp16"}, schedule="constant"),
    "average, clipping, cosine": Case(
        technique={"average_decay": 0.9, "clip": partial(clip_gradients, norm=0.5)}, schedule="cosine"
    ),
    "parts, clipped values, linear": Case(
        technique={"micro_batch": 3, "clip": partial(clip_gradients, value=0.01)}, schedule="linear"
    ),
    "fp16 in parts with average, sgd": Case(
        "sgd", technique={"precision": "fp16", "micro_batch": 4, "average_decay": 0.9}
    ),
    "mixup, plateau": Case(schedule="plateau", batches=partial(indexed, blend)),
    "lbfgs, constant": Case("lbfgs", "constant", {"step": step_with_closure}),
    "muon, step": Case("muon", "step"),
    "nadam, multi-step": Case("nadam", "multi_step"),
    "rmsprop, gradual unfreezing": Case("rmsprop", technique={"begin_epoch": unfreeze_late}),
    "adagrad": Case("adagrad"),
    "own batches, average": Case(technique={"average_decay": 0.9}, batches=partial(loaded, 0)),
}


def trained(case: Case, folder: Path, stop_at: int = 0) -> tuple[str, int]:
    """Train on in a folder; the digest of everything at the end, and how often it was asked whether to stop.

    Raises:
        Interrupted: at the question `stop_at`.
    """
    model, batches = make_model(), case.batches()
    # LBFGS of torch looks at parameters as rows, which it cannot in another layout
    lay_out(model, "contiguous" if case.optimizer == "lbfgs" else "channels_last")
    decay = 0.0 if case.optimizer == "lbfgs" else 0.05
    groups = parameter_groups(model, lr=0.01, weight_decay=decay)
    optimizer = make_optimizer_of(optimizer_rule(case.optimizer), model, groups, CPU)
    schedule = schedule_curve(
        case.schedule, epochs=EPOCHS, warmup=0.2, milestones=[1], step_size=1, patience=0, gamma=0.5
    )
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == stop_at

    def validate(module: nn.Module) -> Validation:
        module.eval()
        inputs, targets = make_tensors()
        with torch.inference_mode():
            value = classification_loss(module(inputs), targets).item()
        # no epoch is better than the first, so that a plateau falls
        return Validation(value, 0.5 if case.schedule == "plateau" else value)

    technique = Technique(EPOCHS, schedule, seed=5, **case.technique)
    session = Session(folder, validate=validate, should_stop=should_stop)
    return digest(run_session(model, batches, optimizer, classification_loss, technique, session)), asked


def digest(state: TrainingState) -> str:
    """Of the weights, the average, the best weights and everything that the optimizer and the scaler remember."""
    tensors, description = state.parts()
    total = hashlib.sha256(
        repr((description, state.best, state.scaler and state.scaler.state_dict())).encode()
    )
    for name, tensor in sorted({**tensors, **(state.weights or {})}.items()):
        total.update(name.encode() + tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("name", CASES)
def test_killed_at_any_step_and_resumed_has_the_same_bits(name: str, tmp_path: Path) -> None:
    unbroken, questions = trained(CASES[name], tmp_path / "whole")
    assert questions == EPOCHS * 4
    for stop_at in range(1, questions):
        folder = tmp_path / str(stop_at)
        with pytest.raises(Interrupted):
            trained(CASES[name], folder, stop_at)
        assert trained(CASES[name], folder)[0] == unbroken, f"stopped at question {stop_at}"


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [2, 6])
def test_killed_with_workers_and_resumed_has_the_same_bits(stop_at: int, tmp_path: Path) -> None:
    case = Case(technique={"average_decay": 0.9}, batches=partial(loaded, 2))
    unbroken, _ = trained(case, tmp_path / "whole")
    with pytest.raises(Interrupted):
        trained(case, tmp_path / "broken", stop_at)
    assert trained(case, tmp_path / "broken")[0] == unbroken


def test_the_digest_sees_the_last_bit(tmp_path: Path) -> None:
    first, _ = trained(CASES["plain"], tmp_path / "first")
    again, _ = trained(CASES["plain"], tmp_path / "again")
    clipped, _ = trained(Case(technique={"clip": partial(clip_gradients, norm=1e-3)}), tmp_path / "other")
    assert first == again != clipped


def test_killed_in_the_middle_of_a_step_goes_on_from_the_checkpoint_before(tmp_path: Path) -> None:
    whole, model = make_model(), make_model()
    technique = Technique(1, lambda done: 1.0, micro_batch=3)

    def optimizer_of(module: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": module.parameters(), "peak_lr": 0.1}], lr=0.1)

    list(train(whole, indexed(), optimizer_of(whole), classification_loss, technique))
    calls = [0]

    def failing(outputs: Tensor, targets: Tensor) -> Tensor:
        calls[0] += 1
        if calls[0] == 5:
            raise RuntimeError("a part of a step failed")
        return classification_loss(outputs, targets)

    optimizer = optimizer_of(model)
    records = train(model, indexed(), optimizer, failing, technique)
    next(records)
    saved = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="a part of a step failed"):
        next(records)
    model.load_state_dict(saved)
    position = Position(epoch=0, step=1, samples=8)
    rest = list(train(model, indexed(), optimizer, failing, technique, position=position))
    assert isinstance(rest[-1], EpochRecord)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), model.parameters(), strict=True))
