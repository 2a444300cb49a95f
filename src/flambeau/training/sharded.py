"""Weights that are divided over the processes (FSDP2, `fully_shard`), and their checkpoints.

A checkpoint holds whole tensors, in the same file as any other: gathered one by one into the first process's memory,
written there, and cut again by whoever reads it. So it fits any number of processes and the unsharded model, has a
digest, and nothing in it is pickled, as the metadata of torch.distributed.checkpoint's own format is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Adam, Optimizer

from flambeau.training.distributed import spread_tensors


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The largest modules inside sequences whose parameters no other part of the model uses: what is gathered at once.

    A sequence itself may never be called, and shared parameters cannot be in two groups.
    """
    uses: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            uses[id(parameter)] = uses.get(id(parameter), 0) + 1
    lists = (nn.Sequential, nn.ModuleList)
    found: list[nn.Module] = []
    inside: set[int] = set()
    for module in model.modules():
        if not isinstance(module, lists):
            continue
        for child in module.children():
            own = list(child.parameters())
            if isinstance(child, lists) or id(child) in inside or not own:
                continue
            if all(uses[id(parameter)] == 1 for parameter in own):
                found.append(child)
                inside.update(id(part) for part in child.modules())
    return found


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """Divide the weights, their gradients and the optimizer's state over the processes (ZeRO-3, Rajbhandari 2020).

    Weights of a block are gathered when it is computed. The model is changed in place; its parameters are new, so an
    optimizer must be made after this.
    """
    spread_tensors(model)
    model.to(memory_format=torch.contiguous_format)  # the only layout that can be divided
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for block in blocks_of(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # the sum, not the mean; and by plain sums, because gloo cannot multiply on the way
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return model


def move_parameters(optimizer: Optimizer, before: Mapping[str, Tensor], model: nn.Module) -> None:
    """Give an optimizer that has made no step yet the model's new parameters, by their names.

    Of torch's fused rules only those of the Adams know shards; the others go on unfused.
    """
    names = {id(parameter): name for name, parameter in before.items()}
    after = dict(model.named_parameters())
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            # Adagrad begins with a state
            begun = optimizer.state.pop(parameter, {})
            new = after[names[id(parameter)]]
            if begun:
                optimizer.state[new] = {name: cut_like(value, new) for name, value in begun.items()}
        group["params"] = [after[names[id(parameter)]] for parameter in group["params"]]
        if group.get("fused") and not isinstance(optimizer, Adam):  # AdamW is one
            group["fused"] = False


def cut_like(value: Any, like: Tensor) -> Any:
    """The shard of a whole tensor that belongs to a sharded parameter of its shape; anything else as it is."""
    if not (isinstance(value, Tensor) and isinstance(like, DTensor) and value.shape == like.shape):
        return value
    # every process has the whole: nothing is sent
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def whole_tensors(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Tensors whose shards are gathered, one after the other; a collective: every process calls it.

    Args:
        keep: False gives empty tensors for what was gathered, in processes that do not need it.
    """
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, DTensor):
            whole = tensor.full_tensor()
            result[name] = whole.cpu() if keep else torch.empty(0)
        else:
            result[name] = tensor
    return result


class Shares:
    """Cuts whole tensors of a checkpoint into the shards of a sharded model and its optimizer.

    Args:
        model: sharded.
        parameters: of the optimizer, in its order.
    """

    def __init__(self, model: nn.Module, parameters: list[Tensor]) -> None:
        self.model = model
        self.parameters = parameters

    @classmethod
    def of(cls, model: nn.Module, optimizer: Optimizer) -> Self:
        """For a model and its optimizer."""
        return cls(model, [p for group in optimizer.param_groups for p in group["params"]])

    def __call__(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each process reads the whole file and keeps its shards; nothing is sent."""
        named = self.model.state_dict()
        result: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            index = rest.partition("/")[0]
            if kind == "optimizer":
                like = self.parameters[int(index)] if index.isdigit() else None
            else:
                like = named.get(rest)
            result[name] = tensor if like is None else cut_like(tensor, like)
        return result


def whole_norm(clip: Callable[[list[Tensor]], Tensor | None], parameters: list[Tensor]) -> Tensor | None:
    """Clip sharded gradients by the norm over all processes, and give it as a plain tensor."""
    norm = clip(parameters)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
