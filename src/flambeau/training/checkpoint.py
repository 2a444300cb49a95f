"""Checkpoints: safetensors only, written atomically, each named after its own digest.

The digest in the name makes file and digest one atomic rename, and a flipped byte is noticed, which neither
torch.save nor safetensors would do. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

DIGEST_BYTES = 16
CHUNK_BYTES = 4 * 2**20

# as the safetensors format names them
STORED_TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8", torch.bool: "BOOL",
    torch.complex64: "C64", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip


class CheckpointError(OSError):
    """A checkpoint could not be written, or an old one not be removed; those before it stay."""


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


def check_storable(name: str, tensor: Tensor) -> None:
    """Raises ValueError for a tensor that a checkpoint cannot hold."""
    if tensor.layout != torch.strided or tensor.dtype not in STORED_TYPES:
        kind = f"{tensor.dtype}".removeprefix("torch.")
        if tensor.layout != torch.strided:
            kind += f" in the layout {tensor.layout}".replace("torch.", "")
        raise ValueError(
            f"{name} is a tensor of {kind}, which a checkpoint cannot hold; "
            "expected a dense one of real numbers, integers, booleans or complex64"
        )


def write_checkpoint(
    folder: Path, kind: str, number: int, tensors: Mapping[str, Tensor], values: Any
) -> Path:
    """Write KIND-NUMBER.DIGEST.safetensors into `folder` and return its path.

    A checkpoint of the same kind and number that was there before is replaced.

    Args:
        folder: made if absent.
        kind: "last" (the start of an epoch) or "middle" (inside one).
        number: optimizer steps done; the newest checkpoint of a kind has the largest.
        tensors: on any device, in any layout.
        values: plain values, kept as JSON in the file's header.

    Raises:
        CheckpointError: the checkpoints before it stay.
    """
    temporary = folder / f".{kind}.tmp"
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            for chunk in _file_chunks(tensors, json.dumps(values)):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        path = folder / f"{kind}-{number:09d}.{digest.hexdigest()}.safetensors"
        temporary.replace(path)
        _flush_folder(folder)
    except OSError as error:
        # a second error of the same disk would hide the first
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise CheckpointError(error.strerror or str(error)) from error
    _remove(other for other in folder.glob(f"{kind}-{number:09d}.*.safetensors") if other != path)
    return path


def _file_chunks(tensors: Mapping[str, Tensor], values: str) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, piece by piece: a whole copy of a large state would double the memory.

    Its layout: the header's length, the header as JSON, the tensors without gaps, those of the widest type first.
    Copies are made by numpy, whose threads do not multiply beside those of the training.
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": {"values": values}}
    end = 0
    for name in order:
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": STORED_TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        flat = _plain_bytes(tensors[name]).data
        yield from (flat[at : at + CHUNK_BYTES] for at in range(0, len(flat), CHUNK_BYTES))


def _plain_bytes(tensor: Tensor) -> np.ndarray:
    """The bytes of a tensor in row-major order, without a copy where it lies like that on the CPU."""
    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    size = plain.element_size()
    # a type of the same width that numpy knows
    words = plain.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[size]).numpy()
    return np.ascontiguousarray(words).reshape(-1).view(np.uint8)


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
    """Remove all but the newest `keep` checkpoints of a kind. Raises CheckpointError where one cannot be."""
    _remove(checkpoint_paths(folder, kind)[keep:])


def remove_from(folder: Path, kind: str, number: int) -> None:
    """Remove the checkpoints of a kind from a number on. Raises CheckpointError where one cannot be."""
    _remove(path for path in checkpoint_paths(folder, kind) if _number_of(path) >= number)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise CheckpointError(f"{path.name} cannot be removed: {error.strerror or error}") from error


def _number_of(path: Path) -> int:
    return int(path.name.split(".")[0].split("-")[1])


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
    for path in sorted(paths, key=_number_of, reverse=True):
        try:
            return read_checkpoint(path), damaged
        except ValueError as error:
            damaged.append(str(error))
    return None, damaged
