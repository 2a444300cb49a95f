"""Clipping against torch's own, and what is measured at an epoch's last step against its definition."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flambeau.data.batches import Batches, gather_tensors
from flambeau.training.clipping import MeasuredClip, clip_gradients, no_clipping
from flambeau.training.loop import EpochRecord, StepRecord, Technique, train


def parameters_with_gradients(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    parameters = [torch.zeros(shape, requires_grad=True) for shape in ((4, 3), (3,), (2, 2))]
    for parameter in parameters[:2]:
        parameter.grad = 3 * torch.randn(parameter.shape, generator=generator)
    return parameters


def gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("norm", [0.5, 1000.0])
def test_clipping_by_norm_is_torch_s(norm: float) -> None:
    ours, theirs = parameters_with_gradients(), parameters_with_gradients()
    before = math.sqrt(sum((gradient**2).sum().item() for gradient in gradients(ours)))
    got = clip_gradients(ours, norm=norm)
    nn.utils.clip_grad_norm_(theirs, norm)
    assert got is not None
    assert got.item() == pytest.approx(before)
    assert equal(gradients(ours), gradients(theirs))
    after = math.sqrt(sum((gradient**2).sum().item() for gradient in gradients(ours)))
    assert after == pytest.approx(min(norm, before), rel=1e-5)


def test_clipping_by_value_is_torch_s_and_comes_before_the_norm() -> None:
    ours, theirs = parameters_with_gradients(), parameters_with_gradients()
    assert clip_gradients(ours, value=0.7) is None
    nn.utils.clip_grad_value_(theirs, 0.7)
    assert equal(gradients(ours), gradients(theirs))
    assert max(gradient.abs().max().item() for gradient in gradients(ours)) <= 0.7

    both = parameters_with_gradients()
    norm = clip_gradients(both, norm=1.0, value=0.7)
    expected = nn.utils.clip_grad_norm_(theirs, 1.0)
    assert norm == expected
    assert equal(gradients(both), gradients(theirs))


def test_no_clipping_leaves_gradients_as_they_are() -> None:
    parameters = parameters_with_gradients()
    before = gradients(parameters)
    assert no_clipping(parameters) is None
    assert clip_gradients(parameters) is None
    assert equal(gradients(parameters), before)


def test_the_update_ratio_is_the_step_s_length_over_the_weights_length() -> None:
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    weight.grad = torch.tensor([0.0, 2.0])
    measured = MeasuredClip(partial(clip_gradients, norm=1.0), [weight])
    assert math.isnan(measured.update_ratio())
    assert measured([weight]) == 2.0
    with torch.no_grad():
        weight -= 0.5 * weight.grad
    assert measured.update_ratio() == pytest.approx(0.5 / 5.0)


def test_the_measured_norm_is_that_of_the_other_steps() -> None:
    both = partial(clip_gradients, norm=1.0, value=0.7)
    usual, measured = parameters_with_gradients(), parameters_with_gradients()
    clip = MeasuredClip(both, measured)
    assert clip(measured) == both(usual) == clip.norm
    by_value, plain = parameters_with_gradients(), parameters_with_gradients()
    norm = nn.utils.get_total_norm(gradients(plain))
    assert MeasuredClip(partial(clip_gradients, value=0.7), by_value)(by_value) == norm


@pytest.mark.parametrize("clip", [no_clipping, partial(clip_gradients, norm=0.01)])
def test_an_epoch_tells_norm_and_update_ratio_of_its_last_step(clip: partial[Tensor | None]) -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(12, 4), torch.randint(0, 3, (12,))
    model = nn.Linear(4, 3)
    batches = Batches(gather_tensors(inputs), targets, torch.arange(12), 4, seed=5)
    optimizer = torch.optim.SGD([{"params": model.parameters(), "peak_lr": 0.1}], lr=0.1)
    before: list[Tensor] = []
    norm = 0.0
    for record in train(
        model, batches, optimizer, F.cross_entropy, Technique(2, lambda done: 1.0, clip=clip)
    ):
        now = [parameter.detach().clone() for parameter in model.parameters()]
        if isinstance(record, StepRecord):
            is_last = record.step == record.steps
            assert (record.gradient_norm is None) == (clip is no_clipping and not is_last)
            if not is_last:
                before = now
            elif record.gradient_norm is not None:
                norm = record.gradient_norm.item()
        elif isinstance(record, EpochRecord):
            assert record.gradient_norm == norm > 0.01
            moved = math.sqrt(sum(((a - b) ** 2).sum().item() for a, b in zip(now, before, strict=True)))
            size = math.sqrt(sum((b**2).sum().item() for b in before))
            assert record.update_ratio == pytest.approx(moved / size, rel=1e-4)
            clipped = norm if clip is no_clipping else 0.01
            assert record.update_ratio == pytest.approx(0.1 * clipped / size, rel=1e-3)
