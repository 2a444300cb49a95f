"""Cut into parts, a batch has the same loss and gradients; the average is its closed form."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flambeau.data.batches import Batch, Batches, gather_tensors
from flambeau.training.average import averaged_copy, pair_tensors, update_average
from flambeau.training.loop import StepRecord, Technique, accumulate_gradients, train
from flambeau.training.losses import classification_loss
from flambeau.training.names import LOSSES, loss_function

# parts of a batch of 8 → samples that go through at once: 8×1, 4+4, 3+3+2, 2×4, 1×8
PARTS = {0: [8], 4: [4, 4], 3: [3, 3, 2], 2: [2, 2, 2, 2], 1: [1] * 8}
# the Sharpe ratio compares the samples of a batch, so parts have another one: no recipe takes it in parts
NAMED_LOSSES = [(task, name) for task, names in LOSSES.items() for name in names if name != "sharpe"]
# of a sample: 3 classes, a number, 2 rows of 3 targets, 4 tokens of 3 kinds
OUTPUTS = {"regression": (1,), "forecast": (6,), "language": (4, 3), "chat": (4, 3)}


def make_targets(task: str, name: str, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    if task == "regression":
        return torch.randn(8, generator=generator, dtype=dtype)
    if task == "multilabel":
        return torch.randint(2, (8, 3), generator=generator).to(dtype)
    if name == "kl_div":
        return torch.randn(8, 3, generator=generator, dtype=dtype).softmax(1)
    if task == "forecast":
        rows = 3 if name == "directional" else 2  # the last known row stands first
        return torch.randn(8, rows, 3, generator=generator, dtype=dtype)
    if task in ("language", "chat"):
        return torch.randint(3, (8, 4), generator=generator)
    return torch.randint(3, (8,), generator=generator)


def gradients_of(
    batches: list[Batch], loss: Any, technique: Technique, *outputs: int
) -> tuple[float, Tensor]:
    """The loss and all gradients in a row, of one step whose samples may lie in several processes."""
    torch.manual_seed(0)
    last = [nn.Linear(7, math.prod(outputs)), nn.Unflatten(1, outputs)]
    model = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Tanh(), *last)
    model.to(batches[0].inputs[0].dtype)
    values = [accumulate_gradients(model, loss, batch, technique, None) for batch in batches]
    rows = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return sum(value.item() for value in values), torch.cat(rows)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("task", "name"), NAMED_LOSSES)
def test_parts_of_any_size_have_the_loss_and_gradients_of_the_whole(
    task: str, name: str, dtype: torch.dtype, tolerance: float
) -> None:
    weights = torch.tensor([0.5, 1.0, 2.0], dtype=dtype)
    extra = {"label_smoothing": 0.1, "class_weights": weights} if name in ("cross_entropy", "focal") else {}
    loss = loss_function(task, name, **(extra if task == "classification" else {}))
    inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(1), dtype=dtype)
    targets = make_targets(task, name, dtype)
    outputs = OUTPUTS.get(task, (3,))
    whole = Batch((inputs,), targets, 8)
    sizes: list[int] = []

    def counted(given: Tensor, aims: Tensor) -> Tensor:
        sizes.append(len(aims))
        return loss(given, aims)

    expected, expected_gradients = gradients_of([whole], loss, Technique(1, lambda done: 1.0), *outputs)
    for micro_batch, parts in PARTS.items():
        technique = Technique(1, lambda done: 1.0, micro_batch=micro_batch)
        sizes.clear()
        value, gradients = gradients_of([whole], counted, technique, *outputs)
        assert sizes == parts
        assert value == pytest.approx(expected, abs=tolerance)
        assert torch.allclose(gradients, expected_gradients, rtol=0, atol=tolerance)

    # unequal shares of two processes, whose gradients are added up
    shares = [Batch((inputs[:5],), targets[:5], 8), Batch((inputs[5:],), targets[5:], 8)]
    for micro_batch in (0, 2):
        technique = Technique(1, lambda done: 1.0, micro_batch=micro_batch, processes=2)
        value, gradients = gradients_of(shares, loss, technique, *outputs)
        assert value == pytest.approx(expected, abs=tolerance)
        assert torch.allclose(gradients, expected_gradients, rtol=0, atol=tolerance)


def tokens(targets: Tensor) -> int:
    """How many of the targets cross_entropy does not ignore."""
    return int((targets != -100).sum())


def token_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs.unflatten(1, (4, 3)).flatten(0, 1), targets.flatten())


def test_parts_with_unequal_numbers_of_tokens_have_the_gradients_of_the_whole() -> None:
    inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = torch.randint(0, 3, (8, 4), generator=torch.Generator().manual_seed(2))
    # texts of 4, 1, 3, 0, 0, 2, 0 and 0 tokens: whole parts have none
    for row, length in enumerate((4, 1, 3, 0, 0, 2, 0, 0)):
        targets[row, length:] = -100
    whole = Batch((inputs,), targets, 8)
    expected, expected_gradients = gradients_of([whole], token_loss, Technique(1, lambda done: 1.0), 12)
    for micro_batch in PARTS:
        technique = Technique(1, lambda done: 1.0, micro_batch=micro_batch, weight_of=tokens)
        value, gradients = gradients_of([whole], token_loss, technique, 12)
        assert value == pytest.approx(expected, abs=1e-12)
        assert torch.allclose(gradients, expected_gradients, rtol=0, atol=1e-12)

    # in two processes, which add their tokens up
    shares = [Batch((inputs[:5],), targets[:5], 8), Batch((inputs[5:],), targets[5:], 8)]
    for micro_batch in (0, 2):
        technique = Technique(
            1,
            lambda done: 1.0,
            micro_batch=micro_batch,
            processes=2,
            weight_of=tokens,
            total=lambda own: torch.full_like(own, tokens(targets)),
        )
        value, gradients = gradients_of(shares, token_loss, technique, 12)
        assert value == pytest.approx(expected, abs=1e-12)
        assert torch.allclose(gradients, expected_gradients, rtol=0, atol=1e-12)


def test_more_parts_than_samples_are_refused() -> None:
    batch = Batch((torch.randn(2, 5),), torch.tensor([0, 1]), 6)
    technique = Technique(1, lambda done: 1.0, micro_batch=1, processes=2)
    with pytest.raises(ValueError, match="cuts a step of 6 samples into 3 parts, where a process has 2"):
        gradients_of([batch], classification_loss, technique, 3)


def test_losses_of_whole_and_accumulated_trainings_are_the_same() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(45, 5, dtype=torch.float64), torch.randint(0, 3, (45,))
    told = {}
    for micro_batch in PARTS:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
        batches = Batches(gather_tensors(inputs), targets, torch.arange(45), 8, seed=0)
        optimizer = torch.optim.SGD([{"params": model.parameters(), "peak_lr": 0.5}], lr=0.5, momentum=0.9)
        technique = Technique(3, partial(lambda done: 1.0 - done), micro_batch=micro_batch)
        records = train(model, batches, optimizer, classification_loss, technique)
        told[micro_batch] = [record.loss.item() for record in records if isinstance(record, StepRecord)]
    for losses in told.values():
        assert losses == pytest.approx(told[0], abs=1e-12)


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_the_closed_form_of_all_weights(decay: float) -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(40, 4, dtype=torch.float64), torch.randint(0, 3, (40,))
    model = nn.Linear(4, 3).double()
    average, start = averaged_copy(model), model.weight.detach().clone()
    batches = Batches(gather_tensors(inputs), targets, torch.arange(40), 4, seed=0)
    optimizer = torch.optim.SGD([{"params": model.parameters(), "peak_lr": 0.5}], lr=0.5)
    technique = Technique(2, lambda done: 1.0, average_decay=decay)
    seen = [
        model.weight.detach().clone()
        for record in train(model, batches, optimizer, classification_loss, technique, average=average)
        if isinstance(record, StepRecord)
    ]
    # Σ_k (1 − d_k) · w_k · Π_{j > k} d_j, and the first weights times the product of all decays
    decays = [min(decay, (1 + step) / (10 + step)) for step in range(len(seen))]
    left, expected = 1.0, torch.zeros_like(start)
    for bound, weight in zip(reversed(decays), reversed(seen), strict=True):
        expected += left * (1 - bound) * weight
        left *= bound
    expected += left * start
    assert len(seen) == 20
    assert torch.allclose(average.weight, expected, rtol=0, atol=1e-12)


def test_the_average_copies_counters() -> None:
    model = nn.BatchNorm1d(2)
    average = averaged_copy(model)
    model.num_batches_tracked.fill_(7)
    update_average(pair_tensors(average, model), decay=0.9, step=3)
    assert average.num_batches_tracked.item() == 7
