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
from flambeau.models.build import MODELS, build_model
from flambeau.models.spec import ModelSpec

# Room for what a constructor makes beside its weights: tables of positions, a head that is replaced, first values.
SPARE_NUMBERS = 2**24
SPARE_CALLS = 20_000
CALLS_A_TENSOR = 100

MOST_NESTED = 3
LIBRARIES = ("torchvision", "timm", "transformers")

# What each makes is known from its arguments; all else is counted once it is there.
BY_SHAPE = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)
LIKE = (
    *(torch.empty_like, torch.zeros_like, torch.ones_like, torch.full_like),
    *(torch.rand_like, torch.randn_like, torch.randint_like),
)
NEW = (torch.Tensor.new_empty, torch.Tensor.new_zeros, torch.Tensor.new_ones, torch.Tensor.new_full)


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
        expected = made_numbers(func, args, kwargs)
        self._spend(expected)
        if self.empty_on_meta and func is torch.empty:
            kwargs = {**kwargs, "device": "meta"}
        result = func(*args, **kwargs)
        self._spend(max(0, held_numbers(result, (*args, *kwargs.values())) - expected))
        return result

    @property
    def exceeded(self) -> bool:
        """Whether more was asked for than there may be."""
        return self.calls < 0 or self.numbers < 0

    def _spend(self, numbers: int) -> None:
        self.numbers -= numbers
        if self.exceeded:
            raise TooLargeError


def made_numbers(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """How many numbers a call of torch will put into memory, as far as its arguments tell; 0 where they do not."""
    if func in BY_SHAPE:
        return _product(kwargs.get("size", args))
    if func in LIKE:
        return int(args[0].numel()) if args else 0
    if func in NEW:
        return _product(kwargs.get("size", args[1:2] if func is torch.Tensor.new_full else args[1:]))
    if func is torch.randint:
        return _product(kwargs.get("size", [arg for arg in args if isinstance(arg, list | tuple)]))
    if func is torch.randperm:
        return _product(kwargs.get("n", args[:1]))
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


def held_numbers(result: Any, given: Sequence[Any]) -> int:
    """How many numbers are in what a call of torch gave back and were not in what it was given.

    A view counts by how far it exceeds the memory behind it: `expand` asks for none, what copies its result does.
    """
    if isinstance(result, list | tuple):
        return sum(held_numbers(part, given) for part in result)
    if not isinstance(result, Tensor) or result.is_meta:
        return 0
    if result.layout is not torch.strided:
        return result.numel()
    storage = result.untyped_storage()
    known = [part for part in given if isinstance(part, Tensor) and part.layout is torch.strided]
    if any(part.untyped_storage().data_ptr() == storage.data_ptr() for part in known):
        return max(0, result.numel() - storage.nbytes() // result.element_size())
    return result.numel()


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


def names_of(spec: ModelSpec) -> set[str]:
    """The names of the models of an ensemble, and of the encoders in them. Raises ModelError as `members_of` does."""
    members = members_of(spec)
    inner = (member.arguments.get(key) for member in members for key in ("picture", "text"))
    encoders = {str(one["name"]) for one in inner if isinstance(one, Mapping) and "name" in one}
    return {member.name for member in members} | encoders


def rebuild(spec: ModelSpec, tensors: Mapping[str, Tensor], where: Path) -> nn.Module:
    """The module that `spec` describes, with these weights, in evaluation mode on the CPU.

    Weights are not made twice: the module is built without memory and takes the tensors themselves, which must have
    memory of their own. A person's own class, and a model that cannot be built so, is built as usual and filled.

    Raises:
        ModelError: an unknown model, wrong arguments, or more than the weights could fill.
        RunError: names, shapes or types of the weights are of another model.
    """
    names = names_of(spec)
    unknown = names - MODELS.keys()
    if unknown:
        build_model(ModelSpec(min(unknown)))
    module = None if "own" in names else _build_empty(spec, tensors)
    if module is not None:
        check_weights(module, tensors, where)
        module.load_state_dict(dict(tensors), assign=True)
        if not _any_on_meta(module):
            return module.eval()
    bound = _bound(tensors, empty_on_meta=False)
    module = build_model(spec) if "own" in names else _build(spec, bound, tensors)
    check_weights(module, tensors, where)
    module.load_state_dict(dict(tensors))
    return module.eval()


def _bound(tensors: Mapping[str, Tensor], *, empty_on_meta: bool) -> BoundedBuild:
    calls = CALLS_A_TENSOR * len(tensors) + SPARE_CALLS
    return BoundedBuild(2 * _held(tensors) + SPARE_NUMBERS, calls, empty_on_meta=empty_on_meta)


def _held(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())


def _build_empty(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> nn.Module | None:
    """The module without memory for its weights; None where a library's constructor needs their values."""
    bound = _bound(tensors, empty_on_meta=True)
    try:
        return _build(spec, bound, tensors)
    except ModelError:
        if bound.exceeded or names_of(spec).isdisjoint(LIBRARIES):
            raise
        return None


def _build(spec: ModelSpec, bound: BoundedBuild, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The module; raises ModelError for wrong arguments, and beyond the bound."""
    try:
        with bound:
            return build_model(spec)
    except ModelError as error:
        if bound.exceeded:
            raise ModelError(
                "the model that this bundle describes is larger than its weights",
                got=repr(spec.to_json())[:200],
                expected=f"one for the {_held(tensors):,} numbers that the weights hold",
            ) from error
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
