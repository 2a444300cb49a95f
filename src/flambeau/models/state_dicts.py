"""Weights from files into models: read without running anybody's code, unwrapped, and matched key by key."""

from __future__ import annotations

import argparse
import pickle
import pickletools
import re
import types
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import scalar as numpy_scalar
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

# Where training scripts put the weights inside a checkpoint, in the order in which they are looked for.
WRAPPERS = (
    "model_state_dict",
    "state_dict",
    "state_dict_ema",
    "model_ema",
    "model",
    "module",
    "net",
    "weights",
)

# What DataParallel, DistributedDataParallel and torch.compile put before every key.
PREFIXES = ("module.", "_orig_mod.", "model.")

# What torch's restricted unpickler raises for bytes that are not a checkpoint, depending on where they stray.
DAMAGED_FILE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
)

# Plain values that training scripts put beside the weights: options of a command line, a best score.
HARMLESS: list[Any] = [
    argparse.Namespace,
    types.SimpleNamespace,
    np.dtype,
    *sorted({type(np.dtype(code)) for code in "?bhilqBHILQefd"}, key=str),
    (numpy_scalar, "numpy._core.multiarray.scalar"),
    (numpy_scalar, "numpy.core.multiarray.scalar"),
]

PICKLED_MODEL_HELP = """\
convert it once, where the class that wrote it can be imported and you trust the file:
    model = torch.load("{name}", weights_only=False)
    torch.save({weights}, "{stem}-weights.pth")
or let --trust-pickle do that, which runs whatever code is in the file"""
TORCHSCRIPT_HELP = """\
convert it once:
    model = torch.jit.load("{name}", map_location="cpu")
    torch.save(model.state_dict(), "{stem}-weights.pth")"""
LONGEST_PICKLE = 10_000_000


@dataclass(frozen=True)
class LoadReport:
    """What loading a state dict did.

    Args:
        matched: keys whose tensors were copied.
        missing: keys of the model that the file lacks.
        other_shape: keys that both have in different shapes; "key: file shape, model shape".
        unexpected: keys of the file that the model lacks.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    other_shape: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing) + len(self.other_shape)
        sentences = [f"{len(self.matched)} of {total} tensors loaded"]
        for label, keys in (
            ("not in the file", self.missing),
            ("of another shape", self.other_shape),
            ("in the file only", self.unexpected),
        ):
            if keys:
                shown = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
                sentences.append(f"{len(keys)} {label} ({shown})")
        return "; ".join(sentences)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a state dict saved by torch, on the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a file that is damaged, is of another kind, or would have to be unpickled.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of weights at {path}")
    if path.suffix == ".safetensors":
        try:
            return unwrap_state_dict(load_file(str(path)))
        except SafetensorError as error:
            raise ValueError(f"{path} is not a complete safetensors file: {error}") from error
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(HARMLESS):
            # torch warns of the pickle protocol of a stranger's file; the refusal below says more.
            warnings.simplefilter("ignore", UserWarning)
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        advice = PICKLED_MODEL_HELP.format(name=path.name, stem=path.stem, weights=weights_expression(path))
        needed = ", ".join(re.findall(r"GLOBAL ([\w.]{1,100})", str(error)))
        raise ValueError(
            f"{path} holds Python objects beside tensors{f' ({needed})' if needed else ''} and is refused: "
            f"it could run code; {advice}"
        ) from error
    except DAMAGED_FILE as error:
        if "TorchScript" in str(error):
            advice = TORCHSCRIPT_HELP.format(name=path.name, stem=path.stem)
            raise ValueError(f"{path} is a program of TorchScript, not weights; {advice}") from error
        raise ValueError(
            f"{path} cannot be read as weights; expected .safetensors, or .pth or .pt saved by torch.save "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no further word'})"
        ) from error
    return unwrap_state_dict(stored)


def weights_expression(path: Path) -> str:
    """How the weights are reached in what a refused file holds, found by reading its opcodes without running them."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as stream:
                content = stream.read(LONGEST_PICKLE)
        words = [(code.name, value) for code, value, _ in pickletools.genops(content)]
    except (zipfile.BadZipFile, StopIteration, OSError, ValueError, EOFError):
        return "model.state_dict()"
    opened = next((code for code, _ in words if code not in ("PROTO", "FRAME")), "")
    texts = {value for code, value in words if code in ("BINUNICODE", "SHORT_BINUNICODE", "UNICODE")}
    wrapper = next((wrapper for wrapper in WRAPPERS if wrapper in texts), None)
    if opened != "EMPTY_DICT" or wrapper is None:
        return "model.state_dict()"
    return f'model["{wrapper}"].state_dict()' if wrapper in ("model", "model_ema") else f'model["{wrapper}"]'


def unpickle_state_dict(path: Path) -> dict[str, Tensor]:
    """As `read_state_dict`, from a file that holds Python objects. It runs whatever code is in the file.

    Raises:
        ValueError: the file is damaged, a class that it needs cannot be imported, or there are no tensors in it.
    """
    try:
        with warnings.catch_warnings():
            # torch warns of classes whose source has changed; the person vouched for the file.
            warnings.simplefilter("ignore")
            stored = torch.load(path, map_location="cpu", weights_only=False)
    except (*DAMAGED_FILE, ImportError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} cannot be unpickled here ({type(error).__name__}: {error}); a class that it needs must be "
            "importable, or the two lines that convert it must run in the script that wrote it"
        ) from error
    return unwrap_state_dict(stored)


def unwrap_state_dict(stored: Any) -> dict[str, Tensor]:
    """The flat dictionary of tensors inside a checkpoint, without wrappers' prefixes.

    Raises:
        ValueError: if there are no named tensors in it.
    """
    if isinstance(stored, nn.Module):
        stored = stored.state_dict()
    for wrapper in WRAPPERS:
        if isinstance(stored, Mapping) and isinstance(stored.get(wrapper), Mapping | nn.Module):
            return unwrap_state_dict(stored[wrapper])
    if not isinstance(stored, Mapping):
        raise ValueError(f"expected a dictionary of tensors, got {type(stored).__name__}")
    tensors = {str(key): value for key, value in stored.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(str(key) for key in list(stored)[:5])
        raise ValueError(
            f"expected a dictionary of tensors, got one without any (its keys: {keys or 'none'})"
        )
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            return unwrap_state_dict({key.removeprefix(prefix): value for key, value in tensors.items()})
    return tensors


def load_partly(model: nn.Module, weights: Mapping[str, Tensor]) -> LoadReport:
    """Copy every tensor whose key and shape match into the model, and tell what did not."""
    own = model.state_dict()
    matched = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    model.load_state_dict(matched, strict=False)
    # Files from before torch 0.4.1 lack the step counters of batch normalisation, which nothing here needs.
    counters = {key for key in own if key.endswith("num_batches_tracked")}
    return LoadReport(
        matched=tuple(matched),
        missing=tuple(key for key in own if key not in weights and key not in counters),
        other_shape=tuple(
            f"{key}: {tuple(weights[key].shape)}, {tuple(own[key].shape)}"
            for key in own
            if key in weights and key not in matched
        ),
        unexpected=tuple(key for key in weights if key not in own),
    )
