"""Muon equals torch's own on matrices, takes filters and batches of equal shapes, and leaves the rest to AdamW."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from flambeau.models.cnn import SmallResNet
from flambeau.models.mlp import MLP
from flambeau.models.tabm import TabM
from flambeau.models.whiten import WhitenFirst, whitened_channels
from flambeau.training.muon import Muon, hidden_weights, make_muon, orthogonalise
from flambeau.training.optimizers import describe_groups, parameter_groups

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(8, 8), (16, 4), (4, 16), (64, 48)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_singular_values_come_near_one(shape: tuple[int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape) * torch.tensor([1e-3, 1.0, 1e3]).view(3, 1, 1)
    result = orthogonalise(matrices, dtype).float()
    values = torch.linalg.svdvals(result)
    # the smallest of a random square matrix is not lifted to 1 in five steps
    assert values.max() < 1.3
    assert values.median() > 0.6
    # the directions stay: what is made orthogonal is the same matrix
    assert (result * matrices).sum() > 0


def test_it_is_torch_s_on_matrices() -> None:
    torch.manual_seed(0)
    start = [torch.randn(40, 24), torch.randn(24, 40), torch.randn(40, 24)]
    gradients = [[torch.randn_like(one) for one in start] for _ in range(6)]

    def run(kind: str, nesterov: bool) -> list[Tensor]:
        weights = [nn.Parameter(one.clone()) for one in start]
        if kind == "torch":
            optimizer: torch.optim.Optimizer = torch.optim.Muon(
                weights,
                lr=0.01,
                weight_decay=0.1,
                momentum=0.9,
                nesterov=nesterov,
                adjust_lr_fn="match_rms_adamw",
            )
        else:
            group = {"params": weights, "lr": 0.01, "weight_decay": 0.1, "hidden": True}
            optimizer = Muon(
                [group],
                momentum=0.9,
                nesterov=nesterov,
                beta1=0.9,
                beta2=0.999,
                eps=1e-8,
                dtype=torch.bfloat16,
            )
        for step in gradients:
            for weight, gradient in zip(weights, step, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()
        return [weight.detach() for weight in weights]

    for nesterov in (True, False):
        for own, other, first in zip(run("own", nesterov), run("torch", nesterov), start, strict=True):
            moved = (other - first).norm()
            # torch keeps thin matrices in bf16 too; the steps agree to its three digits
            assert (own - other).norm() < 0.03 * moved
            assert moved > 0.01


def test_the_rest_is_adamw_to_the_bit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    twin = copy.deepcopy(model)
    muon = make_muon(parameter_groups(model, lr=0.01, weight_decay=0.1), hidden=[], momentum=0.9, device=CPU)
    plain = parameter_groups(twin, lr=0.01, weight_decay=0.1)
    adamw = torch.optim.AdamW(plain, betas=(0.9, 0.999), fused=True)
    for step in range(4):
        for one, optimizer in ((model, muon), (twin, adamw)):
            torch.manual_seed(step)
            optimizer.zero_grad()
            one(torch.randn(5, 4)).square().mean().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_filters_are_matrices_and_equal_shapes_go_together() -> None:
    torch.manual_seed(0)
    filters = [nn.Parameter(torch.randn(6, 4, 3, 3)) for _ in range(2)]
    matrices = [nn.Parameter(one.detach().flatten(1).clone()) for one in filters]
    gradients = [torch.randn(6, 36) for _ in range(2)]
    ends = []
    for weights, together in ((filters, True), (matrices, False)):
        groups = [weights] if together else [[one] for one in weights]
        optimizer = Muon(
            [{"params": group, "lr": 0.1, "weight_decay": 0.0, "hidden": True} for group in groups],
            momentum=0.9,
            nesterov=True,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            dtype=torch.float32,
        )
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.view_as(weight).clone()
        optimizer.step()
        ends.append([weight.detach().flatten(1) for weight in weights])
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_channels_last_filters_take_the_same_step() -> None:
    torch.manual_seed(0)
    start, gradient = torch.randn(6, 4, 3, 3), torch.randn(6, 4, 3, 3)
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = nn.Parameter(start.clone().contiguous(memory_format=layout))
        group = {"params": [weight], "lr": 0.1, "weight_decay": 0.1, "hidden": True}
        optimizer = Muon(
            [group], momentum=0.9, nesterov=True, beta1=0.9, beta2=0.999, eps=1e-8, dtype=torch.float32
        )
        weight.grad = gradient.clone().contiguous(memory_format=layout)
        optimizer.step()
        ends.append(weight.detach())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-5, atol=1e-6)


def test_hidden_weights_leave_out_the_first_layer_and_the_head() -> None:
    assert hidden_weights(MLP(4, 2, width=8, depth=3)) == ["hidden.2.weight", "hidden.4.weight"]
    assert hidden_weights(nn.Linear(3, 2)) == []
    tabm = TabM(3, (), 2, members=2, width=8, depth=2)
    assert hidden_weights(tabm) == ["hidden.0.weight"]
    named = dict(SmallResNet(3, 2, size=(16, 16), width=4).named_parameters())
    hidden = hidden_weights(SmallResNet(3, 2, size=(16, 16), width=4))
    assert len(hidden) >= 3 and all(named[name].ndim == 4 for name in hidden)
    whitened = WhitenFirst(3, SmallResNet(whitened_channels(3), 2, size=(15, 15), width=4))
    inside = hidden_weights(whitened.inner)
    assert hidden_weights(whitened)[1:] == [f"inner.{name}" for name in inside]
    assert hidden_weights(whitened)[0] == next(n for n, p in whitened.named_parameters() if p.ndim == 4)
    words = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    assert hidden_weights(words) == ["2.weight"]


def test_groups_are_divided_and_told() -> None:
    model = MLP(4, 2, width=8, depth=2)
    groups = parameter_groups(model, lr=0.01, weight_decay=0.1)
    optimizer = make_muon(groups, hidden=hidden_weights(model), momentum=0.9, device=CPU)
    assert describe_groups(optimizer.param_groups)[-1] == (
        "1 tensor, 64 numbers by Muon, rate 0.01, decay 0.1: hidden.2.weight"
    )
    model(torch.randn(3, 4)).sum().backward()
    optimizer.step()
    kinds = {name: set(optimizer.state[p]) for name, p in model.named_parameters()}
    assert kinds.pop("hidden.2.weight") == {"momentum_buffer"}
    assert all(kind == {"step", "exp_avg", "exp_avg_sq"} for kind in kinds.values())
    assert all(isinstance(value, Tensor) for state in optimizer.state.values() for value in state.values())


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_precision_of_the_training(precision: str, dtype: torch.dtype) -> None:
    groups = parameter_groups(nn.Linear(2, 2), lr=0.1, weight_decay=0.0)
    optimizer = make_muon(groups, hidden=[], momentum=0.9, precision=precision, device=CPU)
    assert isinstance(optimizer, Muon) and optimizer.dtype == dtype


def test_parameters_without_a_gradient_stay() -> None:
    model = MLP(4, 2, width=8, depth=2)
    before = copy.deepcopy(model.state_dict())
    optimizer = make_muon(
        parameter_groups(model, lr=0.01, weight_decay=0.1),
        hidden=hidden_weights(model),
        momentum=0.9,
        device=CPU,
    )
    assert optimizer.step(lambda: 3.0) == 3.0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
