"""How steps are made: once, with a scaler, and with a closure, against the same written by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import GradScaler

from flambeau.data.batches import Batches, gather_tensors
from flambeau.training.clipping import clip_gradients
from flambeau.training.loop import StepRecord, Technique, train
from flambeau.training.steps import step_once, step_with_closure


def make_problem() -> tuple[nn.Module, Batches]:
    torch.manual_seed(0)
    inputs = torch.randn(30, 4)
    targets = (inputs[:, 0] - 2 * inputs[:, 1]).unsqueeze(1)
    batches = Batches(gather_tensors(inputs), targets, torch.arange(30), 30, seed=1)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)), batches


def make_lbfgs(model: nn.Module) -> torch.optim.LBFGS:
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=5, line_search_fn="strong_wolfe")
    optimizer.param_groups[0]["peak_lr"] = 1.0
    return optimizer


def test_lbfgs_through_the_loop_is_lbfgs_by_hand() -> None:
    model, batches = make_problem()
    twin = copy.deepcopy(model)
    technique = Technique(6, lambda done: 1.0, step=step_with_closure)
    records = [
        record
        for record in train(model, batches, make_lbfgs(model), F.mse_loss, technique)
        if isinstance(record, StepRecord)
    ]

    own = make_lbfgs(twin)
    losses = []
    for epoch in range(6):
        ((inputs,), targets, _) = next(iter(batches.epoch(epoch)))

        def closure(inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
            own.zero_grad()
            loss = F.mse_loss(twin(inputs), targets)
            loss.backward()
            return loss

        losses.append(own.step(closure).item())
    assert [record.loss.item() for record in records] == losses
    assert losses[-1] < 0.01 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_dropout_is_the_same_in_every_look_at_a_step() -> None:
    _, batches = make_problem()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5), nn.Linear(50, 1))
    masks: list[Tensor] = []
    model[1].register_forward_hook(lambda module, inputs, outputs: masks.append(outputs.detach() == 0))
    technique = Technique(1, lambda done: 1.0, step=step_with_closure)
    list(train(model, batches, make_lbfgs(model), F.mse_loss, technique))
    assert len(masks) >= 3
    assert all(torch.equal(mask, masks[0]) for mask in masks)
    assert 0.3 < masks[0].float().mean() < 0.7


def test_a_closure_and_scaled_losses_do_not_go_together() -> None:
    model, _ = make_problem()
    with pytest.raises(ValueError, match="got 'fp16' with an optimizer that asks for its gradients again"):
        step_with_closure(make_lbfgs(model), lambda: torch.zeros(()), lambda: None, GradScaler("cpu"))


def one_parameter(gradient: float, scale: float) -> tuple[nn.Parameter, torch.optim.SGD, GradScaler, Any]:
    weight = nn.Parameter(torch.tensor([1.0]))
    scaler = GradScaler("cpu", init_scale=scale, growth_interval=2)

    def gradients() -> Tensor:
        value = (weight * gradient).sum()
        scaler.scale(value).backward()
        return value.detach()

    return weight, torch.optim.SGD([weight], lr=0.1), scaler, gradients


def test_a_scaled_step_is_the_plain_step_and_norms_are_those_of_the_gradient() -> None:
    weight, optimizer, scaler, gradients = one_parameter(4.0, 1024.0)
    value, norm = step_once(optimizer, gradients, lambda: clip_gradients([weight], norm=2.0), scaler)
    assert (value, norm) == (4.0, 4.0)
    assert weight.item() == pytest.approx(1.0 - 0.1 * 2.0)
    assert scaler.get_scale() == 1024.0


def test_a_step_that_overflows_is_left_out_and_the_scale_falls() -> None:
    weight, optimizer, scaler, gradients = one_parameter(1e38, 1024.0)
    step_once(optimizer, gradients, lambda: None, scaler)
    assert weight.item() == 1.0
    assert scaler.get_scale() == 512.0


def test_the_scale_grows_after_steps_without_overflow() -> None:
    _, optimizer, scaler, gradients = one_parameter(1.0, 1024.0)
    for expected in (1024.0, 2048.0, 2048.0, 4096.0):
        optimizer.zero_grad()
        step_once(optimizer, gradients, lambda: None, scaler)
        assert scaler.get_scale() == expected
