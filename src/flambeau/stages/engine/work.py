"""What a model does with a part of a batch, counted and not timed: operations, and bytes kept for the way back."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from flambeau.data.batches import Inputs
from flambeau.models.recompute import find_blocks, recompute_blocks
from flambeau.planning.numbers import Work
from flambeau.training.losses import Loss
from flambeau.training.precision import autocast_to

CONVOLUTION = torch.ops.aten.convolution.default


class _Counter(TorchDispatchMode):
    """Counts the operations that run inside."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.products, self.calls = 0, 0, 0
        self.convolutions = self.grouped = self.narrow = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.products += 1
            self.operations += int(count(*args, **(kwargs or {}), out_val=result))
        if func is CONVOLUTION:
            pictures, filters, stride, groups = args[0], args[1], args[3], args[8]
            self.convolutions = True
            self.grouped |= groups > 1 and filters.ndim == 4
            self.narrow |= pictures.ndim == 4 and pictures.shape[-1] < stride[-1]
        return result


def measure_work(model: nn.Module, inputs: Inputs) -> Work:
    """The operations of a forward pass over these inputs, in evaluation mode; the model stays as it is."""
    counter = _Counter()
    training = model.training
    model.eval()
    with torch.no_grad(), counter:
        model(*inputs)
    model.train(training)
    return Work(
        counter.operations,
        counter.products,
        counter.calls,
        counter.convolutions,
        counter.grouped,
        counter.narrow,
    )


@dataclass(frozen=True)
class Memory:
    """Bytes of a training.

    Args:
        fixed: weights, gradients, the optimizer's state and averaged weights, whatever the batch is.
        kept: activations that one sample keeps for the way back.
        kept_recomputing: the same where blocks are computed again, the largest block included.
    """

    fixed: int
    kept: float
    kept_recomputing: float

    def of(self, samples: int, *, recompute: bool) -> float:
        """Bytes of a training that has so many samples at once."""
        return self.fixed + samples * (self.kept_recomputing if recompute else self.kept)


def measure_memory(
    model: nn.Module, loss: Loss, inputs: Inputs, targets: Tensor, *, precision: str, copies: int
) -> Memory:
    """What a training of this model keeps, from the tensors that one forward pass saves; no clock, no allocator.

    Args:
        model: left as it is.
        loss: (outputs, targets) → mean.
        inputs, targets: a part of a batch.
        precision: of the forward pass.
        copies: tensors of the weights' size beside them: gradients, the optimizer's state, averaged weights.
    """
    samples = len(targets)
    fixed = _bytes([*model.parameters(), *model.buffers()]) + copies * _bytes(model.parameters())
    entering = _bytes((*inputs, targets))
    plain, of_blocks = _saved(copy.deepcopy(model), loss, inputs, targets, precision)
    thin, _ = _saved(recompute_blocks(copy.deepcopy(model)), loss, inputs, targets, precision)
    # a block that is computed again keeps all that it has inside, for a while
    again = min(thin + max(of_blocks, default=0), plain)
    return Memory(fixed, (plain + entering) / samples, (again + entering) / samples)


def _saved(
    model: nn.Module, loss: Loss, inputs: Inputs, targets: Tensor, precision: str
) -> tuple[int, list[int]]:
    """Bytes that a forward pass saves beside the weights, in all and inside each block."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    # the tensors themselves are held, so that no address is used twice
    kept: dict[int, Tensor] = {}
    marks: list[int] = []
    inside: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in own:
            kept.setdefault(address, tensor)
        return tensor

    def total() -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())

    for _, block in find_blocks(model):
        block.register_forward_pre_hook(lambda *_: marks.append(total()))
        block.register_forward_hook(lambda *_: inside.append(total() - marks.pop()))
    model.train()
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with torch.random.fork_rng(), hooks, autocast_to(precision, targets.device):
        value = loss(model(*inputs), targets)  # noqa: F841  # what it saves lives as long as it does
    return total(), inside


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def largest_fitting(memory: Memory, limit: float, batch: int, *, recompute: bool) -> int:
    """The most samples at once that stay below `limit` bytes, by halving the batch; 0 where not even one does."""
    size = batch
    while size and memory.of(size, recompute=recompute) > limit:
        size //= 2
    return size if math.isfinite(limit) else batch
