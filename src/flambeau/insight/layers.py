"""The layers of any module: output shapes, parameters, multiply-adds and memory, without computing anything.

The module runs once on the meta device, where tensors have shapes but no content, so that a model of any size is
counted in no time and no memory. One whose way depends on its numbers runs on the CPU instead.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# A multiplication and the addition of its result are one multiply-add and two operations.
OPERATIONS_A_MULTIPLY_ADD = 2


@dataclass(frozen=True)
class LayerRow:
    """One layer.

    Args:
        name: dotted, "" for the whole module.
        kind: its class.
        output: shape of its output; of each part where it gives several; () where it was not called.
        parameters: its own, not those of the layers inside it; shared ones count where they stand first.
        trainable: how many of them learn.
        multiply_adds: of convolutions, matrix products and attention, for the whole batch.
        output_bytes: memory of its output.
        calls: how often it ran.
    """

    name: str
    kind: str
    output: tuple[tuple[int, ...], ...]
    parameters: int
    trainable: int
    multiply_adds: int
    output_bytes: int
    calls: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "output": [list(shape) for shape in self.output]}


@dataclass(frozen=True)
class LayerTable:
    """All layers of a module, and their sums.

    Args:
        rows: in the order in which they ran; those that did not run at the end.
        output: shapes of what the module gives.
        parameter_bytes: memory of parameters and buffers.
        counted_on: "meta", or "cpu" where the way through the module depends on its numbers.
    """

    rows: list[LayerRow]
    output: tuple[tuple[int, ...], ...]
    parameter_bytes: int
    counted_on: str

    def total(self, what: str) -> int:
        """The sum of a column, such as "parameters"."""
        return sum(getattr(row, what) for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        sums = {
            what: self.total(what) for what in ("parameters", "trainable", "multiply_adds", "output_bytes")
        }
        return {
            "layers": [row.to_json() for row in self.rows],
            "output": [list(shape) for shape in self.output],
            **sums,
            "parameter_bytes": self.parameter_bytes,
            "counted_on": self.counted_on,
        }


def layer_table(module: nn.Module, inputs: Sequence[Tensor]) -> LayerTable:
    """Count the layers of a module on inputs of these shapes; the module stays as it is.

    A layer is a module with parameters of its own, or with no module inside it.

    Args:
        module: called as module(*inputs), in evaluation mode.
        inputs: their numbers matter only where the module's way depends on them.

    Raises:
        Exception: whatever the module itself raises on these inputs.
    """
    try:
        return _count(module, inputs, "meta")
    except (NotImplementedError, RuntimeError, ValueError, TypeError):
        # what has no shape without content (a branch on a number, numpy inside) is run for real; and if the
        # shapes are wrong, this raises in the words of the real operation
        return _count(module, inputs, "cpu")


def _count(module: nn.Module, inputs: Sequence[Tensor], device: str) -> LayerTable:
    copied = copy.deepcopy(module).to(device).eval()
    layers = {name: layer for name, layer in copied.named_modules() if is_layer(layer)}
    seen: dict[str, list[tuple[tuple[int, ...], ...]]] = {}
    sizes: dict[str, int] = {}
    handles = []
    for name, layer in layers.items():

        def note(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            tensors = list(_tensors(output))
            seen.setdefault(name, []).append(tuple(tuple(tensor.shape) for tensor in tensors))
            sizes[name] = sizes.get(name, 0) + sum(t.numel() * t.element_size() for t in tensors)

        handles.append(layer.register_forward_hook(note))
    try:
        # with gradients, as fused kernels of inference hide what they do from the counter
        with torch.enable_grad(), FlopCounterMode(display=False) as counter:
            output = copied(*(part.to(device) for part in inputs))
    finally:
        for handle in handles:
            handle.remove()
    operations = _operations(counter.get_flop_counts(), type(module).__name__, layers)
    counted: set[int] = set()
    rows = [
        # of the module itself: its copy on another device no longer shares weights
        _row(
            name,
            module.get_submodule(name),
            seen.get(name, []),
            sizes.get(name, 0),
            operations[name],
            counted,
        )
        for name in [*seen, *(name for name in layers if name not in seen)]
    ]
    rows = [row for row in rows if row.calls or row.parameters]
    tensors = {id(tensor): tensor for tensor in [*module.parameters(), *module.buffers()]}
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return LayerTable(rows, tuple(tuple(tensor.shape) for tensor in _tensors(output)), size, device)


def is_layer(module: nn.Module) -> bool:
    """Whether a module does work itself: it has parameters of its own, or no module inside it."""
    has_own = next(module.parameters(recurse=False), None) is not None
    return has_own or next(module.children(), None) is None


def _row(
    name: str,
    layer: nn.Module,
    outputs: list[tuple[tuple[int, ...], ...]],
    size: int,
    operations: int,
    counted: set[int],
) -> LayerRow:
    own = [p for p in layer.parameters(recurse=False) if id(p) not in counted]
    counted.update(id(parameter) for parameter in own)
    return LayerRow(
        name,
        type(layer).__name__,
        outputs[-1] if outputs else (),
        sum(parameter.numel() for parameter in own),
        sum(parameter.numel() for parameter in own if parameter.requires_grad),
        operations // OPERATIONS_A_MULTIPLY_ADD,
        size,
        len(outputs),
    )


def _operations(
    counts: Mapping[str, Mapping[Any, int]], root: str, layers: Mapping[str, nn.Module]
) -> dict[str, int]:
    """Operations of each layer without those of the layers inside it; torch's counter adds them up."""
    whole = {name: sum(counts.get(f"{root}.{name}" if name else root, {}).values()) for name in layers}
    own = dict(whole)
    for name in layers:
        around = next((outer for outer in _outer_names(name) if outer in layers), None)
        if around is not None:
            own[around] -= whole[name]
    return own


def _outer_names(name: str) -> Iterator[str]:
    """Names of the modules around one, from the inside out, ending with "", the whole."""
    while name:
        name = name.rpartition(".")[0]
        yield name


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in what a layer gives: one, or any nesting of tuples, lists and mappings."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for part in value for tensor in _tensors(part)]
    return []
