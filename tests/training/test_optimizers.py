"""Optimizers equal torch's own; groups, layer-wise rates and what is told of them."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from flambeau.training.names import (
    OPTIMIZERS,
    make_optimizer_of,
    optimizer_rule,
)
from flambeau.training.optimizers import (
    describe_groups,
    make_lbfgs,
    make_own_optimizer,
    parameter_groups,
)

CPU = torch.device("cpu")


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))


def steps(model: nn.Module, optimizer: Optimizer, count: int = 5) -> list[torch.Tensor]:
    torch.manual_seed(1)
    inputs, targets = torch.randn(16, 4), torch.randint(0, 3, (16,))

    def closure() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        return loss

    for _ in range(count):
        optimizer.step(closure)
    return [parameter.detach().clone() for parameter in model.parameters()]


TORCH_S = {
    "adamw": partial(torch.optim.AdamW, betas=(0.8, 0.99), eps=1e-6),
    "adam": partial(torch.optim.Adam, betas=(0.8, 0.99), eps=1e-6),
    "nadam": partial(torch.optim.NAdam, betas=(0.8, 0.99), eps=1e-6),
    "sgd": partial(torch.optim.SGD, momentum=0.8, nesterov=True),
    "rmsprop": partial(torch.optim.RMSprop, momentum=0.8, alpha=0.99, eps=1e-6),
    "adagrad": partial(torch.optim.Adagrad, eps=1e-6),
}


@pytest.mark.parametrize("name", sorted(TORCH_S))
def test_each_rule_is_torch_s(name: str) -> None:
    model = small_model()
    twin = copy.deepcopy(model)
    groups = parameter_groups(model, lr=0.01, weight_decay=0.1)
    rule = optimizer_rule(name, momentum=0.8, beta2=0.99, eps=1e-6)
    own = steps(model, make_optimizer_of(rule, model, groups, CPU))
    matrices = [p for p in twin.parameters() if p.ndim > 1]
    vectors = [p for p in twin.parameters() if p.ndim == 1]
    plain = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    torchs = steps(twin, TORCH_S[name](plain, lr=0.01))
    for one, other in zip(own, torchs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert not torch.equal(own[0], small_model()[0].weight)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_looks_ahead_only_with_momentum(nesterov: bool, momentum: float) -> None:
    model = small_model()
    rule = optimizer_rule("sgd", momentum=momentum, nesterov=nesterov)
    optimizer = make_optimizer_of(rule, model, parameter_groups(model, lr=0.1, weight_decay=0.0), CPU)
    assert optimizer.defaults["nesterov"] == (nesterov and momentum > 0)
    assert optimizer.defaults["momentum"] == momentum


def test_fused_where_the_class_has_it_and_no_lists_of_tensors_on_a_cpu() -> None:
    made: dict[str, Any] = {}
    for name in OPTIMIZERS:
        model = small_model()
        groups = parameter_groups(model, lr=0.1, weight_decay=0.0)
        made[name] = make_optimizer_of(optimizer_rule(name), model, groups, CPU).defaults
    assert {name for name, defaults in made.items() if defaults.get("fused")} == {
        "sgd",
        "adam",
        "adamw",
        "adagrad",
    }
    assert not any(defaults.get("foreach") for defaults in made.values())


def test_lbfgs_solves_a_quadratic_and_has_one_group() -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 1)
    x = torch.randn(50, 5)
    y = x @ torch.tensor([[1.0], [2.0], [-1.0], [0.5], [0.0]]) + 3
    groups = parameter_groups(model, lr=1.0, weight_decay=0.0)
    assert len(groups) == 2
    optimizer = make_lbfgs(groups, device=CPU)
    assert len(optimizer.param_groups) == 1 and optimizer.param_groups[0]["peak_lr"] == 1.0

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert closure().item() < 1e-8
    with pytest.raises(ValueError, match="one rate and no weight decay"):
        make_lbfgs(parameter_groups(model, lr=1.0, weight_decay=0.1), device=CPU)


def test_an_own_class_gets_groups_rate_and_arguments() -> None:
    model = small_model()
    groups = parameter_groups(model, lr=0.1, weight_decay=0.5)
    own = make_own_optimizer(torch.optim.Adamax, groups, 0.1, {"eps": 1e-3})
    assert isinstance(own, torch.optim.Adamax)
    assert own.defaults["eps"] == 1e-3
    assert [group["peak_lr"] for group in own.param_groups] == [0.1, 0.1]
    assert sorted(group["weight_decay"] for group in own.param_groups) == [0.0, 0.5]
    with pytest.raises(TypeError, match="got dict, expected a class derived from"):
        make_own_optimizer(lambda groups, lr: {}, groups, 0.1, {})


def test_each_layer_learns_at_a_share_of_the_next_one_s_rate() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 2))
    groups = parameter_groups(model, lr=1.0, weight_decay=0.1, layer_decay=0.5)
    rates = {name: group["peak_lr"] for group in groups for name, _ in group["params"]}
    assert rates["3.weight"] == rates["3.bias"] == 1.0
    assert rates["2.weight"] == 0.5
    # the normalisation belongs to the layer before it
    assert rates["0.weight"] == rates["1.weight"] == rates["1.bias"] == 0.25
    assert all((g["weight_decay"] == 0.1) == (p.ndim == 2) for g in groups for _, p in g["params"])


def test_a_body_s_share_and_its_layers_are_multiplied() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    body = [name for name, _ in model.named_parameters() if not name.startswith("2")]
    groups = parameter_groups(model, lr=1.0, weight_decay=0.0, body=body, body_lr=0.1, layer_decay=0.5)
    rates = {name: group["peak_lr"] for group in groups for name, _ in group["params"]}
    assert rates["2.weight"] == 1.0
    assert rates["1.weight"] == pytest.approx(0.05)
    assert rates["0.weight"] == pytest.approx(0.025)


def test_groups_are_told_with_counts_rates_and_names() -> None:
    model = small_model()
    groups = parameter_groups(model, lr=0.002, weight_decay=0.05)
    told = [
        "4 tensors, 27 numbers, rate 0.002, decay 0: 0.bias, 1.weight, 1.bias, …",
        "2 tensors, 56 numbers, rate 0.002, decay 0.05: 0.weight, 3.weight",
    ]
    assert describe_groups(groups) == told
    rule = optimizer_rule("adamw")
    assert describe_groups(make_optimizer_of(rule, model, groups, CPU).param_groups) == told
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    assert describe_groups(plain.param_groups) == ["6 tensors, 83 numbers, rate 0.1, decay 0"]
