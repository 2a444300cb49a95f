"""A module from its description and its weights, without more memory than the weights ask for.

The description may be a stranger's: one that asks for 10^12 weights, or for layers without end, is refused while it
is built, because what a constructor may make is bounded by what the file of weights holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flambeau.errors import ModelError, RunError
from flambeau.models.build import MODELS, ModelSpec, build_model

# Room for what a constructor makes beside its weights: tables of positions, a head that is replaced, first values.
SPARE_NUMBERS = 2**24
SPARE_CALLS = 20_000
CALLS_A_TENSOR = 100

MOST_NESTED = 3

BY_SHAPE = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)


class TooLargeError(Exception):
    """A constructor asked for more than the weights of its file could fill."""


class BoundedBuild(TorchFunctionMode):
    """Counts what constructors make, and stops them beyond a bound before memory is asked for.

    Args:
        numbers: how many numbers all made tensors may hold.
        calls: how many calls of torch's functions there may be, so that no loop is endless.
        empty_on_meta: whether torch.empty, which every layer makes its weights by, takes no memory.
    """

    def __init__(self, numbers: int, calls: int, *, empty_on_meta: bool) -> None:
        super().__init__()
        self.numbers, self.calls, self.empty_on_meta = numbers, calls, empty_on_meta

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Count, then call through. Raises TooLargeError beyond the bound."""
        kwargs = kwargs or {}
        self.calls -= 1
        self.numbers -= made_numbers(func, args, kwargs)
        if self.calls < 0 or self.numbers < 0:
            raise TooLargeError
        if self.empty_on_meta and func is torch.empty:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def made_numbers(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """How many numbers a call of torch will put into memory, for the functions that make them from plain sizes."""
    if func in BY_SHAPE:
        return _product(kwargs.get("size", args))
    if func is torch.full:
        return _product(kwargs.get("size", args[:1]))
    if func is torch.linspace or func is torch.logspace:
        return _product((kwargs.get("steps", args[2] if len(args) > 2 else 0),))
    if func is torch.arange:
        ends = [value for value in (*args, kwargs.get("end", 0)) if isinstance(value, int | float)]
        return int(max((abs(end) for end in ends), default=0))
    if func is torch.eye:
        return _product(args[:2] if len(args) > 1 else args * 2)
    if func is torch.Tensor.repeat:
        return int(args[0].numel()) * _product(args[1:])
    return 0


def _product(sizes: Any) -> int:
    """Of plain sizes, however they are nested; whatever is no size is left to torch, which refuses it."""
    if isinstance(sizes, list | tuple):
        return math.prod(_product(size) for size in sizes)
    return sizes if isinstance(sizes, int) and sizes >= 0 else 1


def members_of(spec: ModelSpec) -> list[ModelSpec]:
    """The models that a description holds: itself, or all members of an ensemble.

    Raises:
        ModelError: it is not made of descriptions, or nested beyond all use.
    """
    found = [spec]
    for _ in range(MOST_NESTED):
        if all(member.name != "ensemble" for member in found):
            return found
        found = [inner for member in found for inner in _inner(member)]
    raise ModelError("this description of a model is nested too deep", expected="an ensemble of models")


def _inner(spec: ModelSpec) -> Iterable[ModelSpec]:
    if spec.name != "ensemble":
        return [spec]
    members = spec.arguments.get("members")
    if not isinstance(members, list) or not members:
        raise ModelError("this description of an ensemble has no members", got=type(members).__name__)
    return [ModelSpec.from_json(member) for member in members]


def rebuild(spec: ModelSpec, tensors: Mapping[str, Tensor], where: Path) -> nn.Module:
    """The module that `spec` describes, with these weights, in evaluation mode on the CPU.

    Weights are never made twice: the module is built without memory and takes the tensors themselves. A person's own
    class, and a model that cannot be built so, is built as usual and filled.

    Raises:
        ModelError: an unknown model, wrong arguments, or more than the weights could fill.
        RunError: names, shapes or types of the weights are of another model.
    """
    names = {member.name for member in members_of(spec)}
    unknown = names - MODELS.keys()
    if unknown:
        build_model(ModelSpec(min(unknown)))
    module = None if "own" in names else _build(spec, tensors, empty_on_meta=True)
    if module is not None:
        check_weights(module, tensors, where)
        # Copies, because kernels may answer otherwise in the last bit on memory that is aligned otherwise.
        module.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
        if not _any_on_meta(module):
            return module.eval()
    module = build_model(spec) if "own" in names else _build(spec, tensors, empty_on_meta=False)
    if module is None:
        module = build_model(spec)
    check_weights(module, tensors, where)
    module.load_state_dict(dict(tensors))
    return module.eval()


def _build(spec: ModelSpec, tensors: Mapping[str, Tensor], *, empty_on_meta: bool) -> nn.Module | None:
    """The module, or None where it cannot be built without memory; raises ModelError beyond the bound."""
    held = sum(tensor.numel() for tensor in tensors.values())
    bound = BoundedBuild(
        2 * held + SPARE_NUMBERS, CALLS_A_TENSOR * len(tensors) + SPARE_CALLS, empty_on_meta=empty_on_meta
    )
    try:
        with bound:
            return build_model(spec)
    except ModelError as error:
        if isinstance(error.__cause__, TooLargeError):
            raise ModelError(
                "the model that this bundle describes is larger than its weights",
                got=repr(spec.to_json())[:200],
                expected=f"one for the {held:,} numbers that the weights hold",
            ) from error
        if empty_on_meta and spec.name in ("torchvision", "timm"):
            return None
        raise


def _any_on_meta(module: nn.Module) -> bool:
    return any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))


def check_weights(module: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Raises RunError, with the first difference, unless the tensors have the module's names, shapes and types."""
    own = module.state_dict()
    for name in [*own, *tensors]:
        described = _described(own.get(name))
        got = _described(tensors.get(name))
        if described != got:
            raise RunError(
                "the weights are of another model",
                where=where,
                got=f"{name[:120]!r}: {got}",
                expected=described,
            )


def _described(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
