"""The loop against closed forms: accumulation, schedules, averages, losses, clipping, parameter groups."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flambeau.data.batches import Batches, gather_tensors, mix_seed
from flambeau.training.average import averaged_copy, pair_tensors, update_average
from flambeau.training.loop import EpochRecord, StepRecord, Technique, train
from flambeau.training.losses import classification_loss, multilabel_loss, regression_loss
from flambeau.training.optimizers import make_sgd, parameter_groups
from flambeau.training.schedules import constant, cosine, one_cycle

CPU = torch.device("cpu")


def test_batches_are_a_function_of_seed_epoch_and_step() -> None:
    rows = torch.arange(23)
    batches = Batches(gather_tensors(rows.float()), rows, rows, 5, seed=3)
    whole = [targets.tolist() for _, targets, _ in batches.epoch(2)]
    assert [targets.tolist() for _, targets, _ in batches.epoch(2, start=3)] == whole[3:]
    assert sorted(row for batch in whole for row in batch) == rows.tolist()
    assert {len(batch) for batch in whole} <= {4, 5}
    assert [targets.tolist() for _, targets, _ in batches.epoch(3)] != whole


def test_mixed_seeds_do_not_collide() -> None:
    seeds = {
        mix_seed(0, stream, epoch, step) for stream in range(3) for epoch in range(30) for step in range(30)
    }
    assert len(seeds) == 3 * 30 * 30
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("micro_batch", [2, 3, 8])
def test_accumulated_batches_give_the_gradient_of_the_whole_batch(micro_batch: int) -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(8, 5, dtype=torch.float64), torch.randint(0, 3, (8,))
    weights = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    results = []
    for size in (0, micro_batch):
        torch.manual_seed(1)
        model = nn.Linear(5, 3).double()
        batches = Batches(gather_tensors(inputs), targets, torch.arange(8), 8, seed=0)
        loss = partial(classification_loss, class_weights=weights.float(), label_smoothing=0.1)
        optimizer = make_sgd(parameter_groups(model, lr=0.1, weight_decay=0.0), momentum=0.0, device=CPU)
        list(train(model, batches, optimizer, loss, Technique(3, lambda done: 1.0, micro_batch=size)))
        results.append(model.weight.detach())
    assert torch.allclose(results[0], results[1], atol=1e-6)


def test_the_loop_equals_the_loop_a_person_writes() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(12, 4), torch.randint(0, 3, (12,))
    model = nn.Linear(4, 3)
    twin = copy.deepcopy(model)
    batches = Batches(gather_tensors(inputs), targets, torch.arange(12), 4, seed=5)
    optimizer = make_sgd(parameter_groups(model, lr=0.1, weight_decay=0.0), momentum=0.9, device=CPU)
    schedule = partial(one_cycle, warmup=0.25)
    records = list(train(model, batches, optimizer, classification_loss, Technique(2, schedule)))

    own = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, nesterov=True, fused=True)
    for epoch in range(2):
        for step, ((x,), y, _) in enumerate(batches.epoch(epoch)):
            own.param_groups[0]["lr"] = 0.1 * schedule((epoch * 3 + step) / 6)
            own.zero_grad()
            F.cross_entropy(twin(x), y).backward()
            own.step()
    assert torch.equal(model.weight, twin.weight)
    assert sum(isinstance(r, StepRecord) for r in records) == 6
    assert sum(isinstance(r, EpochRecord) for r in records) == 2


def test_one_cycle_is_torch_s() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    steps = 40
    rule = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        rule,
        max_lr=1.0,
        total_steps=steps,
        pct_start=0.25,
        div_factor=25,
        final_div_factor=400,
        cycle_momentum=False,
    )
    # torch spreads its phases over total_steps − 1 and ends the rise one step early
    for step in range(steps - 1):
        done = (step / 9) * 0.25 if step <= 9 else 0.25 + 0.75 * (step - 9) / (steps - 1 - 9)
        assert one_cycle(done, warmup=0.25) == pytest.approx(rule.param_groups[0]["lr"], abs=1e-6)
        rule.step()
        reference.step()


def test_cosine_and_constant_rise_and_end_where_they_should() -> None:
    assert cosine(0.05, warmup=0.1) == pytest.approx(0.5)
    assert cosine(0.55, warmup=0.1) == pytest.approx(0.5)
    assert cosine(1.0, warmup=0.1) == pytest.approx(0.0)
    assert constant(0.05, warmup=0.1) == pytest.approx(0.5)
    assert constant(0.7, warmup=0.1) == 1.0
    assert constant(0.0, warmup=0.0) == 1.0


def test_the_average_follows_its_formula() -> None:
    model = nn.BatchNorm1d(2)
    average = averaged_copy(model)
    with torch.no_grad():
        model.weight.fill_(3.0)
    model.num_batches_tracked.fill_(7)
    update_average(pair_tensors(average, model), decay=0.9, step=0)
    assert average.weight[0].item() == pytest.approx(0.1 * 1.0 + 0.9 * 3.0)
    update_average(pair_tensors(average, model), decay=0.9, step=10_000)
    assert average.weight[0].item() == pytest.approx(0.9 * 2.8 + 0.1 * 3.0)
    assert average.num_batches_tracked.item() == 7


def test_losses_against_torch() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(6, 4), torch.randint(0, 4, (6,))
    weights = torch.tensor([1.0, 2.0, 0.5, 1.5])
    assert classification_loss(logits, targets) == F.cross_entropy(logits, targets)
    expected = (F.cross_entropy(logits, targets, reduction="none") * weights[targets]).sum() / 6
    assert classification_loss(logits, targets, class_weights=weights).item() == pytest.approx(
        expected.item()
    )
    members = logits.unsqueeze(1).repeat(1, 3, 1)
    assert classification_loss(members, targets).item() == pytest.approx(
        F.cross_entropy(logits, targets).item()
    )
    one_hot = F.one_hot(targets, 4).float()
    assert classification_loss(logits, one_hot).item() == pytest.approx(
        F.cross_entropy(logits, targets).item()
    )
    assert multilabel_loss(logits, one_hot) == F.binary_cross_entropy_with_logits(logits, one_hot)
    assert regression_loss(logits[:, :1], targets.float()) == F.mse_loss(logits[:, 0], targets.float())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_of_the_losses(smoothing: float) -> None:
    torch.manual_seed(0)
    targets = torch.tensor([0, 2, 1])
    logits = torch.randn(3, 3, requires_grad=True)
    loss = classification_loss(logits, targets, label_smoothing=smoothing)
    loss.backward()
    spread = F.one_hot(targets, 3) * (1 - smoothing) + smoothing / 3
    assert torch.allclose(logits.grad, (logits.softmax(1) - spread) / 3, atol=1e-6)


def test_parameter_groups_decay_matrices_only_and_slow_the_body() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    groups = parameter_groups(model, lr=0.1, weight_decay=0.5, body=["0.weight", "0.bias"], body_lr=0.1)
    listed = {name: (g["peak_lr"], g["weight_decay"]) for g in groups for name, _ in g["params"]}
    assert listed["0.weight"] == (pytest.approx(0.01), 0.5)
    assert listed["0.bias"] == (pytest.approx(0.01), 0.0)
    assert listed["2.weight"] == (0.1, 0.5)
    assert listed["1.weight"] == (0.1, 0.0)
    with pytest.raises(ValueError, match="no trainable parameter"):
        parameter_groups(model.requires_grad_(False), lr=0.1, weight_decay=0.0)


def test_the_rate_that_is_told_is_the_largest() -> None:
    model = nn.Linear(4, 3)
    batches = Batches(
        gather_tensors(torch.randn(6, 4)), torch.zeros(6, dtype=torch.long), torch.arange(6), 3, 0
    )
    groups = [{"params": [model.weight], "peak_lr": 0.4}, {"params": [model.bias], "peak_lr": 0.1}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    records = list(train(model, batches, optimizer, classification_loss, Technique(1, lambda done: 0.5)))
    assert [record.lr for record in records] == [0.2, 0.2, 0.2]
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.05]
