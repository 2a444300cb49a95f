"""The state of any optimizer is kept and comes back exactly, or is refused with a sentence."""

from __future__ import annotations

import copy
import json
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adagrad, Adam, NAdam, Optimizer, RMSprop

from flambeau.training.optimizer_state import (
    DEVICE_SETTINGS,
    optimizer_parts,
    pack_nested,
    restore_optimizer,
    unpack_nested,
)

INPUTS = torch.randn(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def make_model(rule: str = "") -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 2))
    # torch's LBFGS looks at gradients as flat views, which those of channels-last filters do not have
    return model if rule == "lbfgs" else model.to(memory_format=torch.channels_last)


class Nested(Optimizer):
    """A person's own rule, which remembers all kinds of things."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.01, "drift": 1.0, "name": "nested", "pair": (1, None)})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            group["drift"] *= 0.5
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state |= {"past": [], "notes": {"calls": 0, 3: (None, True, "x")}, "scale": 1 / 3}
                state["notes"]["calls"] += 1
                state["past"] = [*state["past"][-2:], parameter.grad.clone()]
                state["scale"] *= 1.1
                step = sum(state["past"]) * state["scale"] * group["drift"]
                parameter.sub_(step, alpha=group["lr"])


class Counting(SGD):
    """A rule with numbers beside its state, which its own state_dict gives out."""

    calls = 0

    def step(self, closure: Any = None) -> None:
        self.calls += 1
        for group in self.param_groups:
            group["lr"] = 0.01 / self.calls
        super().step()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "calls": self.calls}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.calls = state_dict.pop("calls")
        super().load_state_dict(state_dict)


RULES: dict[str, Callable[[Any], Optimizer]] = {
    "adam": lambda p: Adam(p, fused=True),
    "adam, plain": lambda p: Adam(p, amsgrad=True, foreach=False),
    "sgd": lambda p: SGD(p, lr=0.01, momentum=0.9, fused=True),
    "nadam": NAdam,
    "rmsprop": lambda p: RMSprop(p, momentum=0.5, centered=True),
    "adagrad": Adagrad,
    "lbfgs": lambda p: LBFGS(p, lr=0.1, max_iter=3, history_size=4, line_search_fn="strong_wolfe"),
    "nested": Nested,
    "with a state_dict of its own": lambda p: Counting(p, lr=0.01, momentum=0.9),
}


def make_step(model: nn.Module, optimizer: Optimizer) -> None:
    def closure() -> Tensor:
        optimizer.zero_grad()
        value = model(INPUTS).square().mean()
        value.backward()
        return value

    closure()
    optimizer.step(closure) if isinstance(optimizer, LBFGS) else optimizer.step()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_going_on_from_a_kept_state_is_going_on(rule: str, steps: int) -> None:
    model = make_model(rule)
    optimizer = RULES[rule](model.parameters())
    for _ in range(steps):
        make_step(model, optimizer)
    tensors, description = optimizer_parts(optimizer)
    kept = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    described = json.dumps(description)
    other = make_model(rule)
    restored = RULES[rule](other.parameters())
    make_step(other, restored)  # what it remembers of this is forgotten
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    restore_optimizer(restored, kept, json.loads(described))
    for _ in range(3):
        make_step(model, optimizer)
        make_step(other, restored)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_nested_values_come_back_as_they_were() -> None:
    tensors: dict[str, Tensor] = {}
    value = {
        "a": [1, 2.5, None, True, "x", float("inf")],
        2: (torch.ones(2), {"b": [torch.zeros(1)]}),
        "c": (),
    }
    plain = json.loads(json.dumps(pack_nested(value, "here", tensors)))
    back = unpack_nested(plain, tensors)
    assert back["a"] == value["a"]
    assert back["c"] == ()
    assert type(back[2]) is tuple
    assert torch.equal(back[2][1]["b"][0], torch.zeros(1))
    assert back[2][0] is not tensors["here/2/0"]


def test_names_that_collide_stay_apart() -> None:
    tensors: dict[str, Tensor] = {}
    value = {"a/b": torch.ones(1), "a": {"b": torch.zeros(1)}}
    back = unpack_nested(pack_nested(value, "x", tensors), tensors)
    assert torch.equal(back["a/b"], torch.ones(1))
    assert torch.equal(back["a"]["b"], torch.zeros(1))


def remember(optimizer: Optimizer, thing: Any) -> Optimizer:
    optimizer.state[optimizer.param_groups[0]["params"][0]]["thing"] = thing
    return optimizer


@pytest.mark.parametrize(
    ("thing", "what"),
    [
        (deque([1.0]), "optimizer/0/thing is of the type deque"),
        (torch.device("cpu"), "optimizer/0/thing is of the type device"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(thing: Any, what: str) -> None:
    optimizer = remember(SGD(make_model().parameters(), lr=0.1), thing)
    with pytest.raises(ValueError, match=rf"the optimizer SGD cannot be kept in a checkpoint: {what}"):
        optimizer_parts(optimizer)


def test_state_of_no_parameter_is_refused() -> None:
    optimizer = SGD(make_model().parameters(), lr=0.1)
    optimizer.state["global"] = {"k": 1}
    with pytest.raises(ValueError, match="under 'global', which is none of its parameters"):
        optimizer_parts(optimizer)


def test_state_takes_the_layout_of_its_parameter() -> None:
    model = make_model()
    optimizer = RULES["sgd"](model.parameters())
    make_step(model, optimizer)
    tensors, description = optimizer_parts(optimizer)
    kept = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    restore_optimizer(optimizer, kept, description)
    weight = model[0].weight
    assert optimizer.state[weight]["momentum_buffer"].stride() == weight.stride()


@pytest.mark.parametrize(
    ("stored", "present"),
    [
        ({"fused": True}, {"foreach": True}),
        ({"foreach": True}, {"fused": True}),
        ({"capturable": True}, {"fused": True}),
        ({"differentiable": True}, {"foreach": False}),
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_the_present_device_chooses_the_kernels(
    stored: dict[str, bool], present: dict[str, bool], own: bool
) -> None:
    """A checkpoint of a GPU, or of unsharded weights, goes on where the same kernels may not exist."""

    class Given(Adam):
        def state_dict(self) -> dict[str, Any]:
            return super().state_dict()

    rule = Given if own else Adam
    before = rule(make_model().parameters(), lr=0.5, maximize=True)
    before.param_groups[0].update(stored)
    tensors, description = optimizer_parts(before)
    after = rule(make_model().parameters(), lr=0.1, **present)
    expected = {key: after.param_groups[0][key] for key in DEVICE_SETTINGS}
    restore_optimizer(after, tensors, json.loads(json.dumps(description)))
    assert {key: after.param_groups[0][key] for key in DEVICE_SETTINGS} == expected
    assert after.param_groups[0]["lr"] == 0.5
    assert after.param_groups[0]["maximize"] is True


@pytest.mark.parametrize(
    ("settings", "device"), [({}, "cpu"), ({"fused": True}, "meta"), ({"capturable": True}, "meta")]
)
def test_the_count_of_steps_is_where_the_kernels_look_for_it(settings: dict[str, bool], device: str) -> None:
    parameter = nn.Parameter(torch.ones(2, device="meta"))
    for home in ("cpu", "meta"):
        optimizer = Adam([parameter])
        optimizer.state[parameter] = {"step": torch.zeros((), device=home)}
        tensors, description = optimizer_parts(optimizer)
        other = Adam([parameter])
        other.param_groups[0].update(settings)
        if home == "meta" and device == "cpu":
            continue  # a tensor without numbers cannot be moved to the CPU
        restore_optimizer(other, tensors, description)
        assert other.state[parameter]["step"].device.type == device
