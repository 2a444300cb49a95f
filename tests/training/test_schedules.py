"""Schedules step by step against torch.optim.lr_scheduler, against closed forms, and plateau's memory."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from flambeau.training.names import own_curve, schedule_curve
from flambeau.training.schedules import (
    ReduceOnPlateau,
    Schedule,
    constant,
    cosine,
    linear,
    multi_step,
    step_falls,
)

EPOCHS, STEPS = 30, 7


def torch_s(scheduler: Any, **options: Any) -> list[float]:
    """The rate of each epoch by a scheduler of torch, from a largest rate of 1."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = scheduler(optimizer, **options)
    rates = []
    for _ in range(EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def at_epochs(schedule: Schedule) -> list[float]:
    return [schedule(epoch * STEPS / (EPOCHS * STEPS)) for epoch in range(EPOCHS)]


@pytest.mark.parametrize("size", [1, 3, 7, 10, 29])
def test_step_is_torch_s_to_the_epoch(size: int) -> None:
    own = schedule_curve("step", epochs=EPOCHS, warmup=0.0, step_size=size, gamma=0.3)
    assert at_epochs(own) == pytest.approx(torch_s(lr_scheduler.StepLR, step_size=size, gamma=0.3))


@pytest.mark.parametrize("epochs", [3, 7, 30, 49, 1000])
def test_step_falls_at_the_first_step_of_an_epoch_and_not_before(epochs: int) -> None:
    for size in (1, 2, 3):
        own = schedule_curve("step", epochs=epochs, warmup=0.0, step_size=size, gamma=0.5)
        for fall in range(1, min(20, epochs // size)):
            number = fall * size * STEPS
            assert own(number / (epochs * STEPS)) == 0.5**fall
            assert own((number - 1) / (epochs * STEPS)) == 0.5 ** (fall - 1)


def test_multi_step_is_torch_s_to_the_epoch() -> None:
    milestones = [4, 11, 12, 27]
    own = schedule_curve("multi_step", epochs=EPOCHS, warmup=0.0, milestones=milestones, gamma=0.5)
    expected = torch_s(lr_scheduler.MultiStepLR, milestones=milestones, gamma=0.5)
    assert at_epochs(own) == pytest.approx(expected)


@pytest.mark.parametrize("end", [0.0, 0.1])
def test_cosine_is_torch_s(end: float) -> None:
    expected = torch_s(lr_scheduler.CosineAnnealingLR, T_max=EPOCHS, eta_min=end)
    assert at_epochs(partial(cosine, warmup=0.0, end=end)) == pytest.approx(expected)


@pytest.mark.parametrize("end", [0.0, 0.25])
def test_linear_is_torch_s(end: float) -> None:
    expected = torch_s(lr_scheduler.LinearLR, start_factor=1.0, end_factor=end, total_iters=EPOCHS)
    assert at_epochs(partial(linear, warmup=0.0, end=end)) == pytest.approx(expected)


def test_a_warm_up_stands_in_front_of_each() -> None:
    for name in ("cosine", "linear", "constant", "plateau"):
        own = schedule_curve(name, epochs=EPOCHS, warmup=0.2)
        assert [own(0.2 * share) for share in (0.0, 0.25, 0.5)] == pytest.approx([0.0, 0.25, 0.5])
        assert own(0.2) == pytest.approx(1.0)
    # falls are counted from the run's beginning
    assert step_falls(0.3, warmup=0.6, step_size=0.25, gamma=0.1) == pytest.approx(0.5 * 0.1)
    assert multi_step(0.3, warmup=0.6, milestones=[0.25], gamma=0.1) == pytest.approx(0.5 * 0.1)
    assert cosine(1.0, warmup=0.2, end=0.3) == pytest.approx(0.3)
    assert linear(0.6, warmup=0.2, end=0.5) == pytest.approx(0.75)
    assert constant(0.9, warmup=0.2) == 1.0


def test_warm_up_and_cosine_are_torch_s_in_sequence() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    first = lr_scheduler.LinearLR(optimizer, start_factor=1e-12, end_factor=1.0, total_iters=6)
    then = lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS - 6)
    whole = lr_scheduler.SequentialLR(optimizer, [first, then], milestones=[6])
    own = partial(cosine, warmup=6 / EPOCHS)
    for epoch in range(EPOCHS):
        assert own(epoch / EPOCHS) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        whole.step()


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_is_torch_s(higher: bool, patience: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max" if higher else "min", factor=0.5, patience=patience, threshold=0.0, eps=0.0
    )
    own = ReduceOnPlateau(warmup=0.0, gamma=0.5, patience=patience)
    generator = torch.Generator().manual_seed(patience)
    falls = 0
    for score in torch.rand(60, generator=generator).tolist() + [math.nan] * 5:
        reference.step(score)
        own.note(score, higher)
        falls += own(0.5) != own.factor or own.factor < 1
        assert own(0.5) == optimizer.param_groups[0]["lr"]
    assert own.factor < 1 and falls


def test_plateau_goes_on_from_its_state_in_plain_values() -> None:
    whole = ReduceOnPlateau(warmup=0.0, gamma=0.1, patience=1)
    broken = ReduceOnPlateau(warmup=0.0, gamma=0.1, patience=1)
    for number, score in enumerate([0.5, 0.6, 0.4, 0.7, 0.8, 0.9, 0.3, 0.35, 0.36, 0.37]):
        whole.note(score, higher_is_better=False)
        broken.note(score, higher_is_better=False)
        if number % 3 == 1:
            state = json.loads(json.dumps(broken.state()))
            broken = ReduceOnPlateau(warmup=0.0, gamma=0.1, patience=1)
            broken.restore(state)
        assert broken(0.5) == whole(0.5)
    assert whole.factor == pytest.approx(0.01)
    whole.restore({})
    assert whole == ReduceOnPlateau(warmup=0.0, gamma=0.1, patience=1)


def test_two_trainings_do_not_share_a_plateau() -> None:
    assert schedule_curve("plateau", epochs=3) is not schedule_curve("plateau", epochs=3)


def test_an_own_function_is_taken_as_it_is() -> None:
    own = own_curve(lambda done: 1 - done)
    assert own(0.0) == 1.0 and own(0.75) == 0.25
    for wrong in (math.nan, -1.0, math.inf):
        with pytest.raises(ValueError, match="expected a share of the rate"):
            own_curve(lambda done, wrong=wrong: wrong)(0.5)
