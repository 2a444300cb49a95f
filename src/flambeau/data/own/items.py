"""A person's own Dataset as arrays: every item read once, in order, and checked on the way."""

from __future__ import annotations

import math
import random
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from PIL import Image

from flambeau.data.own.loaders import ItemsOfBatches, is_loader
from flambeau.data.tables.spelling import number_of
from flambeau.errors import DataError

PICTURE_MODES = ("L", "RGB", "I;16")
NUMBER_KINDS = "biuf"


@dataclass(frozen=True)
class Items:
    """All items of a Dataset.

    Args:
        inputs: (n, features) numbers, or pictures (n, height, width) or (n, height, width, channels), in the order of
            axes in which they came.
        targets: (n,) whole numbers, numbers or words; or (n, labels) of 0 and 1.
        names: of the features; empty where the Dataset does not tell.
    """

    inputs: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...] = ()


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Seed Python, NumPy and PyTorch inside the block, so that reading twice gives the same; then as it was."""
    import torch

    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])


def read_items(source: Any, name: str) -> Items:
    """The arrays of a Dataset, of a class or function that makes one, or of a pair (inputs, targets).

    Args:
        source: with __len__ and __getitem__ → (input, target); a DataLoader, walked through once; or a class or
            function without required arguments.
        name: of it, for messages.

    Raises:
        DataError: it is none of these, is empty, an item fails (named), or the items do not fit each other.
    """
    with seeded():
        if isinstance(source, type) or (callable(source) and not hasattr(source, "__getitem__")):
            source = _made(source, name)
        if is_loader(source):
            source = ItemsOfBatches(source, name)
        if isinstance(source, tuple) and len(source) == 2:
            return _pair_of_arrays(source, name)
        if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
            raise DataError(
                f"'{name}' is no Dataset that can be read",
                got=type(source).__name__,
                expected="__len__ and __getitem__(index) → (input, target), or arrays (inputs, targets)",
            )
        return _read_all(source, name)


def _made(maker: Any, name: str) -> Any:
    try:
        return maker()
    except Exception as error:  # a person's own constructor may raise anything
        raise DataError(
            f"'{name}' cannot be made without arguments",
            where=_line_of(error),
            got=f"{type(error).__name__}: {error}",
            expected="default values for all arguments, or a function without arguments that returns the Dataset",
        ) from error


def _pair_of_arrays(pair: tuple[Any, Any], name: str) -> Items:
    try:
        inputs, targets = (_as_array(part) for part in pair)
    except (TypeError, ValueError) as error:
        raise DataError(f"'{name}' gives no arrays", got=str(error), expected="(inputs, targets)") from error
    if inputs.dtype.kind not in NUMBER_KINDS:
        raise DataError(
            f"the inputs of '{name}' are not made of numbers",
            got=f"values of {inputs.dtype}",
            expected="numbers; a table with words can be a CSV or Parquet file",
        )
    if len(inputs.shape) < 2 or len(inputs) != len(targets) or not len(inputs):
        raise DataError(
            f"'{name}' gives arrays that do not fit each other",
            got=f"inputs of shape {inputs.shape}, targets of shape {targets.shape}",
            expected="(n, features) or (n, height, width, channels), and (n,) or (n, labels)",
        )
    return Items(_checked_inputs(inputs, name), targets)


def _read_all(source: Any, name: str) -> Items:
    count = len(source)
    if count == 0:
        raise DataError(f"'{name}' is empty: its length is 0", expected="items to learn from")
    inputs: np.ndarray | None = None
    targets: list[Any] = []
    for index in range(count):
        given, target = _item(source, index, count, name)
        if inputs is None:
            inputs = _space_for(given, count, name)
        if given.shape != inputs.shape[1:]:
            raise DataError(
                f"the items of '{name}' differ in shape",
                got=f"item 0 has {inputs.shape[1:]}, item {index} has {given.shape}",
                expected="one shape: resize pictures in __getitem__, or train on a folder of files instead",
            )
        if given.dtype.kind not in NUMBER_KINDS:
            raise DataError(
                f"the input of item {index} of '{name}' is not made of numbers",
                got=f"values of {given.dtype}, such as {str(given.flat[0])[:40]!r}",
                expected=f"numbers as in item 0, of {inputs.dtype}",
            )
        wanted = np.result_type(inputs.dtype, given.dtype)
        if wanted != inputs.dtype:
            _check_memory(given.shape, wanted, count, name)
            inputs = inputs.astype(wanted)
        inputs[index] = given
        targets.append(_target(target, index, name))
    assert inputs is not None
    names = getattr(source, "feature_names", None)
    known = inputs.ndim == 2 and names is not None and len(names) == inputs.shape[1]
    return Items(
        _checked_inputs(inputs, name),
        _joined_targets(targets, getattr(source, "classes", None), name),
        tuple(str(one) for one in names) if known and names is not None else (),
    )


def _item(source: Any, index: int, count: int, name: str) -> tuple[np.ndarray, Any]:
    try:
        item = source[index]
    except Exception as error:  # a person's own __getitem__ may raise anything
        raise DataError(
            f"item {index} of '{name}' cannot be read",
            where=_line_of(error),
            got=f"{type(error).__name__}: {error}",
            expected=f"__getitem__(index) → (input, target) for 0 to {count - 1}",
        ) from error
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(
            f"item {index} of '{name}' is not a pair",
            got=f"{type(item).__name__}" + (f" of {len(item)}" if isinstance(item, tuple | list) else ""),
            expected="(input, target)",
        )
    try:
        return _as_array(item[0]), item[1]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the input of item {index} of '{name}' is not made of numbers",
            got=f"{type(item[0]).__name__}: {error}",
            expected="a picture (PIL, array or tensor), or a row of numbers",
        ) from error


def _as_array(value: Any) -> np.ndarray:
    if isinstance(value, Image.Image):
        return np.asarray(value if value.mode in PICTURE_MODES else value.convert("RGB"))
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    array = np.asarray(value)
    if array.dtype.kind not in "biufUO":
        raise TypeError(f"values of {array.dtype}")
    if array.dtype.kind in "UO" and not isinstance(value, np.ndarray):
        raise TypeError(f"values such as {str(value)[:40]!r}")
    return np.atleast_1d(array)


def _space_for(first: np.ndarray, count: int, name: str) -> np.ndarray:
    if first.ndim > 3 or first.size == 0 or first.dtype.kind not in NUMBER_KINDS:
        raise DataError(
            f"the items of '{name}' are neither pictures nor rows of numbers",
            got=f"item 0 has the shape {first.shape} of {first.dtype}",
            expected="(features,), (height, width), (height, width, channels) or (channels, height, width)",
        )
    _check_memory(first.shape, first.dtype, count, name)
    return np.empty((count, *first.shape), dtype=first.dtype)


def _check_memory(shape: tuple[int, ...], dtype: np.dtype[Any], count: int, name: str) -> None:
    needed, free = math.prod(shape) * dtype.itemsize * count, psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"the items of '{name}' do not fit into memory",
            got=f"{number_of(count, 'item')} of {shape} as {dtype}: {needed / 1e9:.1f} GB",
            expected=f"at most {free / 1e9:.1f} GB; a folder of files can be larger",
        )


def _target(value: Any, index: int, name: str) -> Any:
    """A word, a whole number, a number, or a tuple of flags, in Python's own types."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple) and all(isinstance(one, bool | int | float) for one in value):
        return tuple(float(one) for one in value)
    raise DataError(
        f"the target of item {index} of '{name}' is of a kind that cannot be learnt",
        got=type(value).__name__,
        expected="a class (a whole number or a word), a number, or flags of 0 and 1 for several labels",
    )


def _joined_targets(targets: Sequence[Any], classes: Any, name: str) -> np.ndarray:
    kinds: dict[str, int] = {}
    for index, target in enumerate(targets):
        kind = (
            f"{len(target)} flags"
            if isinstance(target, tuple)
            else "words"
            if isinstance(target, str)
            else "numbers"
        )
        kinds.setdefault(kind, index)
    if len(kinds) > 1:
        (first, one), (second, other) = list(kinds.items())[:2]
        raise DataError(
            f"the targets of '{name}' are of different kinds",
            got=f"{first} in item {one}, {second} in item {other}",
            expected="one kind for all items",
        )
    whole = all(isinstance(target, int) for target in targets)
    named = isinstance(classes, list | tuple) and all(isinstance(one, str) for one in classes)
    if whole and named and all(0 <= target < len(classes) for target in targets):
        return np.array([classes[target] for target in targets])
    return np.array(targets)


def _checked_inputs(inputs: np.ndarray, name: str) -> np.ndarray:
    if inputs.dtype.kind != "f":
        return inputs
    finite = np.isfinite(inputs) if inputs.ndim > 2 else ~np.isinf(inputs)
    bad = np.flatnonzero(~finite.reshape(len(inputs), -1).all(axis=1))
    if len(bad):
        raise DataError(
            f"{number_of(len(bad), 'item')} of '{name}' hold NaN or infinity"
            if inputs.ndim > 2
            else f"{number_of(len(bad), 'item')} of '{name}' hold infinity",
            got="items " + ", ".join(str(index) for index in bad[:10]),
            expected="finite numbers; in rows, NaN stands for a missing value",
        )
    return inputs


def _line_of(error: BaseException) -> str | None:
    """File and line where a person's code failed."""
    frames = traceback.extract_tb(error.__traceback__)
    last = next((frame for frame in reversed(frames) if frame.filename != __file__), None)
    return f"{last.filename}:{last.lineno}" if last is not None else None
