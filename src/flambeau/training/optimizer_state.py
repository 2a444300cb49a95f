"""The state of any optimizer as tensors by name and a plain description, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

# which kernels do a rule's work on a device: a matter of where it runs, not of what it remembers
DEVICE_SETTINGS = ("fused", "foreach", "capturable", "differentiable")


def optimizer_parts(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What the optimizer remembers.

    An optimizer with a `state_dict` of its own is taken by that; of any other, the state of each parameter and the
    entries of its groups, where some rules keep numbers. Values may be tensors, numbers, strings, booleans, None,
    and lists, tuples and dictionaries of these.

    Returns:
        Tensors under "optimizer/INDEX/NAME", where indices follow the parameter groups, and the description.

    Raises:
        ValueError: it remembers something that a checkpoint cannot hold.
    """
    tensors: dict[str, Tensor] = {}
    name = type(optimizer).__name__
    try:
        if _has_own_state_dict(optimizer):
            return tensors, {"own": pack_nested(optimizer.state_dict(), "optimizer_own", tensors)}
        parameters = _parameters(optimizer)
        known = set(parameters)
        strange = [key for key in optimizer.state if key not in known]
        if strange:
            raise ValueError(f"it keeps state under {strange[0]!r:.40}, which is none of its parameters")
        states = [
            pack_nested(dict(optimizer.state.get(one, {})), f"optimizer/{index}", tensors, one.device)
            for index, one in enumerate(parameters)
        ]
        groups = [
            pack_nested(_group_entries(group), f"optimizer_group/{number}", tensors)
            for number, group in enumerate(optimizer.param_groups)
        ]
    except ValueError as error:
        raise ValueError(
            f"the state of the optimizer {name} cannot be kept in a checkpoint: {error}; expected tensors, numbers, "
            "strings, None, and lists, tuples and dictionaries of these, or a state_dict() made of them"
        ) from error
    return tensors, {"states": states, "groups": groups}


def restore_optimizer(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], description: Mapping[str, Any]
) -> None:
    """The inverse of `optimizer_parts`; nothing of the optimizer shares memory with `tensors` afterwards.

    State of a parameter's shape takes the parameter's memory layout: fused kernels walk both by address.
    """
    parameters = _parameters(optimizer)
    optimizer.state.clear()
    if "own" in description:
        own = unpack_nested(description["own"], tensors)
        _keep_device_settings(own, optimizer)
        optimizer.load_state_dict(own)
        return
    owners = [group for group in optimizer.param_groups for _ in group["params"]]
    for parameter, group, packed in zip(parameters, owners, description["states"], strict=True):
        state = unpack_nested(packed, tensors, parameter)
        if state:
            _place_step(state, parameter, group)
            optimizer.state[parameter] = state
    for group, packed in zip(optimizer.param_groups, description["groups"], strict=True):
        entries = unpack_nested(packed, tensors, group["params"][0] if group["params"] else None)
        group.update(_remembered(entries))


def pack_nested(value: Any, name: str, tensors: dict[str, Tensor], home: torch.device | None = None) -> Any:
    """A description of `value` that JSON can hold; its tensors go into `tensors` under names that begin with `name`.

    Args:
        value: a tensor, number, string, boolean or None, or lists, tuples and dictionaries of these.
        home: where its parameter lives; tensors that stay on the CPU all the same are marked.

    Raises:
        ValueError: something else is in it.
    """
    if isinstance(value, Tensor):
        while name in tensors:
            name += "~"
        tensors[name] = value
        apart = home is not None and home.type != "cpu" and value.device.type == "cpu"
        return {"tensor": name, "apart": True} if apart else {"tensor": name}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value) in (list, tuple):
        items = [pack_nested(item, f"{name}/{index}", tensors, home) for index, item in enumerate(value)]
        return {type(value).__name__: items}
    if type(value) is dict and all(isinstance(key, bool | int | float | str) for key in value):
        return {
            "dict": [[key, pack_nested(item, f"{name}/{key}", tensors, home)] for key, item in value.items()]
        }
    raise ValueError(f"{name} is of the type {type(value).__name__}")


def unpack_nested(description: Any, tensors: Mapping[str, Tensor], parameter: Tensor | None = None) -> Any:
    """The inverse of `pack_nested`: copies, on the parameter's device and of its shape in its memory layout."""
    if not isinstance(description, dict):
        return description
    if "tensor" in description:
        stored = tensors[description["tensor"]]
        if parameter is None or description.get("apart"):
            return stored.clone()
        if stored.shape == parameter.shape:
            return torch.empty_like(parameter, dtype=stored.dtype, requires_grad=False).copy_(stored)
        return stored.clone().to(parameter.device)
    if "dict" in description:
        return {key: unpack_nested(item, tensors, parameter) for key, item in description["dict"]}
    kind = "list" if "list" in description else "tuple"
    items = [unpack_nested(item, tensors, parameter) for item in description[kind]]
    return items if kind == "list" else tuple(items)


def _has_own_state_dict(optimizer: Optimizer) -> bool:
    return type(optimizer).state_dict is not Optimizer.state_dict


def _group_entries(group: Mapping[str, Any]) -> dict[str, Any]:
    # functions and classes are how a rule is set, not what it remembers
    entries = {key: value for key, value in group.items() if key != "params" and not callable(value)}
    return _remembered(entries)


def _remembered(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if key not in DEVICE_SETTINGS}


def _keep_device_settings(own: Any, optimizer: Optimizer) -> None:
    """Put the present device's settings into what an optimizer's own `state_dict` gave elsewhere."""
    groups = own.get("param_groups") if isinstance(own, dict) else None
    if not isinstance(groups, list) or len(groups) != len(optimizer.param_groups):
        return
    for entries, group in zip(groups, optimizer.param_groups, strict=True):
        if isinstance(entries, dict):
            entries.update({key: group[key] for key in DEVICE_SETTINGS if key in group})


def _place_step(state: dict[str, Any], parameter: Tensor, group: Mapping[str, Any]) -> None:
    """Put the count of steps where this group's kernels look for it, as `Optimizer.load_state_dict` does.

    Rules of torch that have the setting count on the device only where it is on; elsewhere reading it would wait.
    """
    step = state.get("step")
    if isinstance(step, Tensor) and "fused" in group:
        on_device = group.get("fused") or group.get("capturable")
        state["step"] = step.to(parameter.device if on_device else "cpu")


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
