"""Stopped at any step and resumed ends in equal bits, whatever it is that remembers something."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from flambeau.data.batches import Batches, gather_tensors
from flambeau.evaluation.validation import Validation
from flambeau.training.clipping import clip_gradients
from flambeau.training.loop import Technique
from flambeau.training.losses import classification_loss
from flambeau.training.muon import hidden_weights, make_muon
from flambeau.training.optimizers import make_adamw, make_lbfgs, make_sgd, parameter_groups
from flambeau.training.schedules import ReduceOnPlateau
from flambeau.training.session import Interrupted, Session, run_session
from flambeau.training.state import TrainingState
from flambeau.training.steps import step_once, step_with_closure
from flambeau.transforms.draws import Draws

CPU = torch.device("cpu")
ROWS, EPOCHS, BATCH = 50, 4, 10


class Drifting(SGD):
    """A person's own rule, whose group keeps a number and whose state keeps the last gradients."""

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            group["drift"] = group.get("drift", 1.0) * 0.9
            for parameter in group["params"]:
                past = self.state[parameter].setdefault("past", [])
                past.append(parameter.grad.clone())
                del past[:-3]
                parameter.grad = sum(past) * group["drift"]
        super().step()


def make_rule(rule: str, model: nn.Module) -> Optimizer:
    groups = parameter_groups(model, lr=0.02, weight_decay=0.01)
    if rule == "sgd":
        return make_sgd(groups, momentum=0.9, device=CPU)
    if rule == "lbfgs":
        return make_lbfgs(parameter_groups(model, lr=0.3, weight_decay=0.0), device=CPU)
    if rule == "muon":
        return make_muon(groups, hidden=hidden_weights(model), momentum=0.9, device=CPU)
    if rule == "own":
        return Drifting(groups, momentum=0.9)
    return make_adamw(groups, beta1=0.9, beta2=0.99, device=CPU)


def jitter(parts: tuple[Tensor, ...], aims: Tensor, draws: Draws) -> tuple[tuple[Tensor, ...], Tensor]:
    return (parts[0] + draws.uniform().view(-1, 1),), aims


def run(folder: Path, rule: str, *, stop_after: int | None = None, **options: Any) -> TrainingState:
    generator = torch.Generator().manual_seed(0)
    inputs, targets = (
        torch.randn(ROWS, 6, generator=generator),
        torch.randint(3, (ROWS,), generator=generator),
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 12))
    model.append(nn.Linear(12, 3))
    batches = Batches(gather_tensors(inputs), targets, torch.arange(ROWS), BATCH, seed=0, change=jitter)
    technique = Technique(
        EPOCHS,
        ReduceOnPlateau(warmup=0.1, gamma=0.5, patience=0),
        average_decay=0.9,
        clip=partial(clip_gradients, norm=1.0),
        micro_batch=0 if rule == "lbfgs" else 7,
        step=step_with_closure if rule == "lbfgs" else step_once,
    )
    calls = 0

    def should_stop() -> bool:
        nonlocal calls
        calls += 1
        return stop_after is not None and calls > stop_after

    def validate(module: nn.Module) -> Validation:
        module.eval()
        with torch.inference_mode():
            value = classification_loss(module(inputs), targets).item()
        # now and then worse, so that the rate falls
        return Validation(value, value * 1000 % 1)

    session = Session(folder, validate=validate, should_stop=should_stop, **options)
    return run_session(model, batches, make_rule(rule, model), classification_loss, technique, session)


def whole(state: TrainingState) -> dict[str, Tensor]:
    tensors, _ = state.parts()
    return {**tensors, **(state.weights or {})}


@pytest.mark.parametrize("rule", ["adamw", "sgd", "lbfgs", "muon", "own"])
@pytest.mark.parametrize(("stop_after", "seconds"), [(0, 30.0), (5, 0.0), (8, 30.0), (13, 0.0)])
def test_stopped_and_resumed_equals_unbroken(
    tmp_path: Path, rule: str, stop_after: int, seconds: float
) -> None:
    unbroken = run(tmp_path / "unbroken", rule)
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", rule, stop_after=stop_after, checkpoint_seconds=seconds)
    resumed = run(tmp_path / "broken", rule, checkpoint_seconds=seconds)
    expected = whole(unbroken)
    got = whole(resumed)
    assert set(got) == set(expected)
    assert [name for name in expected if not torch.equal(expected[name], got[name])] == []
    assert resumed.best == unbroken.best
    schedule = resumed.technique.schedule
    assert schedule == unbroken.technique.schedule
    assert isinstance(schedule, ReduceOnPlateau)
    assert schedule.best is not None


def test_the_schedule_is_told_each_score_once(tmp_path: Path) -> None:
    class Remembering(ReduceOnPlateau):
        def note(self, score: float, higher_is_better: bool) -> None:
            told.append((score, higher_is_better))
            super().note(score, higher_is_better)

    for validated, better in ((True, True), (False, False)):
        told: list[tuple[float, bool]] = []
        losses: list[float] = []
        model = nn.Linear(6, 3)
        inputs, targets = torch.randn(ROWS, 6), torch.zeros(ROWS, dtype=torch.int64)
        batches = Batches(gather_tensors(inputs), targets, torch.arange(ROWS), BATCH, seed=0)

        def listen(record: dict[str, Any], losses: list[float] = losses) -> None:
            if record["kind"] == "epoch":
                losses.append(record["loss"])

        session = Session(
            tmp_path / str(validated),
            validate=(lambda module: Validation(0.5, 0.75)) if validated else None,
            higher_is_better=True,
            listen=listen,
        )
        technique = Technique(3, Remembering(warmup=0.0, gamma=0.5, patience=0))
        state = run_session(model, batches, make_rule("sgd", model), classification_loss, technique, session)
        assert told == ([(0.75, better)] * 3 if validated else [(loss, better) for loss in losses])
        if validated:
            assert state.technique.schedule(0.5) == 0.25


def test_a_rule_whose_state_cannot_be_kept_is_refused_at_the_first_step(tmp_path: Path) -> None:
    class Strange(SGD):
        def step(self, closure: Any = None) -> None:
            super().step()
            self.state[self.param_groups[0]["params"][0]]["thing"] = {1, 2}

    steps: list[int] = []

    def counted(outputs: Tensor, targets: Tensor) -> Tensor:
        steps.append(1)
        return classification_loss(outputs, targets)

    model = nn.Linear(6, 3)
    batches = Batches(
        gather_tensors(torch.randn(ROWS, 6)),
        torch.zeros(ROWS, dtype=torch.int64),
        torch.arange(ROWS),
        BATCH,
        0,
    )
    optimizer = Strange(parameter_groups(model, lr=0.1, weight_decay=0.0))
    with pytest.raises(
        ValueError, match="the optimizer Strange cannot be kept in a checkpoint: optimizer/0/thing"
    ):
        run_session(model, batches, optimizer, counted, Technique(3, lambda done: 1.0), Session(tmp_path))
    assert len(steps) == 1


def agreeing(answers: list[bool]) -> Callable[[bool], bool]:
    def agree(answer: bool) -> bool:
        answers.append(answer)
        return answer

    return agree


def test_several_processes_ask_at_the_same_places_and_one_writes(tmp_path: Path) -> None:
    """Two that differ only in their clocks and in who writes make the same calls, so that none waits for the other."""
    answers: dict[bool, list[bool]] = {True: [], False: []}
    for writes in (True, False):
        folder = tmp_path / str(writes)
        with pytest.raises(Interrupted):
            run(folder, "sgd", stop_after=2, processes=2, agree=agreeing(answers[writes]), writes=writes)
    # (the last step's loss, the weights, the validation, the end, whether to write, whether to stop) × 3 epochs:
    # should_stop is asked once an epoch, because no step but the last is one after which is looked
    assert len(answers[True]) == len(answers[False]) == 18
    assert list((tmp_path / "True").glob("last-*"))
    assert not (tmp_path / "False").exists()


def test_tensors_that_are_shared_are_gathered_before_writing(tmp_path: Path) -> None:
    def whole_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: tensor.double() if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }

    def share(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        assert any(tensor.dtype == torch.float64 for tensor in tensors.values())
        return {
            name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
        }

    unbroken = run(tmp_path / "unbroken", "sgd")
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", "sgd", stop_after=8, whole=whole_of, share=share)
    resumed = run(tmp_path / "broken", "sgd", whole=whole_of, share=share)
    assert all(
        torch.equal(a, b) for a, b in zip(whole(unbroken).values(), whole(resumed).values(), strict=True)
    )


def test_one_of_several_processes_cannot_step_down_alone(tmp_path: Path) -> None:
    def greedy(outputs: Tensor, targets: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = nn.Linear(6, 3)
    batches = Batches(
        gather_tensors(torch.randn(ROWS, 6)),
        torch.zeros(ROWS, dtype=torch.int64),
        torch.arange(ROWS),
        BATCH,
        0,
    )
    with pytest.raises(MemoryError, match=r"set a smaller training\.micro_batch"):
        run_session(
            model,
            batches,
            make_rule("sgd", model),
            greedy,
            Technique(1, lambda done: 1.0),
            Session(tmp_path, processes=2),
        )
