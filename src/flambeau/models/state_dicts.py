"""Weights from files into models: read without running anybody's code, unwrapped, and matched key by key."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
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

PICKLED_MODEL_HELP = """\
convert it once, where the class that wrote it can be imported and you trust the file:
    model = torch.load("{name}", weights_only=False)
    torch.save(model.state_dict(), "{stem}-weights.pth")"""


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
        with warnings.catch_warnings():
            # torch warns of the pickle protocol of a stranger's file; the refusal below says more.
            warnings.simplefilter("ignore", UserWarning)
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        advice = PICKLED_MODEL_HELP.format(name=path.name, stem=path.stem)
        raise ValueError(
            f"{path} holds Python objects beside tensors and is refused: it could run code; {advice}"
        ) from error
    except DAMAGED_FILE as error:
        raise ValueError(
            f"{path} cannot be read as weights; expected .safetensors, or .pth or .pt saved by torch.save "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no further word'})"
        ) from error
    return unwrap_state_dict(stored)


def unwrap_state_dict(stored: Any) -> dict[str, Tensor]:
    """The flat dictionary of tensors inside a checkpoint, without wrappers' prefixes.

    Raises:
        ValueError: if there are no named tensors in it.
    """
    for wrapper in WRAPPERS:
        if isinstance(stored, Mapping) and isinstance(stored.get(wrapper), Mapping):
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
