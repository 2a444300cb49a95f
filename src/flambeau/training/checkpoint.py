"""Checkpoints: safetensors only, written atomically, each named after its own digest.

The digest in the name makes file and digest one atomic rename, and a flipped byte is noticed, which neither
torch.save nor safetensors would do. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.optim import Optimizer

DIGEST_BYTES = 16


class CheckpointError(OSError):
    """A checkpoint could not be written; those before it stay."""


@dataclass(frozen=True)
class Checkpoint:
    """A state that was read back: tensors by name, and plain values."""

    path: Path
    tensors: dict[str, Tensor]
    values: dict[str, Any]


def model_tensors(prefix: str, model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers under "PREFIX/NAME"."""
    return {f"{prefix}/{name}": tensor for name, tensor in model.state_dict().items()}


def restore_model(prefix: str, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `model_tensors`, in place: memory layouts stay as they are."""
    own = model.state_dict()
    stored = {key.removeprefix(f"{prefix}/"): t for key, t in tensors.items() if key.startswith(f"{prefix}/")}
    if set(own) != set(stored):
        different = sorted(set(own) ^ set(stored))
        raise ValueError(
            f"the checkpoint is of another model: {len(different)} tensors differ, such as {different[0]}"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(stored[name])


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of each parameter under "optimizer/INDEX/NAME"; indices follow the parameter groups."""
    result: dict[str, Tensor] = {}
    for index, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            if not isinstance(value, Tensor):
                raise ValueError(
                    f"the optimizer keeps {name} as {type(value).__name__}; only tensors can be saved"
                )
            result[f"optimizer/{index}/{name}"] = value
    return result


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`.

    State of a parameter's shape takes the parameter's memory layout: fused kernels walk both by address.
    """
    parameters = _parameters(optimizer)
    optimizer.state.clear()
    for key, tensor in tensors.items():
        if not key.startswith("optimizer/"):
            continue
        _, index, name = key.split("/", 2)
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
        else:
            # "step" of a fused optimizer lives where the parameter does
            value = tensor.clone().to(parameter.device)
        optimizer.state[parameter][name] = value


def write_checkpoint(
    folder: Path, kind: str, number: int, tensors: Mapping[str, Tensor], values: Any
) -> Path:
    """Write KIND-NUMBER.DIGEST.safetensors into `folder` and return its path.

    Args:
        folder: made if absent.
        kind: "last" (the start of an epoch) or "middle" (inside one).
        number: optimizer steps done; the newest checkpoint of a kind has the largest.
        tensors: moved to the CPU and made contiguous.
        values: plain values, kept as JSON in the file's header.

    Raises:
        CheckpointError: nothing is left behind, and the checkpoints before it stay.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = save_tensors(_without_sharing(plain), metadata={"values": json.dumps(values)})
    digest = hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
    path = folder / f"{kind}-{number:09d}.{digest}.safetensors"
    temporary = folder / f".{kind}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(error.strerror or str(error)) from error
    return path


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where folders can be opened (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checkpoint_paths(folder: Path, kind: str) -> list[Path]:
    """Checkpoints of a kind, the newest first."""
    return sorted(folder.glob(f"{kind}-*.safetensors"), reverse=True)


def remove_older(folder: Path, kind: str, *, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints of a kind."""
    for path in checkpoint_paths(folder, kind)[keep:]:
        path.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint. Raises ValueError where the file is not what its digest says."""
    data = path.read_bytes()
    expected = path.name.split(".")[-2]
    got = hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
    if got != expected:
        raise ValueError(f"{path.name} is damaged: its digest is {got}, expected {expected}")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return Checkpoint(path, load_tensors(data), json.loads(header["__metadata__"]["values"]))


def newest_checkpoint(folder: Path, *kinds: str) -> tuple[Checkpoint | None, list[str]]:
    """The newest undamaged checkpoint of these kinds, and a sentence about each damaged one passed over."""
    paths = [path for kind in kinds for path in checkpoint_paths(folder, kind)]
    damaged: list[str] = []
    for path in sorted(paths, key=lambda p: p.name.split(".")[0].split("-")[1], reverse=True):
        try:
            return read_checkpoint(path), damaged
        except ValueError as error:
            damaged.append(str(error))
    return None, damaged


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _without_sharing(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    # tied weights share memory, which safetensors refuses to write twice
    seen: set[int] = set()
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        address = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if address in seen else tensor
        seen.add(address)
    return result
